"""Draw impeller castings seen from above, sound or with one kind of defect.

A part is painted from the back to the front: table, shadow, machined disc, groove, inner ring,
hollow with blades, hub. Lengths are in disc radii and do not depend on the picture's size, so one
seed shows the same part at every size. A defect has a random stream of its own and is painted on
the finished part, before the camera's noise: the same seed with kind 'normal' is the same part
when it was sound, as seen in the view of sound parts.

In the real set good and bad parts were not photographed alike: the bad ones are seen more askew, on
a darker table, and not all from the same distance (their mean image is blurred). Much of what a
GAN's score finds there is this, so the generated parts have it too: see the two views.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ganlib.data._drawing import (
    TABLE,
    between,
    bump,
    check,
    inside,
    lookup,
    loop_noise,
    mix,
    pixel_grid,
    stream,
    to_uint8,
)

CASTING_KINDS = ("normal", "dent", "burr", "blow_hole", "scratch")

GROOVE = 0.625
INNER_RING = 0.6
HOLLOW = 0.535
HUB_RING = 0.285
HUB_HOLE = 0.212


class View(NamedTuple):
    """How parts are photographed: the range of each, as a share of the picture or of the disc."""

    radius: tuple[float, float]  # of the disc, 0.5 fills the picture
    squash: tuple[float, float]  # by how much the tilted disc is shorter one way
    lean: tuple[float, float]  # shift of the inner ring, which stands higher than the disc
    darker: float  # table, grey levels


SOUND_VIEW = View(radius=(0.405, 0.435), squash=(0.0, 0.11), lean=(0.008, 0.032), darker=0.0)
DEFECTIVE_VIEW = View(radius=(0.37, 0.48), squash=(0.06, 0.22), lean=(0.03, 0.08), darker=6.0)

ANGLES = np.arange(TABLE) * (2 * np.pi / TABLE)


def casting_images(
    kinds: Sequence[str], seed: int, image_size: int = 128, start: int = 0
) -> np.ndarray:
    """Draw one casting per kind.

    Args:
        kinds: for each picture 'normal', 'dent', 'burr', 'blow_hole' or 'scratch'.
        seed: non-negative integer. Picture i is a function of `(seed, start + i, kinds[i])` alone.
        image_size: side of the square pictures, at least 16.
        start: number of the first picture, so that a long series can be drawn in pieces.

    Returns:
        uint8 `(len(kinds), image_size, image_size, 1)`, grey levels 0..255.

    Raises:
        GanlibError: for an unknown kind, a negative seed or start, or a size below 16.
    """
    check(kinds, CASTING_KINDS, seed, image_size, start)
    images = np.empty((len(kinds), image_size, image_size, 1), np.uint8)
    for i, kind in enumerate(kinds):
        rng = stream(seed, start + i, "casting part")
        view = SOUND_VIEW if kind == "normal" else DEFECTIVE_VIEW
        frame = _frame(rng, image_size, view)
        picture = _part(rng, frame)
        if kind != "normal":
            defect_rng = stream(seed, start + i, f"casting {kind}")
            picture = _DEFECTS[kind](defect_rng, frame, picture)
        images[i, :, :, 0] = to_uint8(picture + _camera_noise(rng, image_size))
    return images


class _Frame(NamedTuple):
    """Where every pixel lies on the part, in disc radii from the disc's centre."""

    x: np.ndarray
    y: np.ndarray
    r: np.ndarray
    theta: np.ndarray
    pixel: float  # width of one pixel
    light: tuple[float, float]  # unit vector towards the lamp
    lean: tuple[float, float]  # shift of what lies nearer to the camera than the disc
    darker: float  # table, grey levels


def _frame(rng: np.random.Generator, size: int, view: View) -> _Frame:
    """Place the part: position, size, tilt (which squashes the disc) and lighting direction."""
    column, row = pixel_grid(size)
    radius = between(rng, *view.radius)
    squash = 1 - view.squash[0] - (view.squash[1] - view.squash[0]) * rng.random() ** 2
    tilt, lamp = between(rng, 0, 2 * np.pi, 2)
    centre = between(rng, -0.015, 0.015, 2)
    dx, dy = (column - 0.5 - centre[0]) / radius, (row - 0.5 - centre[1]) / radius
    along = (dx * np.cos(tilt) + dy * np.sin(tilt)) / squash
    across = dy * np.cos(tilt) - dx * np.sin(tilt)
    # Turned back, so that the light comes from the same side in the picture and on the part.
    x = along * np.cos(tilt) - across * np.sin(tilt)
    y = along * np.sin(tilt) + across * np.cos(tilt)
    shift = between(rng, *view.lean)
    return _Frame(
        x=x,
        y=y,
        r=np.sqrt(x * x + y * y),
        theta=np.arctan2(y, x),
        pixel=1 / (size * radius),
        light=(float(np.cos(lamp)), float(np.sin(lamp))),
        lean=(float(shift * np.cos(tilt)), float(shift * np.sin(tilt))),
        darker=view.darker,
    )


