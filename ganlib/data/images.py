"""Decoding image files to arrays of one shape, once, into a cache on disk."""

import contextlib
import errno
import io
import mmap
import os
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from ganlib.data.dataset import RESIZES, Dataset
from ganlib.errors import GanlibError
from ganlib.files import open_file, shown, unfinished
from ganlib.progress import progress

# Part of the cache's file name: raised with every change to what `decode` returns.
CODE_VERSION = 1
# Images that are decoded but not yet written, which bounds the memory whatever the disk's speed.
BATCH = 256
# How many times as long as wide a picture may be to be laid into a square whole.
LONGEST = 1000
# What a file may hold, whatever its name ends in. Pillow knows forty more, and for one of them
# (EPS) it runs a program on what the file says.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def decode(path: str | Path, image_size: int, channels: int, resize: str = "squeeze") -> np.ndarray:
    """Read one image file and bring it to a square of `image_size`.

    Sizes are changed with Pillow's `BOX` filter: when shrinking, every output pixel is the plain
    mean of the pixels that it covers. So a small dark defect still darkens its pixel at a 4.7-fold
    reduction, where filters that pick or weight pixels may lose it; the mean brightness is kept;
    and edges get no ringing, which an anomaly detector would have to learn. What is not square is
    squeezed ("squeeze"), or is kept whole between black bars of equal width ("letterbox"), or only
    its central square is taken ("crop"); `shown_box` says which pixels that shows.

    What a file holds counts, not how its name ends: BMP, GIF, JPEG, PNG, TIFF or WebP, the first
    picture if there are several. It is turned as its EXIF orientation says, as viewers do. Any mode
    that Pillow converts to RGB is read: transparent pixels are laid over black; 16-bit grey levels
    0..65535 become 0..255, of 16-bit colours the upper byte is kept; the inks of CMYK are taken to
    be stored inverted in a JPEG, as is customary. Colour profiles are not applied. Grey of colours
    is Pillow's (ITU-R 601-2 luma).

    A picture of more than `PIL.Image.MAX_IMAGE_PIXELS` (89 million) is refused before it is
    decoded; set that to another number, or None, to allow it. A PNG's check sums must be right, a
    JPEG must have an end. Damage that leaves a file well-formed cannot be told.

    Args:
        path: The image file, or a link to it.
        image_size: Height and width of the result in pixels, at least 1.
        channels: 1 for grey, 3 for RGB.
        resize: "squeeze", "letterbox" or "crop".

    Returns:
        uint8 array `(image_size, image_size, channels)`, 0..255.

    Raises:
        GanlibError: If the file is missing, truncated, damaged, too large or no image, or its grey
            levels have no known range (floats, 32-bit). If `image_size`, `channels` or `resize` is
            out of range, or Pillow is set to fill up truncated images.
    """
    _check_shape(image_size, channels, resize)
    with _naming(path):
        image = _to_square(_read(path, channels), image_size, resize)
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    return np.repeat(pixels, channels, axis=2) if pixels.shape[2] < channels else pixels


def read_picture(path: str | Path) -> Image.Image:
    """Read a picture in its own size and in colour, as `decode` reads it.

    Args:
        path: The image file.

    Returns:
        An RGB picture, turned as its EXIF orientation says.

    Raises:
        GanlibError: As for `decode`.
    """
    with _naming(path):
        picture = _read(path, 3)
        if picture.mode == "F":
            picture = Image.fromarray(np.rint(np.asarray(picture)).astype(np.uint8))
        return picture.convert("RGB")


