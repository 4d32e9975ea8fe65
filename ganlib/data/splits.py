"""Splits into training and test images: the paper's, and two by groups of near-duplicates.

A split is the same on every machine. `seed`, at least 0, is that of all draws; `limit` keeps at
most so many images of each set, drawn at random.
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
HELD_OUT_GROUPS = 4  # at least: copies of one picture say no more than the picture
GIANT = 1 / 3  # a group with a larger share of the normal images is never held out
MANY = 5000  # images: beyond, comparing each with each takes too long
FEWEST = 10  # good images with which a detector can be begun
CALIBRATING = 19  # scores that a threshold for 5 % false alarms needs, 1 / rate - 1
FOLDS = 6
PROTOCOLS = {"paper": ["paper"], "grouped": ["grouped"]}  # and their splits, to be merged
PROTOCOLS["kfold"] = [f"kfold-{fold + 1}" for fold in range(FOLDS)]
NONE = np.empty(0, np.int64)
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # to train on, normal and anomalies to test on


class Split(NamedTuple):
    """Which images are used for what: int64 arrays of sorted row numbers of `Dataset.files`."""

    train: np.ndarray  # normal images to train on
    test_normal: np.ndarray
    test_anomaly: np.ndarray
    scatter_normal: np.ndarray  # up to 100 of `test_normal`, for scatter plots
    scatter_anomaly: np.ndarray
    calibration: np.ndarray = NONE  # other normal images, to fit a threshold by


def paper_split(dataset: Dataset, seed: int = 0, limit: int | None = None) -> Split:
    """Split a data set as the paper does; copies of one picture may be on both sides.

    Casting keeps Kaggle's split; of cloud, 100 normal images and up to 100 anomalies are tested.
    """
    return _limited(*_paper_rows(dataset, seed, limit), NONE, seed, limit)


def grouped_split(
    dataset: Dataset, groups: np.ndarray, seed: int = 0, limit: int | None = None
) -> Split:
    """Split a data set so that copies of one picture are never on two sides.

    `groups` is that of every row of `Dataset.files`, from `groups_of` or your own, say a day. Whole
    groups of normal images are drawn: for the test, until there are as many images as in the
    paper's split, then for calibration, until there are a tenth of the others; four groups at least
    each (or a quarter of all, if that is less). Surplus images are left out, evenly from the
    groups. The other groups train, and so does any of more than a third of the normal images.
    """
    normal, anomaly, rows, member, sizes = _grouped_rows(dataset, groups, seed, limit)
    wanted = len(normal)
    order, few = _groups_to_hold_out(sizes, seed, 8)
    totals = np.cumsum(sizes[order])  # the first places at which images and groups are enough:
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
    """Split a data set for one fold, 1..6. Together they test each group of normal images once.

    `groups` is as for `grouped_split`. Of a sixth of them as many images are drawn, evenly, as make
    the paper's number in all folds, or one each. A tenth of the other groups, at least four,
    calibrates; the rest trains, and in all folds one with more than a third of the normal images.
    The anomalies are the same in all folds.
    """
    normal, anomaly, rows, member, sizes = _grouped_rows(dataset, groups, seed, limit)
    order, few = _groups_to_hold_out(sizes, seed, 15)
    if len(order) < 2 * FOLDS:
        found = f"The {len(rows)} normal images of {dataset.name} fall into {len(order)} groups"
        raise GanlibError(f"{found} that can be held out: {FOLDS} folds need {2 * FOLDS}.")
    # The next fold's groups calibrate, so that over all folds each does so about equally often.
    tested, *others = (order[(fold - 1 + turn) % FOLDS :: FOLDS] for turn in range(FOLDS))
    held = np.concatenate(others)[: max(few, -(-(len(order) - len(tested)) // 10))]
    train = rows[~np.isin(member, [*tested, *held])]
    normal = _draw_evenly(rows, member, tested, max(-(-len(normal) // FOLDS), len(tested)), seed)
    calibration = _draw_evenly(rows, member, held, max(len(train) // 10, len(held)), seed)
    return _limited(train, normal, anomaly, calibration, seed, limit)


def held_out_split(dataset: Dataset, share: float = 0.2, seed: int = 0) -> tuple[Split, str]:
    """Hold a share, 0..0.5, of the good images out of training, to fit a threshold by.

    A folder's validation/good is held out instead, if it has at least 19 images.
    Whole groups of near-copies are drawn: a copy in training would make the threshold too low. A
    group with more than a third of the good images trains. Images are drawn one by one if such
    groups hold half of them, as under a fixed camera, or if there are more than 5,000, which take
    too long to compare. Return also a sentence on how the split was drawn, for a report.
    """
    if seed < 0 or not 0 < share <= 0.5:
        raise GanlibError(f"{seed=}, {share=}: seed is >= 0, share is above 0 and at most 0.5.")
    rows, normal, anomaly = _part_rows(dataset)
    if len(rows) < FEWEST:
        found = f"{dataset.name} has {len(rows)} good images to train and calibrate on"
        raise GanlibError(f"{found}: add more, at least {FEWEST}, better 300.")
    wanted = max(math.ceil(share * len(rows)), CALIBRATING if len(rows) >= 60 else 2)
    calibration = _draw(rows, wanted, seed, 13)
    note = f"drawn one by one, as more than {MANY:,} images are not compared for near-copies"
    validation = np.flatnonzero(dataset.files["part"] == "validation_normal")
    if CALIBRATING <= len(validation) < len(rows):
        calibration, note = validation, "those of validation/good"
    elif len(dataset.files) <= MANY:  # `groups_of` looks at the test images too
        groups = groups_of(dataset)[rows]
        _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        giant = sizes[sizes > GIANT * len(rows)].sum()
        alike = f"{giant} of the good images are so alike that copies cannot be told"
        note = f"drawn one by one, as {alike}, for instance under a fixed camera"
        if 2 * giant < len(rows):
            calibration = rows[np.isin(member, _groups_for(sizes, wanted, seed))]
            note = f"no near-copy of them is trained on (the good images are {len(sizes)} pictures)"
    note = f"{len(calibration)} of {len(rows)} good images were held out for the threshold: {note}."
    train = np.setdiff1d(rows, calibration)
    return _limited(train, normal, anomaly, calibration, seed, None), note


def pictures_of(dataset: Dataset, split: Split) -> np.ndarray:
    """Find which picture each held-out image shows; each its own if some of them are trained on."""
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

    Neither the table nor its order tells which are anomalies.
    """
    tested = np.concatenate([split.test_normal, split.test_anomaly])
    tested = np.random.default_rng([seed, 12]).permutation(tested)
    sets = _draw(split.train, SCATTER, seed, 7), split.calibration, tested
    roles = np.repeat(["train", "calibration", "test"], [len(rows) for rows in sets])
    return pd.DataFrame({"row": np.concatenate(sets), "role": roles})


