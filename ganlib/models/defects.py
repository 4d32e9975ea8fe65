"""Add synthetic defects to normal images, for training and for choosing between methods.

A kind of defect is a function of an image (float32, 0..255), another image (uint8) and a random
generator. It returns a box of the image, the coverage of each pixel in it, `(height, width, 1)`,
0..1, and the content that covers it. Lengths are in image sides; images are squares of any size.

Reference: NSA (Schlueter et al. 2022: "patch"), CutPaste (Li et al. 2021: "scar") and DRAEM
(Zavrtanik et al. 2021: "texture"), whose textures come from another data set.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage


def patch(image, other, random):
    """Cover an ellipse or rectangle with a piece of another image, usually of matching brightness.

    NSA uses Poisson blending; here the piece takes over the low frequencies of the image.
    """
    half = np.clip(0.03 + random.gamma(2, 0.05, 2), 0.03, 0.35).astype("float32")
    box, x, y = _around(image, random, half, reach=1.5)
    edge = np.hypot(x, y) if random.random() < 0.5 else np.maximum(abs(x), abs(y))
    cover = _inside((edge - 1) * half.min(), random.uniform(1, 3) / len(image))
    content = _elsewhere(other, random, cover.shape)
    if random.random() < 0.75:
        width = round(half.min() * len(image)) | 1
        content += ndimage.uniform_filter(image[box] - content, (width, width, 1))
    return box, cover, content


def scar(image, other, random):
    """Draw a thin, curved stripe of this or another image, made brighter or darker."""
    length, width = np.exp(random.uniform(np.log([10, 1.5]), np.log([100, 12]))) / 256
    length, width = max(length, 3 / len(image)), max(width, 1 / len(image))
    box, x, y = _around(image, random, reach=length / 2 + width)
    y -= random.uniform(-0.5, 0.5) * x**2 / length
    cover = _inside(np.maximum(abs(x) - length / 2, abs(y) - width / 2), 1 / len(image))
    under = image[box] if random.random() < 0.5 else _elsewhere(other, random, cover.shape)
    return box, cover, under + _brightness(random)


def texture(image, other, random):
    """Overlay a ragged stain of another image, rotated, inverted or with changed contrast."""
    box, x, y = _around(image, random, np.exp(random.uniform(np.log(0.04), np.log(0.6), 2)))
    height = _noise(random, x.shape, 2 ** random.integers(1, 5)) - x**2 - y**2
    height -= random.uniform(0.3, 0.8) * height.max()
    cover = np.clip(height * random.uniform(5, 40), 0, 1) * random.uniform(0.2, 1)
    other = np.rot90(other, random.integers(4))
    content = (_elsewhere(other, random, cover.shape) / 255) ** 2 ** random.uniform(-1, 1)
    return box, cover, 255 * (1 - content if random.random() < 0.25 else content)


def blob(image, other, random):
    """Brighten or darken a soft spot."""
    radii = np.maximum(random.uniform(0.01, 0.06, 2), 1.5 / len(image))
    box, x, y = _around(image, random, radii, reach=1.5)
    return box, np.clip(1.5 - np.hypot(x, y), 0, 1), image[box] + _brightness(random)


def warp(image, other, random):
    """Distort a round region, like a dent or a loose part."""
    radius, turn = random.uniform(0.05, 0.2), random.uniform(0, 2 * np.pi)
    box, x, y = _around(image, random, (radius, radius))
    shift = (1 - np.minimum(x**2 + y**2, 1)[..., 0]) ** 2
    shift = np.multiply.outer([np.sin(turn), np.cos(turn)], shift) * radius * len(image)
    places = np.indices(x.shape[:2]) + shift * random.uniform(0.3, 0.7)
    channels = np.moveaxis(image[box], -1, 0)
    moved = [ndimage.map_coordinates(each, places, order=1, mode="mirror") for each in channels]
    return box, x**2 + y**2 < 1, np.stack(moved, axis=-1)


def veil(image, other, random):
    """Cover the whole image with bright or dark haze, uniform or cloudy."""
    haze = np.clip(0.5 + _noise(random, image.shape, 2 ** random.integers(3)), 0, 1)
    haze = haze if random.random() < 0.5 else np.ones_like(haze)
    level = random.uniform(*((153, 255) if random.random() < 0.5 else (0, 76)))
    return np.s_[:, :], random.uniform(0.15, 0.8) * haze, level


KINDS = {kind.__name__: kind for kind in (patch, scar, texture, blob, warp, veil)}
TRAINED = ("patch", "patch", "scar", "texture")  # used for training, patches twice as often
# Never used for training, only for choosing a method. Most real defects are local.
HELD_OUT = ("blob", "warp", "blob", "warp", "veil")


def forge(
    images: np.ndarray,
    random: np.random.Generator,
    kinds: Sequence[str] = TRAINED,
    share: float = 2 / 3,
) -> tuple[np.ndarray, np.ndarray]:
    """Add one to three defects to a share of the images, uint8 `(n, size, size, channels)`.

    Pasted pieces come from another image of the batch, if there is one. Return the images and
    labels, float32 `(n, size, size, 1)`, 0..1: how visibly a pixel has changed, 0 for unchanged.
    """
    n = len(images)
    others = images[(np.arange(n) + random.integers(1, max(2, n), n)) % n]
    forged, labels = images.copy(), np.zeros((*images.shape[:3], 1), "float32")
    for row in np.flatnonzero(random.random(n) < share):
        chosen = random.choice(kinds, random.integers(1, 4))
        forged[row], labels[row] = _forge_one(images[row], others[row], random, chosen)
    return forged, labels


def pseudo_anomalies(
    images: np.ndarray, random: np.random.Generator, kinds: Sequence[str] = HELD_OUT
) -> np.ndarray:
    """Add one clearly visible defect to each image, to evaluate detectors without anomalies.

    The kinds alternate. If one is not visible after eight attempts, try the next one.
    """
    forged = np.empty_like(images)
    for row, image in enumerate(images):
        label, attempt = np.zeros(1), 0
        while (label > 0.5).sum() < 3:
            kind = kinds[(row + attempt // 8) % len(kinds)]
            forged[row], label = _forge_one(image, images[row - 1], random, [kind])
            attempt += 1
    return forged


def lessons(images: np.ndarray, random: np.random.Generator, turns: bool = False):
    """Make training data for a segmentation network from normal images, for `Batches`.

    Return defective images and a dict: "image", the same without defects, and "label", see `forge`.
    Both vary alike in brightness, contrast, sharpness and noise, to hide seams. With `turns`, both
    are also rotated and mirrored, for objects in any orientation.
    """
    if turns:
        turned = zip(images, random.integers(8, size=len(images)), strict=True)
        images = np.stack([np.rot90(image[:: 1 if k < 4 else -1], k) for image, k in turned])

    def each(low, high):
        return random.uniform(low, high, (len(images), 1, 1, 1)).astype("float32")

    forged, labels = forge(images, random)
    levels, contrast = np.stack([forged, images]).astype("float32"), each(0.9, 1.1)
    mean = images.mean(axis=(1, 2, 3), keepdims=True, dtype="float32")
    levels *= contrast
    levels += (each(0.9, 1.1) - contrast) * mean
    levels = ndimage.gaussian_filter(levels, random.uniform(0, 0.5), axes=(2, 3), truncate=2)
    levels += (random.random(images.shape, dtype="float32") - 0.5) * each(0, 8)
    forged, images = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return forged, {"image": images, "label": labels}


def _forge_one(image, other, random, kinds):
    levels, touched = image.astype("float32"), np.zeros((*image.shape[:2], 1), bool)
    for kind in kinds:
        box, cover, content = KINDS[kind](levels, other, random)
        levels[box] += cover * (np.clip(content, 0, 255) - levels[box])
        touched[box] |= cover > 0
    forged = np.rint(levels).astype(np.uint8)
    # Average first, because noise replaced by other noise is no change. NSA takes the median of
    # 5x5 pixels, which would remove scars.
    change = abs(ndimage.uniform_filter(forged - image.astype("float32"), (3, 3, 1)))
    change = ndimage.uniform_filter(change.max(axis=-1, keepdims=True), (3, 3, 1))
    # NSA's logistic function for low contrast, shifted to 0 for no change: a pasted piece that
    # looks like the pixels it covers is not a defect.
    lowest = 1 / (1 + np.exp(7 / 3))
    label = (1 / (1 + np.exp((7 - change) / 3)) - lowest) / (1 - lowest)
    return forged, touched * label.round(3)  # sums of zeros are not quite 0


def _around(image, random, radii=(1, 1), reach=1.0):
    """Choose a place; return a box of `reach` radii around it and rotated coordinates x and y.

    x and y are in radii, `(height, width, 1)`. Of up to three random places, take the one with the
    most contrast: defects in a plain background are of little use for training.
    """

    def box(place, half):
        low, high = np.maximum(place - half, 0), place + half + 1
        return np.s_[low[0] : high[0], low[1] : high[1]]

    size, turn = len(image), random.uniform(0, 2 * np.pi)
    places = random.integers(0, size, (random.integers(1, 4), 2))
    place = places[np.argmax([image[box(place, size // 16)].std() for place in places])]
    found = box(place, int(reach * max(radii) * size) + 2)
    grid = np.indices((size, size), "float32")[:, *found, None]
    y, x = (grid - np.float32(place).reshape(2, 1, 1, 1)) / size
    (c, s), (a, b) = np.float32([np.cos(turn), np.sin(turn)]), np.float32(radii)
    return found, (c * x + s * y) / a, (c * y - s * x) / b


def _inside(distance, softness):
    return np.clip(0.5 - distance / softness, 0, 1)


def _elsewhere(other, random, shape):
    """Crop a piece of this shape at random from another image; rescale it half of the time."""
    (height, width, _), size = shape, len(other)
    scale = np.clip(random.normal(1, 0.5), 0.7, 1.3) if random.random() < 0.5 else 1
    scale = min(scale, size / max(height, width))
    left, top = (random.integers(size - int(np.ceil(scale * side)) + 1) for side in (width, height))
    box = (left, top, left + scale * width, top + scale * height)
    piece = Image.fromarray(other.squeeze()).resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(piece, "float32").reshape(height, width, -1)


def _brightness(random):
    return 255 * random.uniform(0.08, 0.5) * random.choice([-1, 1])


def _noise(random, shape, cells):
    """Draw smooth noise `(height, width, 1)`, about -1..1, with `cells` cells along a side."""
    grid = Image.fromarray(random.uniform(-1, 1, (cells + 1, cells + 1)).astype("float32"))
    return np.asarray(grid.resize(shape[1::-1], Image.Resampling.BICUBIC))[..., None]
