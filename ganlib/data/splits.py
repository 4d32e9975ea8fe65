"""Splits into training and test images: the paper's, and by groups of near-duplicates."""

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
NONE = np.empty(0, np.int64)


class Split(NamedTuple):
    """Which images are used for what: int64 arrays of sorted row numbers of `Dataset.files`.

    Attributes:
        train: Normal images to train on.
        test_normal: Normal images to test on.
        test_anomaly: Anomalies to test on.
        scatter_normal: Up to 100 of `test_normal`, for scatter plots.
        scatter_anomaly: Up to 100 of `test_anomaly`, for scatter plots.
        calibration: Other normal images, to fit a threshold by; empty in the paper's split.
    """

    train: np.ndarray
    test_normal: np.ndarray
    test_anomaly: np.ndarray
    scatter_normal: np.ndarray
    scatter_anomaly: np.ndarray
    calibration: np.ndarray = NONE


def paper_split(dataset: Dataset, seed: int = 0, limit: int | None = None) -> Split:
    """Split a data set as the paper does; the same on every machine.

    Casting keeps Kaggle's split. Of cloud, 100 normal images drawn at random and up to 100
    anomalies are tested. Copies of one picture are not kept together (every normal test image of
    casting has one in training), and no normal images are kept for a threshold: see
    `grouped_split`. `limit` keeps at most so many images of each set, drawn at random.

    Raises:
        GanlibError: If `limit` is less than 1 or `seed` less than 0, or test images are missing.
    """
    train, normal, anomaly = _papers_rows(dataset, seed, limit)
    return _limited(train, normal, anomaly, NONE, seed, limit)


