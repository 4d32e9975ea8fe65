"""Write the generated stand-ins for the two data sets, laid out like Kaggle's unpacked archives."""

import csv
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ganlib.data.archives import ARCHIVES, MARKER, Archive, is_anomaly
from ganlib.data.generate_casting import CASTING_KINDS, casting_images
from ganlib.data.generate_cloud import CLOUD_KINDS, cloud_images
from ganlib.errors import GanlibError
from ganlib.files import unfinished
from ganlib.progress import progress

__all__ = ["CASTING_KINDS", "CLOUD_KINDS", "casting_images", "cloud_images", "write_dataset"]

# To be raised whenever a seed gives other pictures than before.
VERSION = 1
CHUNK = 32


class _Drawing(NamedTuple):
    """How the pictures of one archive are drawn and named."""

    draw: Callable[..., np.ndarray]
    prefixes: Mapping[str, str]  # of the file names; parts with the same one are numbered through
    anomalies: tuple[str, ...]  # repeated in this order, so every stretch of files has all kinds


_DRAWINGS = {
    "casting": _Drawing(
        casting_images,
        {"train_normal": "cast_ok_0_", "test_normal": "cast_ok_0_", "test_anomaly": "cast_def_0_"},
        CASTING_KINDS[1:],
    ),
    "cloud": _Drawing(
        cloud_images,
        {"normal": "train_", "anomaly": "train_"},
        ("cloudy", "partly_cloudy", "cloudy", "partly_cloudy", "haze"),
    ),
}


class _Picture(NamedTuple):
    """A picture to draw: `index` chooses the random stream."""

    index: int
    kind: str
    path: Path


def write_dataset(
    name: str,
    root: str | Path,
    seed: int = 0,
    image_size: int = 128,
    counts: Mapping[str, int] | None = None,
) -> Path:
    """Generate a data set and write it as PNG files in the folders of Kaggle's archive.

    Everything is written beside `root` first and then renamed, so `root` is either complete or
    absent. Beside the folders lie `GENERATED.txt`, which says what this is, and
    `<name>_kinds.csv` with the kind of every anomaly.

    Args:
        name: 'casting' or 'cloud'.
        root: folder to make; it must not exist or be empty.
        seed: non-negative integer; the same seed gives the same pictures on every machine.
        image_size: side of the square pictures, at least 16.
        counts: number of pictures of some parts, instead of the archive's own number. Parts of
            casting: 'train_normal', 'test_normal', 'test_anomaly'; of cloud: 'normal', 'anomaly'.

    Returns:
        `root` as an absolute path.

    Raises:
        GanlibError: for an unknown name or part, a negative number, a size below 16, or a `root`
            that already holds files.
    """
    if name not in _DRAWINGS:
        raise GanlibError(f"data set is {name!r}; expected one of {', '.join(_DRAWINGS)}")
    drawing, archive = _DRAWINGS[name], ARCHIVES[name]
    sizes = _sizes(archive, counts or {})
    drawing.draw([], seed, image_size)  # refuses a wrong seed or size before a folder is made
    root = Path(root).resolve()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise GanlibError(f"{root} already exists; expected a new or an empty folder")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{unfinished(root).name}-", dir=root.parent
    ) as scratch:
        # A folder inside the scratch folder, because the latter is closed to other users.
        tree = Path(scratch) / root.name
        tree.mkdir()
        pictures = _plan(archive, drawing, sizes, tree)
        _write_pictures(drawing.draw, pictures, seed, image_size, f"generating {name}")
        _write_kinds(tree / f"{name}_kinds.csv", pictures)
        (tree / MARKER).write_text(_marker(name, seed, image_size), encoding="utf-8")
        if root.exists():
            root.rmdir()  # Windows renames onto nothing, not even onto an empty folder
        tree.replace(root)
    return root


def _sizes(archive: Archive, counts: Mapping[str, int]) -> dict[str, int]:
    """Return the number of pictures of every part."""
    for part, count in counts.items():
        if part not in archive.counts:
            known = ", ".join(archive.counts)
            raise GanlibError(f"counts has a part {part!r}; {archive.name} has {known}")
        if count < 0:
            raise GanlibError(f"counts[{part!r}] is {count}; expected 0 or more")
    return {**archive.counts, **counts}


def _plan(
    archive: Archive, drawing: _Drawing, sizes: Mapping[str, int], tree: Path
) -> list[_Picture]:
    """Every picture with its stream, its kind and its file; makes the folders."""
    pictures: list[_Picture] = []
    numbers: Counter[str] = Counter()
    for part, size in sizes.items():
        folder = tree / archive.folders[part][0]
        folder.mkdir(parents=True)
        kinds = drawing.anomalies if is_anomaly(part) else ("normal",)
        prefix = drawing.prefixes[part]
        for i in range(size):
            numbers[prefix] += 1
            path = folder / f"{prefix}{numbers[prefix]:04d}.png"
            pictures.append(_Picture(len(pictures), kinds[i % len(kinds)], path))
    return pictures


def _write_pictures(
    draw: Callable[..., np.ndarray],
    pictures: list[_Picture],
    seed: int,
    image_size: int,
    title: str,
) -> None:
    """Draw and write all pictures, a chunk per thread at a time."""

    def work(chunk: list[_Picture]) -> int:
        images = draw([p.kind for p in chunk], seed, image_size, start=chunk[0].index)
        for picture, image in zip(chunk, images, strict=True):
            # Fast compression: the files are a tenth larger and written three times faster.
            Image.fromarray(image.squeeze()).save(picture.path, compress_level=1)
        return len(chunk)

    chunks = [pictures[i : i + CHUNK] for i in range(0, len(pictures), CHUNK)]
    with (
        progress(len(pictures), title, "image") as advance,
        ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool,
    ):
        try:
            for done in as_completed([pool.submit(work, chunk) for chunk in chunks]):
                advance(done.result())
        except BaseException:
            # Otherwise leaving the pool would first wait for all the chunks that are still queued.
            pool.shutdown(cancel_futures=True)
            raise


def _write_kinds(path: Path, pictures: list[_Picture]) -> None:
    """Table of the anomalies: bare file name and kind."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "kind"))
        table.writerows((p.path.name, p.kind) for p in pictures if p.kind != "normal")


def _marker(name: str, seed: int, image_size: int) -> str:
    """Return the text of `GENERATED.txt`."""
    return (
        f"These are generated pictures, not photographs: ganlib drew them as a stand-in for the\n"
        f"{name} data set. Numbers measured on them say nothing about the real images.\n"
        f"\n"
        f"dataset: {name}\n"
        f"seed: {seed}\n"
        f"image_size: {image_size}\n"
        f"version: {VERSION}\n"
    )
