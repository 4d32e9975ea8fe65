"""Split images for training and testing: as in the paper, or by groups of near-duplicates.

A split is the same on every machine. `seed` (at least 0) seeds all random draws. `limit` keeps at
most this many images of each set, drawn at random.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from ganlib.data.archives import HELD_OUT
from ganlib.data.dataset import Dataset
from ganlib.data.duplicates import groups_of
from ganlib.errors import GanlibError

SCATTER = 100  # images of each label in the paper's scatter plots
HELD_OUT_GROUPS = 4  # at least; copies of one picture add no information
GIANT = 1 / 3  # a group with a larger share of the normal images is never held out
MANY = 5000  # images; with more, comparing all pairs takes too long
FEWEST = 10  # minimum number of good images for a detector
CALIBRATING = 19  # scores required for a threshold at 5 % false alarms, 1 / rate - 1
FOLDS = 6
PROTOCOLS = {"paper": ["paper"], "grouped": ["grouped"]}  # and their splits, to be merged
PROTOCOLS["kfold"] = [f"kfold-{fold + 1}" for fold in range(FOLDS)]
NONE = np.empty(0, np.int64)
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # training, normal test, anomalous test


class Split(NamedTuple):
    """The images for each purpose, as sorted int64 row numbers of `Dataset.files`."""

    train: np.ndarray  # normal images to train on
    test_normal: np.ndarray
    test_anomaly: np.ndarray
    scatter_normal: np.ndarray  # up to 100 of `test_normal`, for scatter plots
    scatter_anomaly: np.ndarray
    calibration: np.ndarray = NONE  # other normal images, to fit a threshold


def paper_split(dataset: Dataset, seed: int = 0, limit: int | None = None) -> Split:
    """Split a data set as in the paper; copies of one picture may be on both sides.

    Casting keeps Kaggle's split. Cloud is tested on 100 normal images and up to 100 anomalies.
    """
    return _limited(*_paper_rows(dataset, seed, limit), NONE, seed, limit)


def grouped_split(
    dataset: Dataset, groups: np.ndarray, seed: int = 0, limit: int | None = None
) -> Split:
    """Split a data set and keep copies of one picture on the same side.

    `groups` is the group of every row of `Dataset.files`, from `groups_of` or your own, for
    instance the day. Whole groups of normal images are drawn: for the test, until there are as many
    images as in the paper's split; then for calibration, until there are a tenth of the rest. Each
    gets at least four groups (or a quarter of all, if fewer). Surplus images are left out evenly.
    The other groups are for training, as is any with more than a third of the normal images.
    """
    normal, anomaly, rows, member, sizes = _grouped_rows(dataset, groups, seed, limit)
    wanted = len(normal)
    order, few = _groups_to_hold_out(sizes, seed, 8)
    totals = np.cumsum(sizes[order])  # the first positions with enough images and groups:
    tested = max(few, int(np.searchsorted(totals, wanted)) + 1)
    held = totals[:tested].max(initial=0)
    kept = max(tested + few, int(np.searchsorted(totals, held + -(-(len(rows) - held) // 10))) + 1)
    if kept > len(order) or kept == len(sizes):
        raise GanlibError(
            f"The {len(rows)} normal images of {dataset.name} fall into {len(sizes)} groups, the "
            f"largest of {sizes.max()}: too few for test ({wanted}), calibration and training. Use "
            "a smaller threshold, more images, or the protocol paper (paper_split)."
        )
    train = rows[~np.isin(member, order[:kept])]
    normal = _draw_evenly(rows, member, order[:tested], max(wanted, tested), seed)
    rest = max(-(-(len(rows) - wanted) // 10), kept - tested)
    calibration = _draw_evenly(rows, member, order[tested:kept], rest, seed)
    return _limited(train, normal, anomaly, calibration, seed, limit)


def kfold_split(
    dataset: Dataset, groups: np.ndarray, fold: int, seed: int = 0, limit: int | None = None
) -> Split:
    """Split a data set for one fold, 1..6. Together they test each normal group once.

    `groups` is as for `grouped_split`. A fold tests a sixth of them, with images drawn evenly: a
    sixth of the paper's number, or one per group if that is more. A tenth of the other groups, at
    least four, is for calibration and the rest for training, as is, in all folds, any group with
    more than a third of the normal images. The anomalies are the same in all folds.
    """
    normal, anomaly, rows, member, sizes = _grouped_rows(dataset, groups, seed, limit)
    order, few = _groups_to_hold_out(sizes, seed, 15)
    if len(order) < 2 * FOLDS:
        found = f"The {len(rows)} normal images of {dataset.name} fall into {len(order)} groups"
        raise GanlibError(f"{found} that can be held out: {FOLDS} folds need {2 * FOLDS}.")
    # Calibrate on the next folds' groups, so that all are used for it about equally often.
    tested, *others = (order[(fold - 1 + turn) % FOLDS :: FOLDS] for turn in range(FOLDS))
    held = np.concatenate(others)[: max(few, -(-(len(order) - len(tested)) // 10))]
    train = rows[~np.isin(member, [*tested, *held])]
    normal = _draw_evenly(rows, member, tested, max(-(-len(normal) // FOLDS), len(tested)), seed)
    calibration = _draw_evenly(rows, member, held, max(len(train) // 10, len(held)), seed)
    return _limited(train, normal, anomaly, calibration, seed, limit)


def held_out_split(dataset: Dataset, share: float = 0.2, seed: int = 0) -> tuple[Split, str]:
    """Hold out a share (0..0.5) of the good images from training, to fit a threshold.

    A folder's validation/good is held out instead, if it has at least 19 images.
    Whole groups of near-copies are drawn: a copy in training would make the threshold too low. A
    group with more than a third of the good images is for training. Images are drawn one by one if
    such groups have half of them, as with a fixed camera, or if there are more than 5,000, which
    take too long to compare. Return also a sentence for a report on how the split was drawn.
    """
    if seed < 0 or not 0 < share <= 0.5:
        raise GanlibError(f"{seed=}, {share=}: seed must be >= 0, share above 0 and at most 0.5.")
    rows, normal, anomaly = _part_rows(dataset)
    if len(rows) < FEWEST:
        found = f"{dataset.name} has {len(rows)} good images for training and calibration"
        raise GanlibError(f"{found}: add more, at least {FEWEST}, preferably 300.")
    wanted = max(math.ceil(share * len(rows)), CALIBRATING if len(rows) >= 60 else 2)
    calibration = _draw(rows, wanted, seed, 13)
    note = f"drawn one by one, as more than {MANY:,} images are not compared for near-copies"
    validation = np.flatnonzero(dataset.files["part"] == "validation_normal")
    if CALIBRATING <= len(validation) < len(rows):
        calibration, note = validation, "those of validation/good"
    elif len(dataset.files) <= MANY:  # `groups_of` compares the test images too
        groups = groups_of(dataset)[rows]
        _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        giant = sizes[sizes > GIANT * len(rows)].sum()
        alike = f"{giant} of the good images are so alike that copies cannot be identified"
        note = f"drawn one by one, as {alike}, for instance with a fixed camera"
        if 2 * giant < len(rows):
            calibration = rows[np.isin(member, _groups_for(sizes, wanted, seed))]
            note = f"no near-copies of them are in training ({len(sizes)} distinct pictures in all)"
    note = f"{len(calibration)} of {len(rows)} good images were held out for the threshold: {note}."
    train = np.setdiff1d(rows, calibration)
    return _limited(train, normal, anomaly, calibration, seed, None), note


def pictures_of(dataset: Dataset, split: Split) -> np.ndarray:
    """Return each held-out image's picture; each is its own if training has copies of any."""
    groups = groups_of(dataset) if len(dataset.files) <= MANY else np.arange(len(dataset.files))
    copied = np.isin(groups[split.calibration], groups[split.train]).any()
    return split.calibration if copied else groups[split.calibration]


