"""Generate stand-ins for the two data sets if the real images are not available.

Each casting is one of `PARTS` good parts, rotated, slanted, mirrored and brightened: as in the real
set, the paper's split has copies of each part on both sides. Anomalies show other parts. Satellite
tiles show clear ground, or such ground under clouds or haze.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from ganlib.data.archives import ARCHIVES, DRAWN, MARKER, is_anomaly
from ganlib.errors import GanlibError
from ganlib.files import unfinished, write_csv

VERSION = 2  # increment it whenever a seed gives different pictures than before
CASTING_KINDS = ("normal", "dent", "burr", "blow_hole", "scratch")
CLOUD_KINDS = ("normal", "cloudy", "partly_cloudy", "haze")
PARTS, DEFECTIVE_PARTS = 18, 10  # good parts; parts with each kind of defect
CANVAS, EXTENT = 288, 1.5  # a part's drawing: side in pixels, half a side in disc radii
# Red, green, blue; the first ones appear more often.
FORESTS = [(30, 48, 38), (34, 52, 50), (44, 48, 48), (48, 68, 46), (84, 90, 62), (62, 50, 26)]
SOILS = [(146, 124, 102), (158, 138, 118), (166, 142, 124), (118, 100, 78)]
MEADOWS = [(92, 106, 70), (84, 98, 60), (110, 112, 82)]
WATERS = [(34, 50, 52), (140, 120, 96), (46, 62, 62)]
AIR = [(152, 154, 148), (136, 146, 148), (122, 134, 140), (152, 132, 112)]


def write_dataset(
    name: str, root: str | Path, seed: int = 0, image_size: int = 128, counts: dict | None = None
) -> Path:
    """Draw "casting" or "cloud" as PNG files in the folders of Kaggle's archive.

    `root` is made completely or not at all. It also gets `GENERATED.txt` and
    `<name>_kinds.csv`, with the kind of every anomaly. `counts` replaces some of `Archive.counts`.
    """
    if name not in SETS:
        raise GanlibError(f"data set is {name!r}; expected one of {', '.join(SETS)}")
    archive, (draw, anomalies, *prefixes) = ARCHIVES[name], SETS[name]
    draw([], seed, image_size)  # validates seed and size before a folder is created
    root, counts = Path(root).resolve(), {**archive.counts, **(counts or {})}
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise GanlibError(f"{root} already exists; expected a new or an empty folder")
    root.parent.mkdir(parents=True, exist_ok=True)
    plan = [(part, i) for part, count in counts.items() for i in range(count)]
    numbers, kinds = Counter(), []
    with TemporaryDirectory(prefix=f"{unfinished(root).name}-", dir=root.parent) as scratch:
        tree = Path(scratch) / root.name  # the scratch folder itself is closed to other users
        for part in counts:
            (tree / archive.folders[part][0]).mkdir(parents=True)
        for start, (part, i) in enumerate(tqdm(plan, f"drawing {name}", disable=None)):
            prefix = prefixes[bad := is_anomaly(part)]
            kind = anomalies[i % len(anomalies)] if bad else "normal"
            numbers[prefix] += 1
            path = tree / archive.folders[part][0] / f"{prefix}{numbers[prefix]:04d}.png"
            image = draw([kind], seed, image_size, start)[0].squeeze()
            Image.fromarray(image).save(path, compress_level=1)
            if bad:
                kinds.append((path.name, kind))
        write_csv(tree / f"{name}_kinds.csv", pd.DataFrame(kinds, columns=["file", "kind"]))
        about = f"dataset: {name}\nseed: {seed}\nimage_size: {image_size}\nversion: {VERSION}\n"
        (tree / MARKER).write_text(f"{DRAWN}\n\n{about}")
        if root.exists():
            root.rmdir()  # Windows does not rename onto an empty folder
        tree.replace(root)
    return root


def casting_images(kinds: Sequence, seed: int, image_size: int = 128, start: int = 0) -> np.ndarray:
    """Draw one casting per kind, uint8 `(n, image_size, image_size, 1)`, 0..255.

    Picture i depends only on `(seed, start + i, kinds[i])`.
    """
    return _series(_casting, CASTING_KINDS, 1, kinds, seed, image_size, start)


def cloud_images(kinds: Sequence, seed: int, image_size: int = 128, start: int = 0) -> np.ndarray:
    """Draw one satellite tile per kind, `(n, image_size, image_size, 3)`; see `casting_images`."""
    return _series(_tile, CLOUD_KINDS, 3, kinds, seed, image_size, start)


# Function, kinds of anomalies to cycle through, prefixes of normal and of anomalous files
SETS = {
    "casting": (casting_images, CASTING_KINDS[1:], "cast_ok_0_", "cast_def_0_"),
    "cloud": (cloud_images, CLOUD_KINDS[1:3] * 2 + CLOUD_KINDS[3:], "train_", "train_"),
}


def _series(draw, known, channels, kinds, seed, size, start):
    if isinstance(kinds, str) or not set(kinds) <= set(known):
        raise GanlibError(f"kinds is {kinds!r}; expected a list of {', '.join(known)}")
    if size < 16 or seed < 0 or start < 0:
        raise GanlibError(f"image_size={size}, {seed=}, {start=}; expected at least 16, 0 and 0")
    images = np.empty((len(kinds), size, size, channels), np.uint8)
    for number, (image, kind) in enumerate(zip(images, kinds, strict=True), start):
        image[:] = draw(seed, number, kind, size).round().clip(0, 255).reshape(image.shape)
    return images


def _stream(seed, purpose, number):  # not `hash`, which differs between processes
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(purpose.encode()), number]))


def _noise(rng, size, *cells):
    """Sum smooth noise of several frequencies, `(size, size, 1)`, about -1..1."""
    total = np.zeros((size, size))
    for octave, n in enumerate(cells):
        grid = Image.fromarray(rng.uniform(-1, 1, (n, n)).astype(np.float32))
        total += 0.7**octave * np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
    return total[..., None] / 1.3


def _ring(rng, angle, knots):
    """Draw noise over a full circle, -1..1, and sample it at these angles."""
    places = np.linspace(-np.pi, np.pi, knots, endpoint=False)
    return np.interp(angle, places, rng.uniform(-1, 1, knots), period=2 * np.pi)


def _inside(distance, softness):
    return np.clip(0.5 - distance / softness, 0, 1)


def _bump(x, width):
    return np.clip(1 - (x / width) ** 2, 0, 1)


def _mix(under, over, cover):
    return under + (over - under) * cover


def _casting(seed, number, kind, size):
    """Draw one of the kind's parts rotated, slanted, mirrored and brightened; `(size, size)`."""
    rng, which = _stream(seed, f"casting {kind}", number), CASTING_KINDS.index(kind)
    part = 100 * which + int(rng.integers(DEFECTIVE_PARTS if which else PARTS))
    # Real bad parts were photographed at more of an angle than good ones.
    radius = rng.uniform(*((0.4, 0.44) if which else (0.41, 0.43)))
    slant = rng.uniform(*((0.01, 0.06) if which else (0, 0.04)))
    (c, s), (d, t) = ((np.cos(turn), np.sin(turn)) for turn in rng.uniform(-np.pi, np.pi, 2))
    matrix = [[c, -s], [s, c]] @ np.diag([1 + slant, rng.choice([-1, 1])]) @ [[d, -t], [t, d]]
    matrix = matrix * CANVAS / (2 * EXTENT * radius * size)
    offset = (CANVAS - 1) / 2 - matrix @ ((size - 1) / 2 + rng.uniform(-0.008, 0.008, 2) * size)
    image, shape = _part(seed, part, kind, size), (size, size)
    image = ndimage.affine_transform(image, matrix, offset, shape, order=1, mode="nearest")
    return image * rng.uniform(0.94, 1.06) + rng.uniform(-4, 4) + rng.uniform(-1, 1, shape)