def decode_mask(path: str | Path, image_size: int, resize: str = "squeeze") -> np.ndarray:
    """Read a mask and bring it to a square as `decode` brings its image.

    A pixel of the square is of the defect if any of the pixels that it stands for is, so that a
    defect of a few pixels does not vanish in reducing it. What is not black in the file is defect.

    Args:
        path: The mask, an image file.
        image_size: Height and width of the result in pixels, at least 1.
        resize: "squeeze", "letterbox" or "crop", as the image was decoded.

    Returns:
        bool array `(image_size, image_size)`.

    Raises:
        GanlibError: As for `decode`.
    """
    _check_shape(image_size, 1, resize)
    with _naming(path):
        levels = np.asarray(_read(path, 1))
        # In float, where one white pixel among thousands is still more than nothing.
        defect = Image.fromarray((levels > 0).astype(np.float32))
        return np.asarray(_to_square(defect, image_size, resize)) > 0


def size_of(path: str | Path) -> tuple[int, int]:
    """Read how large a picture is, turned as its EXIF orientation says, without decoding it.

    Args:
        path: The image file.

    Returns:
        Width and height in pixels.

    Raises:
        GanlibError: If it cannot be read.
    """
    with _naming(path), open_file(path) as file, Image.open(file, formats=FORMATS) as image:
        # Not in a TIFF, whose size Pillow has turned already. Asked for what a PNG does not say at
        # its beginning, Pillow would decode all of it.
        turned = "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return image.size[::-1] if turned else image.size


def shown_box(width: int, height: int, resize: str) -> tuple[int, int, int, int]:
    """Say which part of a picture the square shows that `decode` makes of it.

    Args:
        width: Of the picture, turned as its EXIF orientation says, pixels.
        height: Likewise.
        resize: "squeeze", "letterbox" or "crop".

    Returns:
        Left, top, right and bottom edge of what fills the square, in pixels of the picture. With
        "letterbox" they lie beyond its edges, where the bars are: below 0, and above its width or
        height.

    Raises:
        GanlibError: If there is no such `resize`.
    """
    _check_shape(1, 1, resize)
    if resize == "squeeze":
        return 0, 0, width, height
    side = min(width, height) if resize == "crop" else max(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


@contextlib.contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong in reading a picture into one line that names the file."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise GanlibError(
            "Pillow is set to fill up truncated images with grey, which would pass for a defect. "
            "Set PIL.ImageFile.LOAD_TRUNCATED_IMAGES to False."
        )
    try:
        yield
    except Exception as error:  # Pillow's readers raise nearly every type on a damaged file
        raise GanlibError(
            f"{shown(path)} cannot be read as an image: {reason(error)}. Copy or unzip the file "
            'again, or leave out such files with on_error="skip".'
        ) from error


