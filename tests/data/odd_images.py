"""Generate bad and odd image files, each with its expected result.

`CORPUS` maps a file name to the content of the file and its documented behavior: the pixels to be
read, or the reason for rejecting it.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

SIDE = 16
Y, X = np.mgrid[:SIDE, :SIDE]
# Different at every corner, to detect rotated pictures.
GREY = (12 * Y + 3 * X).astype(np.uint8)
ALPHA = (17 * X).astype(np.uint8)
COLOUR = np.stack([GREY, 200 - 8 * X, 40 + 5 * Y], -1).astype(np.uint8)


class Odd(NamedTuple):
    """A file: its content or a function that writes it; its pixels or a regex of the reason."""

    make: bytes | Callable[[Path], object]
    expected: np.ndarray | str
    tolerance: int = 0  # largest allowed difference of a pixel


def saved(picture: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content)
    )  # fmt: skip


def png(
    rows: bytes, width=SIDE, height=SIDE, depth=8, colour=0, before=b"", packed=zlib.compress
) -> bytes:
    """Return a PNG of rows that each start with their filter; `before` precedes the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", packed(rows))
        + chunk(b"IEND")
    )


def rows_of(pixels: np.ndarray, kind: str = ">u1") -> bytes:
    return b"".join(b"\0" + row.astype(kind).tobytes() for row in pixels)


def bits(pixels: np.ndarray, depth: int) -> bytes:
    planes = np.unpackbits(pixels.astype(np.uint8)[..., np.newaxis], axis=2)[..., 8 - depth :]
    return rows_of(np.packbits(planes.reshape(len(pixels), -1), axis=1))


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


# How stored pixels must be turned, by the EXIF standard.
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def inks() -> Image.Image:
    levels = np.stack([GREY // 2, 90 + 0 * GREY, 30 + 0 * GREY, GREY // 4], -1)
    return Image.fromarray(levels.astype(np.uint8), "CMYK")


def without_adobe(jpeg: bytes) -> bytes:
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4]) :]


def palette(**options) -> bytes:
    image = Image.fromarray((X >= 8).astype(np.uint8), "P")
    image.putpalette([200, 100, 40, 0, 20, 72])
    return saved(image, "PNG", **options)


def two(left, right) -> np.ndarray:
    return np.where(X[..., np.newaxis] < 8, left, right).astype(np.uint8)


def over_black(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture * (ALPHA / 255.0)[..., np.newaxis])


def link_to_file(path: Path) -> None:
    behind = path.parent / ".behind"
    behind.mkdir(exist_ok=True)
    (behind / "real").write_bytes(PNG)
    path.symlink_to(behind / "real")


FRAMES = {"save_all": True, "append_images": [Image.new("L", (SIDE, SIDE), 250)]}
JPEG = saved(COLOUR, "JPEG", quality=98, subsampling=0)
PNG = saved(COLOUR, "PNG")
BMP = saved(COLOUR, "BMP")
TIFF = saved(COLOUR, "TIFF")
GOOD = {"jpg": JPEG, "png": PNG, "bmp": BMP, "tif": TIFF}
WIDE = (257 * GREY.astype(np.uint16) + 100).astype(np.uint16)  # plus 100/257 of a level
CLEAR = int(GREY[3, 3])
WIDE_COLOUR = rows_of(257 * COLOUR.astype(int), ">u2")
LEFT = 255.0 - np.asarray(inks())
FROM_INKS = np.rint(LEFT[..., :3] * LEFT[..., 3:] / 255)
INK_JPEG = saved(inks(), "JPEG", quality=98, subsampling=0)
SMOOTH = 4  # how much JPEG changes at this quality