def split_dataset(
    dataset: Dataset, protocol: str = "paper", seed: int = 0, limit: int | None = None
) -> Split:
    """Split by the name of the protocol: "paper", "grouped", or "kfold-1" to "kfold-6"."""
    if protocol == "paper":
        return paper_split(dataset, seed, limit)
    if protocol == "grouped":
        return grouped_split(dataset, groups_of(dataset), seed, limit)
    if protocol in PROTOCOLS["kfold"]:
        return kfold_split(dataset, groups_of(dataset), int(protocol[-1]), seed, limit)
    raise GanlibError(f"There is no protocol {protocol!r}: choose paper | grouped | kfold-1 to -6.")


def to_score(dataset: Dataset, split: Split, seed: int = 0) -> pd.DataFrame:
    """List the images to score as `row` and `role`: "train" (up to 100), "calibration" or "test".

    Neither the table nor its order reveals which are anomalies.
    """
    tested = np.concatenate([split.test_normal, split.test_anomaly])
    tested = np.random.default_rng([seed, 12]).permutation(tested)
    sets = _draw(split.train, SCATTER, seed, 7), split.calibration, tested
    roles = np.repeat(["train", "calibration", "test"], [len(rows) for rows in sets])
    return pd.DataFrame({"row": np.concatenate(sets), "role": roles})