@lru_cache(maxsize=64)
def _part(seed, number, kind, size):
    """Draw one part, starting with the table, in disc radii, for pictures of this size."""
    rng = _stream(seed, "part", number)
    axis = ((np.arange(CANVAS) + 0.5) / CANVAS * 2 - 1) * EXTENT
    place = axis + 1j * axis[:, None]
    r, angle = np.abs(place), np.angle(place)
    lamp, tilt = rng.uniform(-np.pi, np.pi, 2)
    light, lean = np.exp(1j * lamp), rng.uniform(0.02, 0.04) * np.exp(1j * tilt)
    shadow = np.clip(1 - (np.abs(place + 0.08 * light) - 1) / rng.uniform(0.18, 0.3), 0, 1) ** 2
    table = rng.uniform(150, 180) - 8 * (kind != "normal") + (place * rng.uniform(-10, 10)).real
    image = table * (1 - rng.uniform(0.45, 0.75) * shadow)
    # The machined disc reflects the lamp in opposite sectors; a dark sector ends sharply.
    shine = 1.03 - 1.25 * (r - 0.83) ** 2 + 0.08 * _bump(r - 0.665, 0.03)
    for spread, strength in ((4, 0.26), (30, 0.18), (260, 0.07)):
        for side in lamp + rng.uniform(-0.5, 0.5) + np.array([0, np.pi]):
            shine += strength * rng.uniform(0.3, 1) * np.exp(spread * (np.cos(angle - side) - 1))
    sector = (angle - lamp - rng.uniform(1, 2.2)) % (2 * np.pi) / rng.uniform(0.6, 1.7)
    shine -= rng.uniform(0.08, 0.4) * np.clip(12 * sector, 0, 1) * np.clip(1 - sector, 0, 1)
    shine += 0.012 * _ring(rng, angle, 90) + 0.015 * _ring(rng, r * np.pi, 120)
    shine += 0.05 * _noise(rng, CANVAS, 12, 24, 60, 140)[..., 0]
    shine -= 0.45 * np.clip(0.7 + _ring(rng, angle, 14), 0, 1) * _bump(r - 0.993, 0.02)
    blades = np.sin(angle * 6 + rng.uniform(10, 14) * r + rng.uniform(0, 6)) / 2 + 0.5
    blades = 1 + 1.2 * blades**6 * _bump(r - 0.42, 0.13)
    # Radius, how much closer than the disc, grey level, change toward the lamp, texture
    layers = (
        (1.0, 0.0, 178, 0.0, shine),
        (0.625, 0.0, 34, 0.0, 1),  # groove
        (0.6, 1.0, 194, 0.09, 1 + 0.06 * _ring(rng, angle, 24) - 0.2 * _bump(r - 0.55, 0.012)),
        (0.535, 0.6, 20, 0.4, blades),  # hollow
        (0.285, 1.4, 192, 0.1, 1 + 0.03 * _ring(rng, angle, 24)),  # hub
        (0.212, 0.9, 134, -0.3, 1 - 0.4 * np.clip((r - 0.16) / 0.05, 0, 1)),  # its hole
    )
    for radius, nearer, level, change, texture in layers:
        at = place - nearer * lean
        lit = texture * (1 + change * (at * light.conj()).real / radius)
        lit = level * rng.uniform(0.93, 1.07) * lit
        image = _mix(image, lit, _inside(np.abs(at) - radius, 0.03))
    if kind != "normal":
        image = _defect(_stream(seed, kind, number), kind, image, place)
    return ndimage.gaussian_filter(image.astype(np.float32), 0.4 * max(0, 220 / size - 1))