def add_truth(dataset: Dataset, split: Split, table: pd.DataFrame) -> pd.DataFrame:
    """Add to each line of a table from `to_score` what the image is.

    Of the columns, `group` is "train normal", "calibration", "test normal" or "test anomaly",
    `cluster` equal for near-duplicates, `scatter` whether the paper's scatter plots show the image.
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
        raise GanlibError(f"{seed=}, {limit=}: seed is at least 0, limit is at least 1 or None.")
    train, normal, anomaly = _part_rows(dataset)
    if dataset.source == "folder" and not (len(normal) and len(anomaly)):
        raise GanlibError(
            f"{dataset.name} has {len(normal)} good and {len(anomaly)} bad test images: methods "
            "cannot be compared without both. Add some, or train a detector alone: notebook "
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
    """Return the paper's test images, and of all normal images rows, groups, groups' sizes."""
    train, normal, anomaly = _paper_rows(dataset, seed, limit)
    rows, groups = np.union1d(train, normal), np.asarray(groups)
    if groups.shape != (expected := (len(dataset.files),)):
        raise GanlibError(f"groups has the shape {groups.shape}, expected {expected}, as files.")
    member = pd.factorize(groups[rows], use_na_sentinel=False)[0]
    return normal, anomaly, rows, member, np.bincount(member)


def _groups_to_hold_out(sizes: np.ndarray, seed: int, stream: int) -> tuple[np.ndarray, int]:
    """Shuffle the groups that may be held out; return them and the least number."""
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
    left = np.setdiff1d(order, drawn)  # the smallest of these, if the drawn ones are too few
    left = left[sizes[left].argsort(kind="stable")]
    before = count + np.cumsum(sizes[left]) - sizes[left]
    return [*drawn, *left[(before < wanted) | (len(drawn) + np.arange(len(left)) < few)]]


def _limited(train, normal, anomaly, calibration, seed, limit) -> Split:
    normal, anomaly = _draw(normal, limit, seed, 3), _draw(anomaly, limit, seed, 4)
    train, calibration = _draw(train, limit, seed, 2), _draw(calibration, limit, seed, 9)
    scatter = _draw(normal, SCATTER, seed, 5), _draw(anomaly, SCATTER, seed, 6)
    return Split(train, normal, anomaly, *scatter, calibration)


def _shuffled(count: int, seed: int, stream: int) -> np.ndarray:
    """Shuffle 0..count; every stream has its own random numbers."""
    # Ranks of uniform numbers: NumPy may change how `choice` uses the generator.
    return np.random.default_rng([seed, stream]).random(count).argsort(kind="stable")


def _draw(rows: np.ndarray, count: int | None, seed: int, stream: int) -> np.ndarray:
    return np.sort(rows[_shuffled(len(rows), seed, stream)[:count]])


def _draw_evenly(rows, member, groups, count: int, seed: int) -> np.ndarray:
    """Draw up to `count` rows, sorted: one of each of the groups, then a second of each, ..."""
    within = np.isin(member, groups)
    rows, member = rows[within], member[within]
    order = _shuffled(len(rows), seed, 10)
    turn = pd.Series(order).groupby(member[order]).cumcount().to_numpy()
    return np.sort(rows[order[turn.argsort(kind="stable")[:count]]])
