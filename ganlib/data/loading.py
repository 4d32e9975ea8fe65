"""Load the images and masks of a data set as arrays, decoded once into a cache on disk."""

import contextlib
import errno
import json
import os
import shutil
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ganlib.data.dataset import WHITE, Dataset, digest_of, part_digests
from ganlib.data.folder import folder_of, is_folder, list_folder
from ganlib.data.images import (
    COLORS,
    VERSION,
    check_shape,
    decode_mask,
    reason,
    size_of,
    try_decode,
)
from ganlib.errors import GanlibError
from ganlib.files import shown, write_safely

AHEAD = 256  # maximum number of images decoded but not yet used, to limit memory
SAMPLE = 32  # images for `channels_of` and `picture_size`


def load_images(
    dataset: Dataset, image_size: int, channels: int, cache_dir: str | Path | None = None
) -> np.memmap:
    """Decode all images of a data set to squares of 1 (grey) or 3 channels (RGB); cached on disk.

    Return a read-only uint8 array `(n, image_size, image_size, channels)`, 0..255, in the order of
    `dataset.files`. If images cannot be read, a GanlibError names the first and counts the others.
    """
    check_shape(image_size, channels)
    shape = (len(dataset.files), image_size, image_size, channels)
    size = "x".join(map(str, shape[1:]))
    size += "" if dataset.resize == "squeeze" else f"-{dataset.resize}"
    size += "" if dataset.white == WHITE else f"-{dataset.white}"
    name = f"{dataset.name}-{dataset.digest[:12]}-{size}-v{VERSION}.npy"
    path = Path(dataset.cache_dir if cache_dir is None else cache_dir) / "cache" / name
    with contextlib.suppress(OSError, ValueError, EOFError):  # absent or broken
        images = np.load(path, mmap_mode="r")
        if images.shape == shape and images.dtype == np.uint8:
            return images
    needed = int(np.prod(shape, dtype=np.int64))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if needed > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_safely(path, lambda temporary: _decode_all(temporary, shape, dataset))
    except OSError as error:
        found = f"The decoded images, {needed / 1e6:.1f} MB, cannot be written to {path}"
        found += f": {error.strerror or error}"
        remedy = "Choose a smaller image_size or another data_dir"
        raise GanlibError(f"{found}. {remedy}.") from error
    return np.load(path, mmap_mode="r")


def _decode_all(path: Path, shape: tuple[int, ...], dataset: Dataset) -> None:
    failed: list[GanlibError] = []
    # Written in order, not through a memory map, which would kill the process on a full disk.
    about = (*shape[2:], dataset.resize, dataset.white)
    images = _decoded(dataset.root, dataset.files["file"], *about)
    with path.open("wb") as out, contextlib.closing(images):
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        for pixels in images:
            if isinstance(pixels, GanlibError):
                failed.append(pixels)
            elif not failed:  # the rest is decoded only to count the broken ones
                out.write(pixels.tobytes())
    if failed:
        others = f" {len(failed) - 1} more of {shape[0]} images have the same problem."
        raise GanlibError(f"{failed[0]}{others if failed[1:] else ''}") from failed[0]


def _decoded(root: Path, files: pd.Series, *shape) -> Iterator[np.ndarray | GanlibError]:
    images = in_parallel(lambda file: try_decode(root / file, *shape), files)
    with warnings.catch_warnings(action="ignore"):  # Pillow's, about readable files
        yield from tqdm(images, "decoding", len(files), unit="image", disable=None)