def _part(rng: np.random.Generator, frame: _Frame) -> np.ndarray:
    """Paint a sound part, the far surfaces first."""
    picture = _table(rng, frame)
    picture = _disc(rng, frame, picture)
    picture = _groove(rng, frame, picture)
    picture = _hollow(rng, frame, picture)
    return _hub(rng, frame, picture)


def _table(rng: np.random.Generator, frame: _Frame) -> np.ndarray:
    """Grey table with a light gradient, faint streaks in the corners and the part's shadow."""
    slope = between(rng, -18, 18, 2)
    picture = between(rng, 152, 182) - frame.darker + slope[0] * frame.x + slope[1] * frame.y
    streaks = 2.5 * loop_noise(rng, 90) + 2.5 * loop_noise(rng, 37)
    picture = picture + lookup(streaks, frame.theta) * np.clip(frame.r - 1, 0, 0.4) * 2.5
    away = between(rng, 0.03, 0.14)
    x, y = frame.x + away * frame.light[0], frame.y + away * frame.light[1]
    distance = np.sqrt(x * x + y * y) - 1
    reach = between(rng, 0.18, 0.3)
    return picture * (1 - between(rng, 0.45, 0.75) * np.clip(1 - distance / reach, 0, 1) ** 2)


def _shine(rng: np.random.Generator, frame: _Frame) -> np.ndarray:
    """Brightness factor by angle: lathe marks mirror the lamp in opposite pairs of sectors."""
    lamp = np.arctan2(frame.light[1], frame.light[0])
    factor = np.ones(TABLE)
    for spread, strength in ((4.0, 0.26), (30.0, 0.18), (260.0, 0.07)):
        offset = between(rng, -0.5, 0.5)
        for side in (0, np.pi):
            height = strength * between(rng, 0.3, 1)
            factor += height * np.exp(spread * (np.cos(ANGLES - lamp - offset - side) - 1))
    # A darker sector with one sharp end: the mirror image of the edge of the lamp's hood.
    turn = (ANGLES - lamp - between(rng, 1.0, 2.2)) % (2 * np.pi)
    length = between(rng, 0.6, 1.7)
    fade = np.clip(turn / 0.08, 0, 1) * np.clip((length - turn) / length, 0, 1)
    factor -= between(rng, 0.03, 0.42) * fade
    return factor + 0.012 * loop_noise(rng, 120) + 0.008 * loop_noise(rng, 300)


def _disc(rng: np.random.Generator, frame: _Frame, picture: np.ndarray) -> np.ndarray:
    """Machined disc: conical highlights, fine lathe rings, a thin chamfer at the rim."""
    level = between(rng, 162, 194)
    rings = 0.010 * loop_noise(rng, 150) + 0.010 * loop_noise(rng, 47)
    shine = lookup(_shine(rng, frame), frame.theta) + lookup(rings, frame.r * np.pi)
    bowl = 1.03 - 1.25 * (frame.r - 0.83) ** 2
    bevel = 1 + 0.08 * bump(frame.r, 0.665, 0.03)
    rim = np.clip(0.75 + 0.9 * loop_noise(rng, 14), 0, 1)
    chamfer = 1 - 0.45 * lookup(rim, frame.theta) * bump(frame.r, 0.993, 0.022)
    return mix(picture, level * shine * bowl * bevel * chamfer, inside(frame.r - 1, frame.pixel))