def _defect(rng, kind, image, place):
    """Add a dark defect with a bright edge: a nick in rim or groove, torn flash, pits or lines."""
    r, angle, where = np.abs(place), np.angle(place), np.exp(1j * rng.uniform(-np.pi, np.pi))
    level, cover = rng.uniform(35, 65), 0 * image
    if kind == "dent":
        edge, sign = rng.choice([(1.0, -1), (0.625, 1)])
        side = np.angle(place / where) * edge
        depth = rng.uniform(0.06, 0.12) * np.sqrt(_bump(side, rng.uniform(0.07, 0.14)))
        depth, bite = depth * (1 + 0.3 * _ring(rng, angle, 60)), sign * (r - edge)
        cover = _inside(bite - depth, 0.02) * _inside(-0.02 - bite, 0.02) * (depth > 0)
    elif kind == "burr":
        ragged = np.clip(0.6 + 0.5 * _ring(rng, angle, 40) + 0.5 * _ring(rng, angle, 110), 0, 1.3)
        reach = rng.uniform(0.06, 0.1) * ragged * np.clip(0.3 + 1.2 * _ring(rng, angle, 9), 0, 1)
        cover = _inside(r - 1 - reach, 0.02) * _inside(0.98 - r, 0.02) * np.clip(50 * reach, 0, 1)
        torn = np.clip(4 * _ring(rng, angle, 60) - 0.6, 0, 1)
        level = level + 150 * torn * _bump(r - 1 - 0.4 * reach, 0.025)
    for _ in range(rng.integers(1, 4)):
        at = place / where - rng.uniform(0.7, 0.93) * np.exp(1j * rng.uniform(-0.4, 0.4))
        if kind == "blow_hole":
            size = rng.uniform(0.035, 0.06) * (1 + 0.25 * _ring(rng, np.angle(at), 7))
            cover = np.maximum(cover, _inside(np.abs(at) - size, 0.02))
        elif kind == "scratch":
            at *= np.exp(1j * rng.uniform(-0.9, 0.9))
            line = _bump(at.imag + 0.4 * at.real**2, rng.uniform(0.018, 0.028))
            line = line * np.sqrt(_bump(at.real, rng.uniform(0.2, 0.4)))
            cover = np.maximum(cover, line * _inside(np.abs(r - 0.81) - 0.17, 0.02))
    halo = 40 * np.clip(2 * ndimage.gaussian_filter(cover, 2), 0, 1)
    return _mix(image + halo, level, cover)


