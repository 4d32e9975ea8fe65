"""Tables on copies and brightness, to read before believing a result on a data set."""

import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from ganlib.data.dataset import Dataset
from ganlib.data.duplicates import THRESHOLD, groups_of, images_to_compare, nearest
from ganlib.data.splits import Split, paper_split


class Audit(NamedTuple):
    """Tables on copies and on brightness. The sets are those of the split, for instance "train".

    Attributes:
        copies: One line per pair of sets: of the `images` in `of`, how many have another image in
            `within` with the same file (`same_file`, by SHA-256), the same grey pixels at 128x128
            (`same_pixels`), or in the same group of near-duplicates (`near`; missing between normal
            images and anomalies, which are not grouped together).
        groups: One line per group of normal images, the largest first: `group`, `images` and one
            column per set of normal images with its images in that group.
        brightness: One line per set and kind: `set`, `kind`, `images`; mean and standard deviation
            over the images of their mean grey level, `brightness` and `brightness_sd`, and of the
            standard deviation of their grey levels, `contrast` and `contrast_sd`; 0..255.
        nearest: One line per normal test image, the nearest first: `row` and `file`, those of the
            nearest training image (`nearest_row`, `nearest_file`), `distance` (1 - correlation),
            `copy` (whether it is below the threshold) and `same_file`.
    """

    copies: pd.DataFrame
    groups: pd.DataFrame
    brightness: pd.DataFrame
    nearest: pd.DataFrame


def audit_dataset(
    dataset: Dataset, split: Split | None = None, threshold: float = THRESHOLD
) -> Audit:
    """Look for copies within and across the sets of a split, and compare brightness by class.

    Args:
        dataset: What `open_dataset` returned.
        split: Default is `paper_split(dataset)`.
        threshold: Distance below which two images count as copies of one picture, 0..1.
    """
    split = paper_split(dataset) if split is None else split
    sets = {
        "train": split.train,
        "calibration": split.calibration,
        "test normal": split.test_normal,
        "test anomaly": split.test_anomaly,
    }
    sets = {name: rows for name, rows in sets.items() if len(rows)}
    images = images_to_compare(dataset)
    files = _numbers((dataset.root / file).read_bytes() for file in dataset.files["file"])
    pixels = _numbers(image.tobytes() for image in images)
    groups = groups_of(dataset, threshold)
    return Audit(
        copies=_copies(sets, files, pixels, groups),
        groups=_groups(sets, groups),
        brightness=_brightness(dataset, sets, images),
        nearest=_nearest(dataset, split, images, files, threshold),
    )


def _numbers(contents) -> np.ndarray:
    """Give every content a number, and equal ones the same."""
    digests = [hashlib.sha256(content).digest() for content in contents]
    return np.unique(digests, return_inverse=True)[1]


def _copies(
    sets: dict[str, np.ndarray], files: np.ndarray, pixels: np.ndarray, groups: np.ndarray
) -> pd.DataFrame:
    def count(keys: np.ndarray, of: str, within: str) -> int:
        found, copies = np.unique(keys[sets[within]], return_counts=True)
        if of == within:
            found = found[copies > 1]  # another one than itself
        return int(np.isin(keys[sets[of]], found).sum())

    lines = []
    for of in sets:
        for within in sets:
            comparable = (of == "test anomaly") == (within == "test anomaly")
            near = count(groups, of, within) if comparable else pd.NA
            exact = (count(keys, of, within) for keys in (files, pixels))
            lines.append((of, within, len(sets[of]), *exact, near))
    columns = ["of", "within", "images", "same_file", "same_pixels", "near"]
    return pd.DataFrame(lines, columns=columns).astype({"near": "Int64"})


def _groups(sets: dict[str, np.ndarray], groups: np.ndarray) -> pd.DataFrame:
    normal = [name for name in sets if name != "test anomaly"]
    found = np.unique(np.concatenate([groups[sets[name]] for name in normal]))
    table = pd.DataFrame({"group": found})
    for name in normal:
        table[name] = (groups[sets[name]][:, None] == found).sum(0)
    table.insert(1, "images", table[normal].sum(axis=1))
    return table.sort_values(["images", "group"], ascending=[False, True], ignore_index=True)


def _brightness(dataset: Dataset, sets: dict[str, np.ndarray], images: np.ndarray) -> pd.DataFrame:
    rows = np.concatenate(list(sets.values()))
    table = pd.DataFrame(
        {
            "set": np.repeat(list(sets), [len(rows) for rows in sets.values()]),
            "kind": dataset.files["kind"].to_numpy()[rows],
            "brightness": [images[row].mean(dtype=np.float64) for row in rows],
            "contrast": [images[row].std(dtype=np.float64) for row in rows],
        }
    )
    columns = {
        f"{name}{end}": (name, how)
        for name in ("brightness", "contrast")
        for end, how in (("", "mean"), ("_sd", "std"))
    }
    groups = table.groupby(["set", "kind"], sort=False)
    return groups.agg(images=("brightness", "size"), **columns).reset_index()


def _nearest(
    dataset: Dataset, split: Split, images: np.ndarray, files: np.ndarray, threshold: float
) -> pd.DataFrame:
    index, distance = nearest(images[split.test_normal], images[split.train])
    rows, names = split.train[index], dataset.files["file"].to_numpy()
    table = pd.DataFrame(
        {
            "row": split.test_normal,
            "file": names[split.test_normal],
            "nearest_row": rows,
            "nearest_file": names[rows],
            "distance": distance,
            "copy": distance < threshold,
            "same_file": np.isin(files[split.test_normal], files[split.train]),
        }
    )
    return table.sort_values(["distance", "row"], ignore_index=True)
