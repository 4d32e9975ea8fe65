"""Tables of copies and brightness, to check before trusting results on a data set."""

import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from ganlib.data.dataset import Dataset
from ganlib.data.duplicates import THRESHOLD, groups_of, images_to_compare, nearest
from ganlib.data.splits import Split, paper_split
from ganlib.files import shown


class Audit(NamedTuple):
    """Tables of copies and brightness in the sets of a split, such as "train".

    `copies` counts, for each pair of sets, the images in `of` that share their file, their grey
    pixels at 128x128, or their group of copies (`near`) with another image in `within`.
    """

    copies: pd.DataFrame
    groups: pd.DataFrame  # images of each group of normal images in each set, largest group first
    brightness: pd.DataFrame  # mean and standard deviation (contrast) of grey levels, 0..255
    nearest: pd.DataFrame  # training image of each normal test image; distance 1 - correlation


def audit_dataset(dataset: Dataset, split: Split | None = None, threshold=THRESHOLD) -> Audit:
    """Look for copies within and across the sets of a split, by default the paper's."""
    split = paper_split(dataset) if split is None else split
    names = "train", "calibration", "test_normal", "test_anomaly"
    sets = {name.replace("_", " "): getattr(split, name) for name in names}
    images, rows = images_to_compare(dataset), np.concatenate(list(sets.values()))
    table = dataset.files.iloc[rows][["file", "kind"]]
    table = table.assign(
        row=rows,
        set=np.repeat(list(sets), [len(own) for own in sets.values()]),
        same_file=[_digest((dataset.root / file).read_bytes()) for file in table["file"]],
        same_pixels=[_digest(images[row].tobytes()) for row in rows],
        near=groups_of(dataset, threshold)[rows],
        brightness=[images[row].mean(dtype=np.float64) for row in rows],
        contrast=[images[row].std(dtype=np.float64) for row in rows],
    )
    brightness = table.groupby(["set", "kind"], sort=False).agg(
        images=("row", "size"),
        brightness=("brightness", "mean"),
        brightness_sd=("brightness", "std"),
        contrast=("contrast", "mean"),
        contrast_sd=("contrast", "std"),
    )
    closest = _nearest(table, split, images, threshold)
    return Audit(_copies(table), _groups(table), brightness.reset_index(), closest)


def tested_copies(dataset: Dataset, split: Split) -> list[str]:
    """Report in a sentence how many test images are copies of files in the other sets, if any."""

    def digests(*sets):
        files = dataset.files["file"].iloc[np.concatenate(sets)]
        return {file: _digest((dataset.root / file).read_bytes()) for file in files}

    tested = digests(split.test_normal, split.test_anomaly)
    known = set(digests(split.train, split.calibration).values()) if tested else set()
    copies = [file for file, digest in tested.items() if digest in known]
    found = f"{len(copies)} of {len(tested)} test images are copies of training or held-out images"
    remedy = "Remove one of the two: such a test is meaningless"
    return [f"{found}, first {shown(copies[0])}. {remedy}."] if copies else []


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _copies(table: pd.DataFrame) -> pd.DataFrame:
    lines, sets = [], dict(list(table.groupby("set", sort=False)))
    for of, some in sets.items():
        for within, others in sets.items():
            line = {"of": of, "within": within, "images": len(some)}
            for what in ("same_file", "same_pixels", "near"):
                # Within its own set, an image other than itself
                found = others.loc[others[what].duplicated() | (of != within), what]
                line[what] = int(some[what].isin(found).sum())
            if "test anomaly" in (of, within) and of != within:  # grouped separately
                line["near"] = pd.NA
            lines.append(line)
    return pd.DataFrame(lines).astype({"near": "Int64"})


def _groups(table: pd.DataFrame) -> pd.DataFrame:
    normal = table[table["set"] != "test anomaly"]
    groups = pd.crosstab(normal["near"], normal["set"])[normal["set"].unique()]
    groups = groups.rename_axis("group").rename_axis(columns=None).reset_index()
    groups.insert(1, "images", groups.drop(columns="group").sum(axis=1))
    return groups.sort_values(["images", "group"], ascending=[False, True], ignore_index=True)


def _nearest(table, split: Split, images: np.ndarray, threshold: float) -> pd.DataFrame:
    index, distance = nearest(images[split.test_normal], images[split.train])
    tested, trained = (table[table["set"] == name] for name in ("test normal", "train"))
    found = tested[["row", "file"]].assign(
        nearest_row=split.train[index],
        nearest_file=trained["file"].to_numpy()[index],
        distance=distance,
        copy=distance < threshold,
        same_file=tested["same_file"].isin(trained["same_file"]),
    )
    return found.sort_values(["distance", "row"], ignore_index=True)
