"""Decode image files and masks to squares of one size."""

import contextlib
import io
import math
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from ganlib.data.dataset import RESIZES, WHITE
from ganlib.errors import GanlibError
from ganlib.files import open_file, shown

TOLERANCE = 8  # maximum difference in levels between the channels of a grey image
VERSION = 1  # in the cache's file name: increment it when the result of `decode` changes
LONGEST = 1000  # maximum ratio of the sides of a picture in a letterbox
# Pillow supports forty more; for one of them (EPS) it runs an external program on the file.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


# Parts of a file that its square does not show.
PAGES = "several pages, of which only the first is read"
COLORS = "colors, which are reduced to grey levels"
BEYOND = "16-bit levels above those in training, which are read as white"


def decode(
    path: str | Path,
    image_size: int,
    channels: int,
    resize: str = "squeeze",
    white: int = WHITE,
    remarks: list[str] | None = None,
) -> np.ndarray:
    """Read an image file as a square, uint8 `(image_size, image_size, channels)`, 0..255.

    Every output pixel is the plain mean of the pixels that it covers (Pillow's `BOX` filter): small
    defects stay visible, the mean brightness is kept, and edges do not ring. To make it square,
    "squeeze" stretches, "letterbox" adds black bars of equal width, "crop" takes the center.

    The content counts, not the suffix: BMP, GIF, JPEG, PNG, TIFF or WebP. The first picture is read
    and rotated by its EXIF orientation. Transparent pixels are composited over black. 16-bit grey
    levels up to `white` become 0..255; of 16-bit colors the upper byte is kept. CMYK in a JPEG is
    assumed to be stored inverted, as usual. Color profiles are not applied. Colors become grey as
    ITU-R 601-2 luma. `PAGES`, `COLORS` or `BEYOND` is added to `remarks` for parts of the file that
    the square does not show. Files that are missing, damaged, too large or of unknown range
    (floats, 32-bit) raise a GanlibError.
    """
    check_shape(image_size, channels, resize)
    with _naming(path):
        image = _read(path, channels, white, [] if remarks is None else remarks)
        pixels = np.atleast_3d(_levels(_to_square(image, image_size, resize)))
    return np.repeat(pixels, channels // pixels.shape[2], axis=2)


def try_decode(path: Path, *shape, **options) -> np.ndarray | GanlibError:
    """Decode an image as `decode` does; return the error if it cannot be read."""
    try:
        return decode(path, *shape, **options)
    except GanlibError as error:
        return error


def read_picture(path: str | Path, white: int = WHITE) -> Image.Image:
    """Read a picture in RGB at its own size, otherwise as `decode` does."""
    with _naming(path):
        return Image.fromarray(_levels(_read(path, 3, white, []))).convert("RGB")


def decode_mask(path: str | Path, image_size: int, resize: str = "squeeze") -> np.ndarray:
    """Read a mask as a square like its image, bool: True where any pixel shows the defect.

    Defect pixels are those that are not black; or not transparent, in a picture of black on
    transparent. Masks in a folder are combined: a pixel of any of them counts.
    """
    check_shape(image_size, 1, resize)
    if Path(path).is_dir():
        masks = [decode_mask(mask, image_size, resize) for mask in masks_in(path)]
        return np.any(masks, axis=0)
    with _naming(path):
        # In float, so that one white pixel among thousands is not rounded to 0.
        defect = Image.fromarray(_shows(path).astype(np.float32))
        return np.asarray(_to_square(defect, image_size, resize)) > 0


def masks_in(path: str | Path) -> list[Path]:
    """List the files of a mask: the file itself, or those in its folder."""
    path = Path(path)
    return sorted(path.glob("[!.]*.*")) if path.is_dir() else [path]


def _shows(path: str | Path) -> np.ndarray:
    colours = np.atleast_3d(_read(path, 3, WHITE, [])).any(axis=-1)
    if colours.any():
        return colours
    with open_file(path) as file:
        image = ImageOps.exif_transpose(_open(file.read()))
    return np.asarray(image.convert("LA"))[..., 1] > 0 if image.has_transparency_data else colours


def white_of(paths: Iterable[Path]) -> int:
    """Return the highest level of the bit depth (8 to 16) that 16-bit grey pictures really use."""
    highest = 0
    for path in paths:
        with contextlib.suppress(Exception), open_file(path) as file:  # reported when decoded
            image = Image.open(file, formats=FORMATS)
            highest = max(highest, image.getextrema()[1] if image.mode[0] == "I" else 0)
    used = (2**bits - 1 for bits in (8, 10, 12, 14, 16))
    return next(level for level in used if highest <= level) if highest else WHITE


def size_of(path: str | Path) -> tuple[int, int]:
    """Read a picture's width and height, in its EXIF orientation, without decoding it."""
    with _naming(path), open_file(path) as file, Image.open(file, formats=FORMATS) as image:
        # Pillow rotates TIFF itself, and would decode a whole PNG to look for EXIF at its end.
        turned = "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return image.size[::-1] if turned else image.size


def shown_box(width: int, height: int, resize: str) -> tuple[int, int, int, int]:
    """Return the box that `decode` shows: left, top, right, bottom; it may exceed the picture."""
    check_shape(1, 1, resize)
    if resize == "squeeze":
        return 0, 0, width, height
    side = min(width, height) if resize == "crop" else max(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def check_shape(image_size: int, channels: int, resize: str = "squeeze") -> None:
    """Validate an image size, the number of channels and `resize`."""
    if resize not in RESIZES:
        raise GanlibError(f"resize is {resize!r}: choose {' | '.join(RESIZES)}.")
    if image_size < 1 or channels not in (1, 3):
        raise GanlibError(f"{image_size=}, {channels=}: expected at least 1, and 1 or 3.")


@contextlib.contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Turn any error in reading a picture into a one-line GanlibError that names the file."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise GanlibError("Set PIL.ImageFile.LOAD_TRUNCATED_IMAGES to False: it hides damage.")
    try:
        yield
    except Exception as error:  # Pillow may raise almost any exception on a damaged file
        found = f"{shown(path)} cannot be read as an image: {reason(error)}"
        remedy = 'Copy or unzip it again, or skip such files with on_error="skip"'
        raise GanlibError(f"{found}. {remedy}.") from error


def reason(error: BaseException) -> str:
    """Summarize an exception in a few words on one line."""
    if isinstance(error, UnidentifiedImageError):
        return "it is not a BMP, GIF, JPEG, PNG, TIFF or WebP picture"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels; increase PIL.Image.MAX_IMAGE_PIXELS"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shown(" ".join(text.split())[:200].rstrip("."))


def _read(path: str | Path, channels: int, white: int, remarks: list[str]) -> Image.Image:
    """Read a picture at its own size, in mode L, RGB, or F (grey, not yet rounded)."""
    with open_file(path) as file:
        image = _open(content := file.read())
    remarks += [PAGES] * _has_pages(content)
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode[0] in "IF":
        remarks += [BEYOND] * (image.getextrema()[1] > white)
        return _from_wide(image, white)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    image = image if image.mode == "L" else image.convert("RGB")  # CMYK becomes grey only via RGB
    if channels == 1 and image.mode == "RGB" and _has_colors(image):
        remarks.append(COLORS)
    return image.convert("L" if channels == 1 else "RGB")


def _has_pages(content: bytes) -> bool:
    with contextlib.suppress(Exception):  # errors in pages that are not read
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        return image.format != "MPO" and getattr(image, "n_frames", 1) > 1  # its pages are previews
    return False


def _has_colors(image: Image.Image) -> bool:
    # Reduced to 64 pixels or a little more, which averages out color artifacts of JPEG.
    pixels = np.asarray(image.reduce(max(1, max(image.size) // 64))).astype(int)
    return bool((np.ptp(pixels, axis=2) > TOLERANCE).any())


def _open(content: bytes) -> Image.Image:
    """Open a picture, with checks that Pillow omits."""
    if not content:
        raise ValueError("it is empty")
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow only warns
        raise Image.DecompressionBombError
    if image.format == "PNG":
        image.verify()  # checksums of the pixels, which Pillow skips when reading
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        # Pillow scales these levels to 8 bits, but not the level that stands for transparent.
        if image.tile[0][3] in ("1", "L;2", "L;4", "RGB;16B") and "transparency" in image.info:
            raise ValueError("a transparent level requires 8 bits; save it with 8 bits")
    # 0xffd9 ends a JPEG and never occurs in its pixels. Without it, the lower part would be grey.
    elif image.format in ("JPEG", "MPO") and content.find(b"\xff\xd9", image.fp.tell()) < 0:
        raise ValueError("it is truncated")
    image.load()
    return image


def _levels(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels).astype(np.uint8)


def _from_wide(image: Image.Image, white: int) -> Image.Image:
    """Scale 16-bit grey levels to 0..255; they are rounded after averaging."""
    # Some versions of Pillow open 16-bit PNG files as 32-bit integers.
    if not image.mode.startswith("I;16") and (image.mode, image.format) != ("I", "PNG"):
        raise ValueError("grey levels above 16 bits have no known range; save it with 8 or 16 bits")
    levels = np.asarray(image)
    clear = levels == image.info.get("transparency", -1)
    levels = np.minimum(levels, white) / np.float32(white / 255)
    return Image.fromarray(np.where(clear, 0, levels).astype(np.float32))


def _to_square(image: Image.Image, image_size: int, resize: str) -> Image.Image:
    square, box = (image_size, image_size), shown_box(*image.size, resize)
    if resize != "letterbox":
        return image.resize(square, Image.Resampling.BOX, box=box)
    (width, height), (left, top, right, bottom) = image.size, box
    if max(width, height) > LONGEST * min(width, height):
        raise ValueError(f"{width}x{height} pixels, more than {LONGEST} times as long as wide")
    # Long side first: full-length bars would take many times the memory.
    size, box = (width, image_size), (left, 0, right, image_size)
    if width >= height:
        size, box = (image_size, height), (0, top, image_size, bottom)
    image = image.resize(size, Image.Resampling.BOX).crop(box)
    return image.resize(square, Image.Resampling.BOX)


def read_rows(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Copy rows of images without touching a memory map, whose pages would stay in memory."""
    # A view of a memory map is one too, but does not know its offset in the file.
    mapped = isinstance(images, np.memmap) and isinstance(images.base, mmap.mmap)
    if not mapped or not images.flags.c_contiguous or images.filename is None:
        return np.asarray(images[rows])
    copy = np.empty((len(rows), *images.shape[1:]), images.dtype)
    # Opened each time: threads do not share a file position, and no handle stays open.
    with Path(images.filename).open("rb", buffering=0) as file:
        for row, image in zip(rows.tolist(), copy, strict=True):
            file.seek(images.offset + row * image.nbytes)
            if file.readinto(image) != image.nbytes:
                cut = f"{images.filename} ends before row {row}: it is truncated"
                raise GanlibError(f"{cut}. Delete it to decode the images again.")
    return copy