READ: dict[str, Odd] = {
    # File formats, independent of the name
    "plain.jpg": Odd(JPEG, COLOUR, SMOOTH),
    "plain.png": Odd(PNG, COLOUR),
    "plain.bmp": Odd(BMP, COLOUR),
    "plain.tif": Odd(TIFF, COLOUR),
    "really a png.jpg": Odd(PNG, COLOUR),
    "really a webp.jpg": Odd(saved(COLOUR, "WEBP", lossless=True), COLOUR),
    # Inks
    "cmyk.tif": Odd(saved(inks(), "TIFF"), FROM_INKS, 1),
    "cmyk inverted as Adobe does.jpg": Odd(INK_JPEG, FROM_INKS, SMOOTH),
    "cmyk without a marker.jpg": Odd(without_adobe(INK_JPEG), FROM_INKS, SMOOTH),
    # 16 bit
    "wide.png": Odd(saved(WIDE, "PNG"), rgb(GREY)),
    "wide colours.png": Odd(png(WIDE_COLOUR, depth=16, colour=2), COLOUR),
    "wide with a clear level.png": Odd(
        png(rows_of(WIDE, ">u2"), depth=16, before=chunk(b"tRNS", struct.pack(">H", WIDE[3, 3]))),
        rgb(np.where(GREY == CLEAR, 0, GREY)),
    ),
    "wide with alpha.png": Odd(
        png(rows_of(257 * np.stack([GREY, ALPHA], -1).astype(int), ">u2"), depth=16, colour=4),
        over_black(rgb(GREY)), 1,
    ),
    # Palettes, transparency, few bits
    "palette.png": Odd(palette(), two((200, 100, 40), (0, 20, 72))),
    "palette with a clear colour.png": Odd(palette(transparency=0), two((0, 0, 0), (0, 20, 72))),
    "palette with alpha.png": Odd(
        palette(transparency=bytes([51, 255])), two((40, 20, 8), (0, 20, 72)), 1
    ),
    "alpha.png": Odd(saved(np.dstack([COLOUR, ALPHA]), "PNG"), over_black(COLOUR), 1),
    "grey with alpha.png": Odd(saved(np.dstack([GREY, ALPHA]), "PNG"), over_black(rgb(GREY)), 1),
    "grey with a clear level.png": Odd(
        saved(GREY, "PNG", transparency=CLEAR), rgb(np.where(GREY == CLEAR, 0, GREY))
    ),
    "colours with a clear one.png": Odd(
        saved(two((9, 8, 7), (90, 80, 70)), "PNG", transparency=(90, 80, 70)), two((9, 8, 7), 0)
    ),
    "1 bit.png": Odd(png(bits(GREY > 99, 1), depth=1), rgb(255 * (GREY > 99))),
    # Several pictures: the first
    "animated gif.png": Odd(saved(GREY, "GIF", **FRAMES), rgb(GREY)),
    "several.jpg": Odd(saved(GREY, "MPO", quality=98, **FRAMES), rgb(GREY), SMOOTH),
    # Turned according to EXIF
    **{
        f"orientation {n}.jpg": Odd(
            saved(COLOUR, "JPEG", quality=98, subsampling=0, exif=exif(n)), turn(COLOUR), SMOOTH
        )
        for n, turn in TURNS.items()
    },
    "orientation 6.png": Odd(saved(COLOUR, "PNG", exif=exif(6)), TURNS[6](COLOUR)),
    # Sizes: stretched to a square
    "one pixel.png": Odd(saved(COLOUR[3:4, 5:6], "PNG"), 0 * COLOUR + COLOUR[3, 5]),
    # Data around the pixels
    "corrupt profile.jpg": Odd(
        JPEG[:2] + b"\xff\xe2\0\x17ICC_PROFILE\0\x01\x01rubbish" + JPEG[2:], COLOUR, SMOOTH
    ),
    "rubbish behind.jpg": Odd(JPEG + b"\0\xff\xda rubbish", COLOUR, SMOOTH),
    # Names
    "link to a file.png": Odd(link_to_file, COLOUR),
    "with a\nline break.png": Odd(PNG, COLOUR),
    "사진 구름 ☁ снимок.png": Odd(PNG, COLOUR),
    f"{'long' * 62}12.png": Odd(PNG, COLOUR),
    "Case.png": Odd(PNG, COLOUR),
    "case.png": Odd(saved(GREY, "PNG"), rgb(GREY)),
}  # fmt: skip

NONE, CUT = "it is not a BMP, GIF, JPEG, PNG, TIFF or WebP", "[Tt]runcated|it is not a"
REFUSED: dict[str, Odd] = {
    **{
        f"cut at {n}0 percent.{suffix}": Odd(content[: len(content) * n // 10], CUT)
        for suffix, content in GOOD.items()
        for n in (1, 5, 9)
    },
    "empty.png": Odd(b"", "it is empty"),
    "text.jpg": Odd(b"no image\n", NONE),
    "postscript.png": Odd(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", NONE),
    "zeros.jpg": Odd(bytes(4000), NONE),
    "without its end.jpg": Odd(JPEG[:-2], "truncated"),
    "bomb.png": Odd(
        lambda path: path.write_bytes(png(bytes(2501 * 20000), 20000, 20000, depth=1)),
        "more than 89478485 pixels",
    ),
    "larger than it is.bmp": Odd(
        BMP[:18] + struct.pack("<ii", 12_000, 8_000) + BMP[26:], "more than 89478485 pixels"
    ),
    "text bomb.png": Odd(
        PNG[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000))) + PNG[33:],
        "too large|memory",
    ),
    "wrong sum of pixels.png": Odd(flipped(PNG, len(PNG) - 14), "checksum"),
    "corrupt stream.png": Odd(png(b"rubbish", packed=bytes), "broken"),
    "without pixels.png": Odd(PNG[:33] + PNG[-12:], "."),
    **{
        # Pillow compares 8-bit levels with the transparent one as stored in the file.
        f"clear level of {depth} bit.png": Odd(
            png(rows, depth=depth, colour=colour, before=chunk(b"tRNS", clear)), "transparent level"
        )
        for depth, colour, rows, clear in (
            (1, 0, bits(GREY > 99, 1), b"\0\1"),
            (2, 0, bits(GREY // 64, 2), b"\0\2"),
            (4, 0, bits(GREY // 16, 4), b"\0\2"),
            (16, 2, WIDE_COLOUR, b"\0\1" * 3),
        )
    },
    "floats.tif": Odd(saved(np.full((4, 4), 0.5, "f4"), "TIFF"), "no known range"),
    "32 bit.tif": Odd(saved(GREY.astype("i4"), "TIFF"), "no known range"),
    "folder.jpg": Odd(Path.mkdir, "directory"),
    "pipe.png": Odd(os.mkfifo, "pipe or a device"),
    "link to nothing.png": Odd(lambda path: path.symlink_to("nothing"), "No such file"),
    "name of other bytes \udcff\udcfe.png": Odd(PNG, "not UTF-8"),
}

CORPUS = READ | REFUSED


def write(folder: Path, corpus: dict[str, Odd] = CORPUS) -> dict[str, Odd]:
    made = {}
    for name, odd in corpus.items():
        path = folder / name
        if os.path.lexists(path):  # on file systems that ignore case
            continue
        try:
            if callable(odd.make):
                odd.make(path)
            else:
                path.write_bytes(odd.make)
        except OSError:
            continue
        made[name] = odd
    return made
