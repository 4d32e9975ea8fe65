"""Heat maps as pictures: laid over the image at its own resolution."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganlib.data.images import read_picture, shown_box

# Heat at which colour begins and at which it is full. 1 is what few good images reach anywhere.
BEGINS, FULL = 0.5, 2.0
OPAQUE = 0.75  # of the hottest places: the defect is still seen through it
COOL, HOT = np.array([255, 225, 0]), np.array([225, 0, 30])


def overlay(image: np.ndarray, heat_map: np.ndarray) -> np.ndarray:
    """Lay a heat map over an image of the same size.

    Args:
        image: uint8 `(height, width, 1 or 3)`, 0..255.
        heat_map: float `(height, width)`, see `Detector.heat_maps`. Nothing is drawn below 0.5,
            the colour is yellow there and red from 2 on, always: pictures can be compared.

    Returns:
        uint8 `(height, width, 3)`.
    """
    strength = np.clip((heat_map - BEGINS) / (FULL - BEGINS), 0, 1)[..., np.newaxis]
    colour = COOL + strength * (HOT - COOL)
    # A place just hot enough is seen at once, not only from far above.
    cover = OPAQUE * np.sqrt(strength)
    grey = np.repeat(image, 4 - image.shape[-1], axis=-1)[..., :3]
    return np.rint(grey + cover * (colour - grey)).astype("uint8")


def at_own_size(heat_map: np.ndarray, width: int, height: int, resize: str) -> np.ndarray:
    """Bring the heat map of a square to the picture that the square was made of.

    Args:
        heat_map: float32 `(image_size, image_size)`.
        width: of the picture in pixels, turned as its EXIF orientation says.
        height: likewise.
        resize: how the square was made: "squeeze", "letterbox" or "crop".

    Returns:
        float32 `(height, width)`; 0 where the square does not show the picture.
    """
    left, top, right, bottom = shown_box(width, height, resize)
    square = Image.fromarray(np.asarray(heat_map, "float32"))
    inside = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    # The part of the square that is picture, and not bars beside it.
    across, down = square.width / (right - left), square.height / (bottom - top)
    part = (
        (inside[0] - left) * across,
        (inside[1] - top) * down,
        (inside[2] - left) * across,
        (inside[3] - top) * down,
    )
    size = inside[2] - inside[0], inside[3] - inside[1]
    found = np.zeros((height, width), "float32")
    found[inside[1] : inside[3], inside[0] : inside[2]] = np.asarray(
        square.resize(size, Image.Resampling.BILINEAR, box=part)
    )
    return found


def draw_heat(path: str | Path, heat_map: np.ndarray, resize: str, caption: str) -> Image.Image:
    """Draw an image file with its heat map over it and a line of text below.

    Args:
        path: the image file.
        heat_map: float32 `(image_size, image_size)`, of the square that `decode` makes of it.
        resize: how that square was made.
        caption: the line, for instance the score and the verdict.

    Returns:
        An RGB picture as wide as the image, or 240 pixels if that is more.

    Raises:
        GanlibError: the file cannot be read.
    """
    image = np.asarray(read_picture(path))
    height, width = image.shape[:2]
    drawn = Image.fromarray(overlay(image, at_own_size(heat_map, width, height, resize)))
    wide = max(width, 240)
    size = max(12, wide // 45)
    font = ImageFont.load_default(size)
    # As many letters as fit into the width go on a line.
    lines = _wrapped(caption, font, wide - size)
    canvas = Image.new("RGB", (wide, height + round(size * (1.3 * len(lines) + 0.7))), "white")
    canvas.paste(drawn, ((wide - width) // 2, 0))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((size / 2, height + size * (0.3 + 1.3 * number)), line, "black", font)
    return canvas


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
