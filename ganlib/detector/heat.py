"""Draw heat maps over images, at the resolution of the image."""

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from ganlib.data.dataset import WHITE
from ganlib.data.images import read_picture, shown_box

BEGINS, FULL = 0.5, 2.0  # the heat where color begins and is full; 1 is the threshold
OPAQUE = 0.75  # of the hottest pixels; the defect stays visible
LARGEST = 2048  # pixels; memory grows with the size of the drawing
HOTTEST = 0.8  # of the highest heat: outlined if nothing reaches the threshold
COOL, HOT, LINE = np.array([255, 225, 0]), np.array([225, 0, 30]), np.array([0, 60, 255])


def overlay(image: np.ndarray, heat_map: np.ndarray, flagged: bool = False) -> np.ndarray:
    """Draw a heat map `(h, w)`, outlined at 1, over an image `(h, w, 1 or 3)`; uint8, RGB.

    In an image that is flagged as a whole, the hottest region is outlined.
    """
    strength = np.clip((heat_map - BEGINS) / (FULL - BEGINS), 0, 1)[..., np.newaxis]
    color = COOL + strength * (HOT - COOL)
    cover = OPAQUE * np.sqrt(strength)  # the root keeps faint heat visible
    colors = np.repeat(image, 4 - image.shape[-1], axis=-1)[..., :3]
    drawn = np.rint(colors + cover * (color - colors)).astype("uint8")
    line_at = HOTTEST * most if flagged and 0 < (most := heat_map.max()) < 1 else 1.0
    above, width = heat_map >= line_at, 1 + (min(heat_map.shape) >= 256)
    drawn[above & ~ndimage.binary_erosion(above, iterations=width, border_value=1)] = LINE
    return drawn


def at_own_size(heat_map: np.ndarray, width: int, height: int, resize: str) -> np.ndarray:
    """Scale a square's heat map back to the picture before `resize`; 0 outside the square."""
    left, top, right, bottom = shown_box(width, height, resize)
    square = Image.fromarray(np.asarray(heat_map, "float32"))
    across, down = square.width / (right - left), square.height / (bottom - top)
    matrix = (across, 0, -left * across, 0, down, -top * down)
    affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    return np.asarray(square.transform((width, height), affine, matrix, bilinear))


def draw_heat(
    path: str | Path,
    heat_map: np.ndarray,
    resize: str,
    caption: str,
    flagged: bool = False,
    white: int = WHITE,
) -> Image.Image:
    """Draw an image file, 240 to 2048 pixels wide, with its heat map on top and a caption below."""
    picture = read_picture(path, white)
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    image, (width, height) = np.asarray(picture), picture.size
    drawn = Image.fromarray(overlay(image, at_own_size(heat_map, width, height, resize), flagged))
    wide = max(width, 240)
    size = max(12, wide // 45)
    font = ImageFont.load_default(size)
    lines = textwrap.wrap(caption, int((wide - size) / font.getlength("n")))
    below = height + round(size * 3.2)
    canvas = Image.new("RGB", (wide, below + round(size * (1.3 * len(lines) + 0.4))), "white")
    canvas.paste(drawn, ((wide - width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    heat = np.tile(np.linspace(0, 1.25 * FULL, wide - size), (size, 1))
    bar = overlay(np.full((*heat.shape, 1), 160, "uint8"), heat)
    canvas.paste(Image.fromarray(bar), (size // 2, height + size // 2))
    for at, words in ((0, "0"), (1, "1 = threshold"), (FULL, f"{FULL:g}")):
        x = size / 2 + at / heat.max() * (wide - size)
        draw.text((x, height + size * 1.6), words, "black", font)
    draw.text((size / 2, below), "\n".join(lines), "black", font)
    return canvas