def _read(path: str | Path, channels: int) -> Image.Image:
    """Read a picture in its own size; of mode L, RGB, or F for grey levels not yet rounded."""
    with open_file(path) as file:
        image = _open(file.read())
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_wide(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
        image = image.convert("RGB")
    elif image.mode != "L":
        image = image.convert("RGB")  # by way of RGB, because CMYK has no way to grey
    return image.convert("L" if channels == 1 else "RGB")


def _to_square(image: Image.Image, image_size: int, resize: str) -> Image.Image:
    """Reduce or enlarge what `shown_box` says to a square."""
    square, box = (image_size, image_size), shown_box(*image.size, resize)
    if resize != "letterbox":
        return image.resize(square, Image.Resampling.BOX, box=box)
    if max(image.size) > LONGEST * min(image.size):
        raise ValueError(
            f"it is {image.width}x{image.height} pixels, more than {LONGEST} times as long as wide"
        )
    # Along the long side first, as nothing is added there: with bars of the full length a large
    # picture would take many times its memory.
    left, top, right, bottom = box
    if image.width >= image.height:
        image = image.resize((image_size, image.height), Image.Resampling.BOX)
        image = image.crop((0, top, image_size, bottom))
    else:
        image = image.resize((image.width, image_size), Image.Resampling.BOX)
        image = image.crop((left, 0, right, image_size))
    return image.resize(square, Image.Resampling.BOX)


def reason(error: BaseException) -> str:
    """Say in a few words, on one line, what an exception says."""
    if isinstance(error, UnidentifiedImageError):
        return "it holds no BMP, GIF, JPEG, PNG, TIFF or WebP picture"
    if isinstance(error, Image.DecompressionBombError):
        return _too_large()
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shown(" ".join(text.split())[:200].rstrip("."))


def _too_large() -> str:
    """Say that a picture is over Pillow's limit, and how to allow it."""
    return (
        f"it has more than {Image.MAX_IMAGE_PIXELS} pixels, the limit PIL.Image.MAX_IMAGE_PIXELS, "
        "which you may raise"
    )


def _open(content: bytes) -> Image.Image:
    """Open a picture and check what Pillow does not check."""
    if not content:
        raise ValueError("it is empty")
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:  # up to twice that, Pillow warns
        raise ValueError(_too_large())
    if image.format == "PNG":
        image.verify()  # the check sums of the pixels, which are passed over in reading
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        # Pillow stretches these levels to 8 bit, but not the one that stands for clear.
        if image.tile[0][3] in ("1", "L;2", "L;4", "RGB;16B") and "transparency" in image.info:
            raise ValueError("a clear level is known of 8 bit only, save it with 8 bit")
    # In the pixels of a JPEG, 0xff is never followed by 0xd9. Without an end, a file whose rest was
    # never written and is filled up with zeros would become grey below.
    elif image.format in ("JPEG", "MPO") and content.find(b"\xff\xd9", image.fp.tell()) < 0:
        raise ValueError("it is truncated")
    image.load()
    return image


def load_images(
    dataset: Dataset, image_size: int, channels: int, cache_dir: str | Path | None = None
) -> np.memmap:
    """Decode all images of a data set, or take them from the cache.

    The cache is `<cache_dir>/cache/<name>-<digest>-<size>x<size>x<channels>-v<version>.npy`, with
    the data set's `resize` before the version if it is not "squeeze"; images with other bytes have
    another digest and so another file. The file appears complete or not at all.

    Args:
        dataset: What `open_dataset` returned.
        image_size: Height and width in pixels, at least 1.
        channels: 1 for grey, 3 for RGB.
        cache_dir: Where the folder `cache` is made; default is the dataset's `cache_dir`.

    Returns:
        Read-only uint8 array `(n, image_size, image_size, channels)` on disk, 0..255; row i is the
        file of `dataset.files.iloc[i]`.

    Raises:
        GanlibError: If images cannot be read (the first is named, the others are counted), or the
            disk is full.
    """
    _check_shape(image_size, channels)
    shape = (len(dataset.files), image_size, image_size, channels)
    size = "x".join(map(str, shape[1:]))
    resized = "" if dataset.resize == "squeeze" else f"-{dataset.resize}"
    name = f"{dataset.name}-{dataset.digest[:12]}-{size}{resized}-v{CODE_VERSION}.npy"
    path = Path(dataset.cache_dir if cache_dir is None else cache_dir) / "cache" / name
    images = _open_cache(path, shape)
    if images is None:
        _write_cache(path, shape, dataset)
        images = _open_cache(path, shape)
    if images is None:
        raise GanlibError(f"{path} was just written but cannot be read back. Check the disk.")
    return images


def read_rows(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Copy some images out of all, without holding more of them in memory than these.

    Pages of a mapped file that were touched count as memory of the process until it ends, so that
    indexing the map would after a pass over the data hold all images. Mapping the file anew each
    time holds none either, but takes two to three times as long as reading it.

    Args:
        images: `(n, height, width, channels)`, what `load_images` returned; any other array is
            indexed.
        rows: int `(m,)`, which images, 0..n - 1.

    Returns:
        Array `(m, height, width, channels)` of the images' type.

    Raises:
        GanlibError: If the file has become shorter since it was opened.
    """
    # A view of a map is one too, but says nothing of where in the file it begins.
    mapped = isinstance(images, np.memmap) and isinstance(images.base, mmap.mmap)
    if not mapped or not images.flags.c_contiguous or images.filename is None:
        return np.asarray(images[rows])
    found = np.empty((len(rows), *images.shape[1:]), images.dtype)
    # Opened each time: threads share no position in the file, and no handle is left open.
    with Path(images.filename).open("rb", buffering=0) as file:
        for row, image in zip(rows.tolist(), found, strict=True):
            file.seek(images.offset + row * image.nbytes)
            if file.readinto(image) != image.nbytes:
                raise GanlibError(
                    f"{images.filename} ends before row {row}: it was cut off after it was opened. "
                    "Delete it to have the images decoded again."
                )
    return found


def _check_shape(image_size: int, channels: int, resize: str = "squeeze") -> None:
    """Refuse shapes that no image can be brought to."""
    if resize not in RESIZES:
        raise GanlibError(f"resize is {resize!r}: choose {' | '.join(RESIZES)}.")
    if image_size < 1 or channels not in (1, 3):
        raise GanlibError(
            f"Images of {image_size} pixels with {channels} channels are not possible: image_size "
            "is at least 1, channels is 1 (grey) or 3 (RGB)."
        )


def _from_wide(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey levels to 0..255, in float so that the mean is taken before rounding."""
    # Some versions of Pillow open 16-bit PNG files with 32-bit integers; a TIFF with these has
    # them, and if its levels are small nobody knows whether they end at 255 or 65535.
    if not image.mode.startswith("I;16") and not (image.mode == "I" and image.format == "PNG"):
        raise ValueError("grey levels beyond 16 bit have no known range, save it with 8 or 16 bit")
    levels = np.asarray(image)
    clear = levels == image.info.get("transparency", -1)
    return Image.fromarray(np.where(clear, 0, levels / 257).astype(np.float32))


def _open_cache(path: Path, shape: tuple[int, ...]) -> np.memmap | None:
    """Map a cache file, or return None if it is absent or not what it should be."""
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _write_cache(path: Path, shape: tuple[int, ...], dataset: Dataset) -> None:
    """Decode all images in parallel and write them beside the path, then move them there."""
    needed = int(np.prod(shape, dtype=np.int64))
    files = dataset.files["file"]
    temporary = unfinished(path)
    refused: list[GanlibError] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if needed > free:
            raise _no_space(path, needed, free)
        # Written in order rather than through a memory map: on a full disk a write raises, while a
        # store to a mapped page kills the process.
        with (
            temporary.open("wb") as file,
            warnings.catch_warnings(action="ignore"),  # of Pillow's, on files that can be read
            ThreadPoolExecutor(os.cpu_count()) as pool,
            progress(len(files), f"decoding {dataset.name}", "image") as advance,
        ):
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(files), BATCH):
                batch = [dataset.root / file for file in files.iloc[start : start + BATCH]]
                for pixels in pool.map(
                    lambda path: try_decode(path, *shape[2:], dataset.resize), batch
                ):
                    if isinstance(pixels, GanlibError):
                        refused.append(pixels)
                    elif not refused:  # else the rest is only tried, to say how many are bad
                        file.write(pixels.tobytes())
                advance(len(batch))
        if refused:
            others = f" So it is with {len(refused) - 1} more of {len(files)} images."
            raise GanlibError(f"{refused[0]}{others if refused[1:] else ''}") from refused[0]
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(path, needed, shutil.disk_usage(path.parent).free) from error
        raise GanlibError(
            f"The decoded images cannot be written to {path}: {error}. Choose another data_dir."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def try_decode(path: Path, image_size: int, channels: int, resize: str) -> np.ndarray | GanlibError:
    """Decode an image, or return why it cannot be read."""
    try:
        return decode(path, image_size, channels, resize)
    except GanlibError as error:
        return error


def _no_space(path: Path, needed: int, free: int) -> GanlibError:
    """Say how much space the cache takes."""
    return GanlibError(
        f"No space for the decoded images {path}: {needed / 1e6:.1f} MB needed, {free / 1e6:.1f} "
        "MB free. Free some, choose a smaller image_size or another data_dir."
    )