def _nearer(frame: _Frame, times: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates around the axis for a surface that lies `times` the ring's height nearer."""
    x, y = frame.x - times * frame.lean[0], frame.y - times * frame.lean[1]
    return x, y, np.sqrt(x * x + y * y)


def _groove(rng: np.random.Generator, frame: _Frame, picture: np.ndarray) -> np.ndarray:
    """Dark groove, a crescent because the bright ring inside it stands higher."""
    depth = between(rng, 22, 48)
    picture = mix(picture, depth, inside(frame.r - GROOVE, frame.pixel))
    x, y, r = _nearer(frame, 1.0)
    lit = 1 + 0.09 * (x * frame.light[0] + y * frame.light[1]) / INNER_RING
    glint = 0.06 * lookup(loop_noise(rng, 24), frame.theta)
    ring = between(rng, 182, 206) * (lit + glint) * (1 - 0.12 * bump(r, 0.555, 0.012))
    return mix(picture, ring, inside(r - INNER_RING, frame.pixel))


def _hollow(rng: np.random.Generator, frame: _Frame, picture: np.ndarray) -> np.ndarray:
    """Dark hollow with the edges of six curved blades just visible."""
    x, y, r = _nearer(frame, 0.6)
    turn = frame.theta * (6 / (2 * np.pi)) + between(rng, 1.6, 2.2) * r / HOLLOW + rng.random()
    saw = turn - np.floor(turn)
    crest = (1 - np.abs(2 * saw - 1)) ** 6
    lit = np.clip(0.6 + 0.8 * (x * frame.light[0] + y * frame.light[1]) / HOLLOW, 0.1, 1.4)
    lit = lit * np.clip((r - HUB_RING) / 0.1, 0, 1) * np.clip((HOLLOW - r) / 0.08, 0, 1)
    wall = 14 * lookup(loop_noise(rng, 30), frame.theta) * np.clip((r - 0.44) / 0.1, 0, 1)
    bottom = between(rng, 16, 28) + between(rng, 16, 34) * crest * lit + np.clip(wall, 0, None)
    return mix(picture, bottom, inside(r - HOLLOW, frame.pixel))


def _hub(rng: np.random.Generator, frame: _Frame, picture: np.ndarray) -> np.ndarray:
    """Bright hub ring around a grey hole whose wall is lit from the side."""
    x, y, r = _nearer(frame, 1.4)
    lit = 1 + 0.10 * (x * frame.light[0] + y * frame.light[1]) / HUB_RING
    ring = between(rng, 180, 205) * lit * (1 - 0.2 * bump(r, HUB_RING, 0.02))
    picture = mix(picture, ring, inside(r - HUB_RING, frame.pixel))
    x, y, r = _nearer(frame, 0.9)
    facing = (x * frame.light[0] + y * frame.light[1]) / HUB_HOLE
    wall = between(rng, 120, 150) - between(rng, 26, 56) * facing
    wall = wall + 34 * bump(facing, -0.35, 0.5) * bump(r, 0.09, 0.12)
    wall = wall * (1 - 0.45 * np.clip((r - 0.165) / 0.05, 0, 1))
    return mix(picture, wall, inside(r - HUB_HOLE, frame.pixel))


def _camera_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Grain of about 2 grey levels; the sum of three uniform draws is near enough to a normal."""
    return (rng.random((3, size, size)).sum(axis=0) - 1.5) * 3.5


def _blow_hole(rng: np.random.Generator, frame: _Frame, picture: np.ndarray) -> np.ndarray:
    """One to three pits with a bright lip, on the disc, at the groove or near the rim."""
    # The pits of one part are near each other: gas collects in one place of the mould.
    where = between(rng, 0, 2 * np.pi)
    for size in between(rng, 0.024, 0.06, 1 + int(3 * rng.random() ** 2)):
        angle, radius = where + between(rng, -0.5, 0.5), between(rng, 0.67, 0.95)
        dx, dy = frame.x - radius * np.cos(angle), frame.y - radius * np.sin(angle)
        stretch, lie = between(rng, 0.65, 1.0), between(rng, 0, np.pi)
        u, v = dx * np.cos(lie) + dy * np.sin(lie), dy * np.cos(lie) - dx * np.sin(lie)
        outline = lookup(size * (1 + 0.25 * loop_noise(rng, 7)), np.arctan2(v, u))
        distance = np.sqrt(u * u + (v / stretch) ** 2) - outline
        side = (dx * frame.light[0] + dy * frame.light[1]) / size
        lip = between(rng, 20, 45) * bump(distance, 0.012, 0.03) * np.clip(0.4 - side, 0, 1)
        picture = picture + lip
        floor = between(rng, 30, 85) - 22 * np.clip(side, -1, 1)
        picture = mix(picture, floor, inside(distance, max(frame.pixel, 0.015)))
    return picture


def _dent(rng: np.random.Generator, frame: _Frame, picture: np.ndarray) -> np.ndarray:
    """Nick that bites into the rim or widens the groove, dark with a bright burnished edge."""
    width = between(rng, 0.05, 0.13)
    edge, sign = (1.0, -1) if rng.random() < 0.6 else (GROOVE, 1)
    turn = _turn(frame.theta, between(rng, 0, 2 * np.pi)) * edge
    ragged = 1 + 0.3 * lookup(loop_noise(rng, 60), frame.theta)
    depth = between(rng, 0.04, 0.10) * np.clip(1 - np.abs(turn) / width, 0, 1) ** 0.7 * ragged
    bite = sign * (frame.r - edge) - depth  # negative inside the nick
    ours = inside(np.abs(turn) - width, 0.02) * inside(-0.012 - sign * (frame.r - edge), 0.012)
    picture = picture + 30 * ours * bump(bite, 0.012, 0.022)
    shade = between(rng, 34, 95) + 40 * lookup(loop_noise(rng, 80), frame.theta)
    return mix(picture, shade, ours * inside(bite, max(frame.pixel, 0.02)))


def _burr(rng: np.random.Generator, frame: _Frame, picture: np.ndarray) -> np.ndarray:
    """Ragged flash left around the rim, dark with bright torn edges, and a few hanging tabs."""
    envelope = np.zeros(TABLE)
    for width in between(rng, 0.2, 0.9, 2 + int(6 * rng.random())):
        turn = _turn(ANGLES, between(rng, 0, 2 * np.pi))
        envelope = np.maximum(
            envelope, between(rng, 0.4, 1) * np.clip(1.4 - 1.4 * np.abs(turn) / width, 0, 1)
        )
    ragged = np.clip(0.5 + 0.6 * loop_noise(rng, 40) + 0.5 * loop_noise(rng, 110), 0.05, 1.3)
    height = between(rng, 0.04, 0.09) * envelope * ragged
    tone = 48 + 20 * loop_noise(rng, 90)
    torn = np.clip(5 * loop_noise(rng, 60) - 0.6, 0, 1)
    outline = lookup(height, frame.theta)
    flash = inside(frame.r - 1 - outline, frame.pixel) * inside(0.98 - frame.r, frame.pixel)
    flash = flash * np.clip(outline / 0.008, 0, 1)
    picture = mix(picture, lookup(tone, frame.theta), flash)
    # Bright metal where the flash broke off: a thin line along its foot.
    foot = bump(frame.r, 1.0 + 0.3 * outline, 0.012 + 0.25 * outline) * flash
    picture = mix(picture, between(rng, 170, 225), foot * lookup(torn, frame.theta))
    for length in between(rng, 0.02, 0.055, int(4 * rng.random())):
        peak = ANGLES[np.argmax(height)] + between(rng, -0.25, 0.25)
        out = _turn(frame.theta, peak)
        arm = (out * 14 + 3 * (frame.r - 1)) ** 2 + ((frame.r - 1.04) / (2 * length)) ** 2
        tab = inside(np.sqrt(arm) - 0.8, 0.5) * inside(1 - frame.r, frame.pixel)
        picture = mix(picture, between(rng, 40, 75), tab)
    return picture


def _scratch(rng: np.random.Generator, frame: _Frame, picture: np.ndarray) -> np.ndarray:
    """One to three thin lines across the disc, dark with a bright shoulder, fading at the ends."""
    on_disc = inside(frame.r - 0.985, 0.02) * inside(GROOVE + 0.01 - frame.r, 0.02)
    where, lie = between(rng, 0, 2 * np.pi, 2)
    for _ in range(1 + int(3 * rng.random() ** 2)):
        angle, radius = where + between(rng, -0.3, 0.3), between(rng, 0.72, 0.9)
        slant = lie + between(rng, -0.2, 0.2)
        dx, dy = frame.x - radius * np.cos(angle), frame.y - radius * np.sin(angle)
        u = dx * np.cos(slant) + dy * np.sin(slant)
        v = dy * np.cos(slant) - dx * np.sin(slant) + between(rng, -0.5, 0.5) * u * u
        half, width = between(rng, 0.16, 0.36), between(rng, 0.011, 0.019)
        # A line thinner than a pixel is drawn a pixel wide and fainter, or it would be dotted.
        drawn = max(width, 0.6 * frame.pixel)
        fade = np.clip(2.5 - 2.5 * np.abs(u) / half, 0, 1) * on_disc * (width / drawn)
        picture = picture + 22 * fade * bump(v, 1.6 * drawn, 1.2 * drawn)
        picture = mix(picture, between(rng, 45, 95), fade * bump(v, 0, 1.5 * drawn))
    return picture


_DEFECTS = {"dent": _dent, "burr": _burr, "blow_hole": _blow_hole, "scratch": _scratch}


def _turn(theta: np.ndarray, centre: float) -> np.ndarray:
    """Signed angle from `centre`, in -pi..pi."""
    return (theta - centre + np.pi) % (2 * np.pi) - np.pi