def add_truth(dataset: Dataset, split: Split, table: pd.DataFrame) -> pd.DataFrame:
    """Add columns on the true content of each image to a table from `to_score`.

    `group` is "train normal", "calibration", "test normal" or "test anomaly"; `cluster` is equal
    for near-duplicates; `scatter` is True for images in the paper's scatter plots.
    """
    rows, role = table["row"].to_numpy(), table["role"]
    known = dataset.files[["file", "kind", "label"]].iloc[rows].set_index(table.index)
    in_scatter = np.isin(rows, np.concatenate([split.scatter_normal, split.scatter_anomaly]))
    label = known["label"].map({0: " normal", 1: " anomaly"})
    known["group"] = role.where(role == "calibration", role + label)
    known["cluster"] = groups_of(dataset)[rows]
    known["scatter"] = role.eq("train") | (role.eq("test") & in_scatter)
    return table.join(known)


def _paper_rows(dataset: Dataset, seed: int, limit: int | None) -> Rows:
    if seed < 0 or (limit is not None and limit < 1):
        raise GanlibError(f"{seed=}, {limit=}: seed must be at least 0, limit at least 1 or None.")
    train, normal, anomaly = _part_rows(dataset)
    if dataset.source == "folder" and not (len(normal) and len(anomaly)):
        raise GanlibError(
            f"{dataset.name} has {len(normal)} good and {len(anomaly)} bad test images: methods "
            "cannot be compared without both. Add some, or only train a detector: notebook "
            "05_your_images, or python -m ganlib train."
        )
    if "normal" in dataset.digests:
        normal, anomaly = _draw(train, HELD_OUT, seed, 0), _draw(anomaly, HELD_OUT, seed, 1)
        train = np.setdiff1d(train, normal)
    return train, normal, anomaly


def _part_rows(dataset: Dataset) -> Rows:
    good = ["normal", "train_normal", "validation_normal"]
    parts = good, ["test_normal"], ["anomaly", "test_anomaly"]
    return tuple(np.flatnonzero(dataset.files["part"].isin(names)) for names in parts)


def _grouped_rows(dataset: Dataset, groups: np.ndarray, seed: int, limit: int | None) -> tuple:
    """Return the paper's test images, and all normal images' rows, groups and group sizes."""
    train, normal, anomaly = _paper_rows(dataset, seed, limit)
    rows, groups = np.union1d(train, normal), np.asarray(groups)
    if groups.shape != (expected := (len(dataset.files),)):
        raise GanlibError(f"groups has shape {groups.shape}, expected {expected}, one per image.")
    member = pd.factorize(groups[rows], use_na_sentinel=False)[0]
    return normal, anomaly, rows, member, np.bincount(member)


def _groups_to_hold_out(sizes: np.ndarray, seed: int, stream: int) -> tuple[np.ndarray, int]:
    """Shuffle the groups that may be held out; return them and the minimum number."""
    order = _shuffled(len(sizes), seed, stream)
    few = max(1, min(HELD_OUT_GROUPS, len(sizes) // 4))
    return order[sizes[order] <= GIANT * sizes.sum()], few


def _groups_for(sizes: np.ndarray, wanted: int, seed: int) -> list[int]:
    order, few = _groups_to_hold_out(sizes, seed, 14)
    drawn, count = [], 0
    for group in order:
        if count + sizes[group] <= wanted:
            drawn.append(group)
            count += sizes[group]
    left = np.setdiff1d(order, drawn)  # the smallest of these, if too few were drawn
    left = left[sizes[left].argsort(kind="stable")]
    before = count + np.cumsum(sizes[left]) - sizes[left]
    return [*drawn, *left[(before < wanted) | (len(drawn) + np.arange(len(left)) < few)]]


def _limited(train, normal, anomaly, calibration, seed, limit) -> Split:
    normal, anomaly = _draw(normal, limit, seed, 3), _draw(anomaly, limit, seed, 4)
    train, calibration = _draw(train, limit, seed, 2), _draw(calibration, limit, seed, 9)
    scatter = _draw(normal, SCATTER, seed, 5), _draw(anomaly, SCATTER, seed, 6)
    return Split(train, normal, anomaly, *scatter, calibration)


def _shuffled(count: int, seed: int, stream: int) -> np.ndarray:
    """Shuffle `range(count)`; every stream has its own random numbers."""
    # Sort uniform random numbers: NumPy may change how `choice` uses the generator.
    return np.random.default_rng([seed, stream]).random(count).argsort(kind="stable")


def _draw(rows: np.ndarray, count: int | None, seed: int, stream: int) -> np.ndarray:
    return np.sort(rows[_shuffled(len(rows), seed, stream)[:count]])


def _draw_evenly(rows, member, groups, count: int, seed: int) -> np.ndarray:
    """Draw up to `count` rows, sorted: one from each group, then a second from each, ..."""
    within = np.isin(member, groups)
    rows, member = rows[within], member[within]
    order = _shuffled(len(rows), seed, 10)
    turn = pd.Series(order).groupby(member[order]).cumcount().to_numpy()
    return np.sort(rows[order[turn.argsort(kind="stable")[:count]]])