def grouped_split(
    dataset: Dataset, groups: np.ndarray, seed: int = 0, limit: int | None = None
) -> Split:
    """Split a data set so that copies of one picture are never on two sides.

    Of all normal images whole groups are drawn at random: first for the test, until there are as
    many images as in the paper's split, then for calibration, until there are a tenth of the
    others. Each of the two has four groups at least (or a quarter of all groups, if that is less).
    Of more images than wanted, as many as wanted are kept, evenly from the groups. The other groups
    train, and so does any group of more than a third of the normal images. The anomalies are those
    of `paper_split` with the same seed and limit.

    Args:
        dataset: What `open_dataset` returned.
        groups: int `(n,)`, the group of every row of `Dataset.files`: what `groups_of` returned, or
            your own, for instance a serial number or a day.
        seed: At least 0.
        limit: As for `paper_split`, and for `calibration` too.

    Raises:
        GanlibError: As for `paper_split`; or if `groups` does not match the data set, or leaves
            nothing to train on.
    """
    train, normal, anomaly = _papers_rows(dataset, seed, limit)
    rows, groups = np.union1d(train, normal), np.asarray(groups)
    if groups.shape != (len(dataset.files),):
        raise GanlibError(
            f"groups has the shape {groups.shape}, expected {(len(dataset.files),)}: one group for "
            "every row of dataset.files, as groups_of(dataset) returns."
        )
    _, first, member = np.unique(groups[rows], return_index=True, return_inverse=True)
    member = first.argsort().argsort()[member]  # in order of rows: the groups' names do not matter
    sizes = np.bincount(member)
    order = _draw(np.arange(len(sizes)), None, seed, 8, ordered=False)
    order = order[sizes[order] <= GIANT * len(rows)]
    few = max(1, min(HELD_OUT_GROUPS, len(sizes) // 4))
    # The first place at which both the images and the groups are enough
    totals = np.cumsum(sizes[order])
    tested = max(few, int(np.searchsorted(totals, len(normal))) + 1)
    held = int(totals[min(tested, len(order)) - 1]) if len(order) else 0
    wanted = held + -(-(len(rows) - held) // 10)
    kept = max(tested + few, int(np.searchsorted(totals, wanted)) + 1)
    if kept > len(order) or kept == len(sizes):
        raise GanlibError(
            f"The {len(rows)} normal images of {dataset.name} fall into {len(sizes)} groups, the "
            f"largest of {sizes.max()}: too few to hold {len(normal)} images out for the test, a "
            "tenth of the others for calibration and still train. Use a smaller threshold, more "
            "images, or the protocol paper (paper_split)."
        )
    side = np.full(len(sizes), 2)
    side[order[:kept]] = 1
    side[order[:tested]] = 0
    most = max(len(normal), tested), max(-(-(len(rows) - len(normal)) // 10), kept - tested)
    normal, calibration = (
        _draw_evenly(rows[side[member] == which], member[side[member] == which], count, seed)
        for which, count in enumerate(most)
    )
    return _limited(rows[side[member] == 2], normal, anomaly, calibration, seed, limit)


def held_out_split(dataset: Dataset, share: float = 0.2, seed: int = 0) -> tuple[Split, str]:
    """Divide the good images into those to train on and those to fit a threshold by.

    Whole groups of near-copies (`groups_of`) are drawn for calibration: a copy in training would
    make the threshold too low. A group that would bring calibration above its share is passed over
    as long as a smaller one does, and one with more than a third of the good images trains.

    Images are drawn one by one if such large groups hold half of the good images, as under a fixed
    camera, where likeness says nothing of copies; and of more than 5,000 images, which would take
    too long to compare. The test images are not touched.

    Args:
        dataset: What `open_dataset` returned.
        share: Share of the good images for calibration, above 0, up to 0.5. Of 60 good images or
            more at least 19 calibrate, with which a threshold for 5 % false alarms can be chosen.
        seed: At least 0.

    Returns:
        The split, and a sentence on how it was drawn, for a report.

    Raises:
        GanlibError: If there are fewer than 10 good images, or `share` or `seed` is out of range.
    """
    if seed < 0 or not 0 < share <= 0.5:
        raise GanlibError(
            f"seed={seed}, share={share:g} give no split: seed is at least 0, share is above 0 and "
            "at most 0.5."
        )
    rows, normal, anomaly = _part_rows(dataset)
    if len(rows) < FEWEST:
        raise GanlibError(
            f"{dataset.name} has {len(rows)} good images to train on and to fit a threshold by: at "
            f"least {FEWEST} are needed, 60 give a better threshold, 300 are a good number. Add "
            "more."
        )
    wanted = max(math.ceil(share * len(rows)), CALIBRATING if len(rows) >= 60 else 2)
    calibration = _draw(rows, wanted, seed, 13)
    if len(dataset.files) > MANY:  # `groups_of` looks at the test images too
        note = f"drawn one by one, as more than {MANY:,} images are not compared for near-copies"
    else:
        groups = groups_of(dataset)[rows]
        _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        giant = sizes[sizes > GIANT * len(rows)].sum()
        if 2 * giant >= len(rows):
            note = (
                f"drawn one by one, as {giant} of the good images are so alike that copies cannot "
                "be told, for instance under a fixed camera"
            )
        else:
            calibration = rows[np.isin(member, _groups_for(sizes, wanted, seed))]
            note = f"no near-copy of them is trained on (the good images are {len(sizes)} pictures)"
    note = f"{len(calibration)} of {len(rows)} good images were held out for the threshold: {note}."
    train = np.setdiff1d(rows, calibration)
    return _limited(train, normal, anomaly, calibration, seed, None), note


def split_dataset(
    dataset: Dataset, protocol: str = "paper", seed: int = 0, limit: int | None = None
) -> Split:
    """Split by the name of the protocol: "paper" (`paper_split`) or "grouped" (`grouped_split`).

    Raises:
        GanlibError: If there is no such protocol, or no such split.
    """
    if protocol == "paper":
        return paper_split(dataset, seed, limit)
    if protocol == "grouped":
        return grouped_split(dataset, groups_of(dataset), seed, limit)
    raise GanlibError(f"There is no protocol {protocol!r}: choose paper | grouped.")


def to_score(dataset: Dataset, split: Split, seed: int = 0) -> pd.DataFrame:
    """List the images to score: all test images and some of the others, without labels.

    Neither the table nor its order tells the anomalies: `add_truth` adds them after scoring.

    Returns:
        One line per image: `row` (its row in `Dataset.files`) and `role` ("train": up to 100 drawn
        at random, "calibration" or "test").
    """
    roles = {
        "train": _draw(split.train, SCATTER, seed, 7),
        "calibration": split.calibration,
        "test": np.random.default_rng([seed, 12]).permutation(
            np.concatenate([split.test_normal, split.test_anomaly])
        ),
    }
    lengths = [len(rows) for rows in roles.values()]
    return pd.DataFrame(
        {"row": np.concatenate(list(roles.values())), "role": np.repeat(list(roles), lengths)}
    )


def add_truth(dataset: Dataset, split: Split, table: pd.DataFrame) -> pd.DataFrame:
    """Add to a table from `to_score` what the images are.

    Returns:
        The table, its lines in the same order, with `file`, `kind`, `label` (0 normal, 1 anomaly),
        `group` ("train normal", "calibration", "test normal" or "test anomaly"), `cluster` (equal
        for near-duplicates) and `scatter` (whether the paper's scatter plots show it).
    """
    rows = table["row"].to_numpy()
    known = dataset.files[["file", "kind", "label"]].iloc[rows].set_index(table.index)
    role, label = table["role"], known["label"].map({0: " normal", 1: " anomaly"})
    in_scatter = np.concatenate([split.scatter_normal, split.scatter_anomaly])
    known["group"] = role.where(role == "calibration", role + label)
    known["cluster"] = groups_of(dataset)[rows]
    known["scatter"] = role.eq("train") | (role.eq("test") & table["row"].isin(in_scatter))
    return table.join(known)


def _papers_rows(
    dataset: Dataset, seed: int, limit: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all rows of the paper's training, normal test images and anomalies."""
    if seed < 0 or (limit is not None and limit < 1):
        raise GanlibError(
            f"seed={seed}, limit={limit} give no split: seed is at least 0, limit is at least 1 or "
            "None for all images."
        )
    train, normal, anomaly = _part_rows(dataset)
    if dataset.source == "folder" and not (len(normal) and len(anomaly)):
        raise GanlibError(
            f"{dataset.name} has {len(normal)} good and {len(anomaly)} bad test images: methods "
            "cannot be compared without both. Put images into test/good and test/<kind of defect>, "
            "or train a detector for them: notebook 05_your_images, or python -m ganlib train."
        )
    if "normal" in dataset.digests:
        normal = _draw(train, HELD_OUT, seed, 0)
        anomaly = _draw(anomaly, HELD_OUT, seed, 1)
        train = np.setdiff1d(train, normal)
    return train, normal, anomaly


def _part_rows(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of good images that are not for the test, and of both parts of the test."""
    part = dataset.files["part"]
    return (
        np.flatnonzero(part.isin(["normal", "train_normal"])),
        np.flatnonzero(part == "test_normal"),
        np.flatnonzero(part.isin(["anomaly", "test_anomaly"])),
    )


def _groups_for(sizes: np.ndarray, wanted: int, seed: int) -> np.ndarray:
    """Draw groups that together have about so many images; return their numbers."""
    order = _draw(np.arange(len(sizes)), None, seed, 14, ordered=False)
    order = order[sizes[order] <= GIANT * sizes.sum()]
    few = max(1, min(HELD_OUT_GROUPS, len(sizes) // 4))
    drawn, count = [], 0
    for group in order:
        if count + sizes[group] <= wanted:
            drawn.append(group)
            count += sizes[group]
    # If whole groups do not come out even, or are too few: the smallest of the others.
    left = np.setdiff1d(order, drawn)
    for group in left[sizes[left].argsort(kind="stable")]:
        if count >= wanted and len(drawn) >= few:
            break
        drawn.append(group)
        count += sizes[group]
    return np.array(drawn)


def _limited(
    train: np.ndarray,
    normal: np.ndarray,
    anomaly: np.ndarray,
    calibration: np.ndarray,
    seed: int,
    limit: int | None,
) -> Split:
    """Make the split of these rows, or of up to `limit` of each."""
    normal, anomaly = _draw(normal, limit, seed, 3), _draw(anomaly, limit, seed, 4)
    return Split(
        train=_draw(train, limit, seed, 2),
        test_normal=normal,
        test_anomaly=anomaly,
        scatter_normal=_draw(normal, SCATTER, seed, 5),
        scatter_anomaly=_draw(anomaly, SCATTER, seed, 6),
        calibration=_draw(calibration, limit, seed, 9),
    )


def _draw(
    rows: np.ndarray, count: int | None, seed: int, stream: int, ordered: bool = True
) -> np.ndarray:
    """Draw up to `count` rows without replacement; every stream has its own random numbers."""
    # Ranks of uniform numbers: NumPy may change how `choice` uses the generator.
    order = np.random.default_rng([seed, stream]).random(len(rows)).argsort(kind="stable")
    drawn = rows[order[:count]]
    return np.sort(drawn) if ordered else drawn


def _draw_evenly(rows: np.ndarray, member: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw up to `count` rows, sorted: one of every group, then a second of every group, ..."""
    random = np.random.default_rng([seed, 10]).random(len(rows))
    turn = np.empty(len(rows), np.int64)
    for group in np.unique(member):
        mine = np.flatnonzero(member == group)
        turn[mine[random[mine].argsort(kind="stable")]] = np.arange(len(mine))
    return np.sort(rows[np.lexsort((random, turn))[:count]])