def in_parallel(read: Callable, files: Iterable) -> Iterator:
    """Yield the result of `read` for every file, while the next files are read."""
    pool, waiting = ThreadPoolExecutor(os.cpu_count()), deque()
    try:
        for file in files:
            waiting.append(pool.submit(read, file))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def unreadable(dataset: Dataset) -> list[str]:
    """Return for every file why it cannot be decoded, or an empty string; cached on disk."""
    root, files = dataset.root, dataset.files
    digest = digest_of(part_digests(dataset, skip=True))
    name = f"{dataset.name}-{digest[:12]}-unreadable-v{VERSION}.json"
    record = dataset.cache_dir / "cache" / name
    with contextlib.suppress(OSError, ValueError):  # absent or broken
        reasons = json.loads(record.read_text())
        if isinstance(reasons, list) and len(reasons) == len(files):
            return reasons
    reasons = []
    with contextlib.closing(_decoded(root, files["file"], 1, 1, "squeeze")) as answers:
        for answer in answers:
            bad = isinstance(answer, GanlibError)
            if bad and (answer.__cause__ is None or isinstance(answer.__cause__, MemoryError)):
                raise answer  # a lack of memory says nothing about the file
            reasons.append(reason(answer.__cause__) if bad else "")
    with contextlib.suppress(OSError):  # the record only saves time
        write_safely(record, lambda path: path.write_text(json.dumps(reasons)))
    return reasons


def outlined(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return which rows `(n,)` are normal or have a mask, bool `(n,)`; none if none has a mask."""
    files = dataset.files.iloc[np.asarray(rows)]
    if "mask" not in files or not (files["mask"] != "").any():
        return np.zeros(len(files), bool)
    return ((files["label"] == 0) | (files["mask"] != "")).to_numpy()


def load_masks(dataset: Dataset, rows: np.ndarray, image_size: int) -> np.ndarray:
    """Load the masks of the defects of rows `(n,)`, bool `(n, image_size, image_size)`."""
    files = dataset.files.iloc[np.asarray(rows)]
    masks = np.zeros((len(files), image_size, image_size), bool)
    for mask, row in zip(masks, files.to_dict("records"), strict=True):
        if name := row.get("mask"):
            mask[:] = decode_mask(dataset.root / name, image_size, dataset.resize)
        elif row["label"]:
            file = shown(dataset.root / row["file"])
            raise GanlibError(f"{file} shows a defect but has no mask: leave it out (`outlined`).")
    return masks


def picture_size(dataset: Dataset) -> int:
    """Return the median of the longer side of a sample of pictures, in pixels of the files."""
    return int(np.median([max(size_of(file)) for file in _some(dataset, SAMPLE)]))


def shapes_of(dataset: Dataset, rows: np.ndarray) -> dict[str, list[float]]:
    """Return the minimum and maximum `aspect` (width / height) and `longest` side of pictures."""
    sizes = [size_of(dataset.root / file) for file in dataset.files["file"].iloc[rows]]
    width, height = np.array(sizes, float).T
    values = {"aspect": width / height, "longest": np.maximum(width, height)}
    return {name: [each.min(), each.max()] for name, each in values.items()}


def _some(dataset: Dataset, most: int) -> list[Path]:
    files = dataset.files["file"]
    return [dataset.root / file for file in files.iloc[:: -(-len(files) // most)]]


def channels_of(dataset: str | Path | Dataset) -> int | None:
    """Return how many channels a folder's images need; None for an archive: see its profile.

    It is 1 if a sample of good images is grey, whatever the files' modes: reduced to 64 pixels,
    which averages out color artifacts of JPEG, no channels differ by more than 8 levels.
    """
    if isinstance(dataset, Dataset):
        dataset = dataset.root if dataset.source == "folder" else dataset.name
    if not is_folder(dataset):
        return None
    good = list_folder(folder_of(dataset))[0][0]
    sample, remarks = np.unique(np.linspace(0, len(good.names) - 1, SAMPLE).astype(int)), []
    tried = [try_decode(good.folder / good.names[i], 1, 1, remarks=remarks) for i in sample]
    if all(isinstance(each, GanlibError) for each in tried):  # some may be left out
        raise tried[0]
    return 3 if COLORS in remarks else 1


def remarks_on(dataset: Dataset, channels: int) -> list[str]:
    """Report what a sample of pictures loses with this number of channels; see `images.decode`."""
    remarks, files = [], _some(dataset, 256)
    shape = (1, channels, "squeeze", dataset.white)
    deque(in_parallel(lambda file: try_decode(file, *shape, remarks=remarks), files), maxlen=0)
    found = Counter(remarks).items()
    return [f"{count} of {len(files)} sampled images have {what}." for what, count in found]