def _tile(seed, number, kind, size):
    """Draw forest, often with cleared land, a river or a road, then the sky; `(size, size, 3)`."""
    rng = _stream(seed, "ground", number)
    crowns = _noise(rng, size, *(int(rng.integers(50, 90)) // np.array([1, 2, 4])))
    plain, rough = _noise(rng, size, 2, 4, 8), _noise(rng, size, 8, 16, 32, 64)
    image = _colour(rng, FORESTS) * (1 + rng.uniform(0.15, 0.35) * crowns + 0.08 * plain)
    if rng.random() < 0.4:
        edge, level = plain + 0.35 * rough, rng.uniform(-1, 0.6)
        for colours, above in ((MEADOWS, 0), (SOILS, rng.uniform(0, 0.5))):
            land = _colour(rng, colours) * (1 + 0.1 * rough + 0.05 * plain)
            cover = _inside(level + above - edge, rng.uniform(0.1, 0.6))
            image = _mix(image, land, rng.uniform(0.5, 0.95) * cover)
    waters, roads = (0.2, 0.25, rng.uniform(0.01, 0.09), WATERS), (0.3, 0.08, 0.005, SOILS)
    for share, bend, half, colours in (waters, roads):
        if rng.random() < share:
            axis = np.arange(size) / size - rng.uniform(0.3, 0.7)
            u, v = np.array([axis, axis]) * rng.uniform(-1, 1, (2, 1))
            line = u + v[:, None] + bend * _noise(rng, size, 3, 7)[..., 0]
            # Without dividing by the slope, the line would be thin where it is steep.
            away = np.abs(line) / np.maximum(size * np.hypot(*np.gradient(line)), 0.3)
            image = _mix(image, _colour(rng, colours), _inside(away - half, 0.015)[..., None])
    veil = rng.uniform(*((0, 0.1) if rng.random() < 0.8 else (0.2, 0.5)))  # blue, often thin
    image = _mix(image, _colour(rng, AIR[1:3]), veil)
    if kind != "normal":
        image = _sky(_stream(seed, kind, number), kind, image, size)
    return image + rng.uniform(-1, 1, (size, size, 1))


def _colour(rng, colours):
    colour = np.array(colours[int(len(colours) * rng.random() ** 1.5)])
    return colour * rng.uniform(0.85, 1.15) + rng.uniform(-3, 3, 3)


def _sky(rng, kind, image, size):
    if kind == "haze":
        thick = rng.uniform(0.5, 0.8) + 0.08 * _noise(rng, size, 2, 4)
        return _mix(image, _colour(rng, AIR) * rng.uniform(0.7, 1.05), thick)
    if kind == "cloudy":  # an even cover; one tile in three has billows
        cover, soft = _colour(rng, AIR) * rng.uniform(0.8, 1.3), _noise(rng, size, 2, 4, 8)
        if rng.random() < 2 / 3:
            return _mix(image, cover * (1 + rng.uniform(0.01, 0.05) * soft), rng.uniform(0.93, 1))
        billows = soft + 0.6 * _noise(rng, size, 6, 12, 24, 48)
        cover = cover * (1 + rng.uniform(0.1, 0.25) * billows)
        return _mix(image, cover, np.clip(0.95 + 0.4 * billows, 0.3, 1))
    margin = size // 4  # a cloud beyond the tile's edge casts its shadow into it
    sky = _noise(rng, size + margin, 3, 6, 12, 24, 48)
    above = sky - np.quantile(sky, 0.97 - 0.4 * rng.random() ** 1.6)
    body = np.clip(above / rng.uniform(0.4, 1), 0, 1)
    down, right = (rng.uniform(0, 0.6, 2) * margin).astype(int)
    image = image * (1 - 0.4 * np.clip(1.5 * body[down:, right:][:size, :size], 0, 1))
    body = body[margin:, margin:]
    light = rng.uniform(170, 230) * (0.75 + 0.25 * body) * (1 + 0.1 * sky[:size, :size])
    return _mix(image, light, (1 - 0.7 * rng.random() ** 2) * np.clip(1.5 * body, 0, 1))
