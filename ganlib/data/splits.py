"""The paper's split into training and test images."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ganlib.data.catalogue import HELD_OUT
from ganlib.data.dataset import Dataset
from ganlib.errors import GanlibError

if TYPE_CHECKING:  # as in `dataset`: `locate` does without
    import pandas as pd

SCATTER = 100  # images of each label in the paper's scatter plots


class Split(NamedTuple):
    """Which images are used for what: sorted row numbers of `Dataset.files`.

    Attributes:
        train: int64 array, normal images to train on.
        test_normal: int64 array, normal images to test on, none of them in `train`.
        test_anomaly: int64 array, anomalies to test on.
        scatter_normal: int64 array, those of `test_normal` that scatter plots show, up to 100.
        scatter_anomaly: int64 array, those of `test_anomaly` that scatter plots show, up to 100.
    """

    train: np.ndarray
    test_normal: np.ndarray
    test_anomaly: np.ndarray
    scatter_normal: np.ndarray
    scatter_anomaly: np.ndarray


def paper_split(dataset: Dataset, seed: int = 0, limit: int | None = None) -> Split:
    """Split a data set as the paper does.

    Casting keeps Kaggle's split: all of `train_normal` trains, both test parts are tested. Cloud
    has none: 100 normal images drawn at random are tested and the others train, and up to 100
    anomalies are tested. The same files, seed and limit give the same split on every machine.

    Args:
        dataset: What `open_dataset` returned.
        seed: Seed of all draws, at least 0.
        limit: Keep at most this many images, drawn at random, of `train`, of `test_normal` and of
            `test_anomaly`, for quick trials; None keeps all.

    Returns:
        The split.

    Raises:
        GanlibError: If `limit` is less than 1 or `seed` less than 0.
    """
    if seed < 0 or (limit is not None and limit < 1):
        raise GanlibError(
            f"seed={seed}, limit={limit} give no split: seed is at least 0, limit is at least 1 or "
            "None for all images."
        )
    rows = {part: np.flatnonzero(dataset.files["part"] == part) for part in dataset.digests}
    if "train_normal" in rows:
        train, normal, anomaly = rows["train_normal"], rows["test_normal"], rows["test_anomaly"]
    else:
        normal = _draw(rows["normal"], HELD_OUT, seed, 0)
        train = np.setdiff1d(rows["normal"], normal)
        anomaly = _draw(rows["anomaly"], HELD_OUT, seed, 1)
    train = _draw(train, limit, seed, 2)
    normal = _draw(normal, limit, seed, 3)
    anomaly = _draw(anomaly, limit, seed, 4)
    return Split(
        train=train,
        test_normal=normal,
        test_anomaly=anomaly,
        scatter_normal=_draw(normal, SCATTER, seed, 5),
        scatter_anomaly=_draw(anomaly, SCATTER, seed, 6),
    )


def to_score(dataset: Dataset, split: Split, seed: int = 0) -> "pd.DataFrame":
    """List the images that a detector is to score: all test images and some it was trained on.

    Args:
        dataset: What `open_dataset` returned.
        split: How it was split.
        seed: Seed of the draw among the training images.

    Returns:
        One line per image: `row` (its row in `Dataset.files`), `file`, `kind`, `label` (0 normal,
        1 anomaly), `group` ("train normal": up to 100 drawn at random, "test normal" or "test
        anomaly") and `scatter` (whether the paper's scatter plots show it).
    """
    groups = {
        "train normal": _draw(split.train, SCATTER, seed, 7),
        "test normal": split.test_normal,
        "test anomaly": split.test_anomaly,
    }
    rows = np.concatenate(list(groups.values()))
    table = dataset.files[["file", "kind", "label"]].iloc[rows].reset_index(drop=True)
    table.insert(0, "row", rows)
    table["group"] = np.repeat(list(groups), [len(group) for group in groups.values()])
    in_scatter = np.concatenate([split.scatter_normal, split.scatter_anomaly])
    table["scatter"] = table["group"].eq("train normal") | table["row"].isin(in_scatter)
    return table


def _draw(rows: np.ndarray, count: int | None, seed: int, stream: int) -> np.ndarray:
    """Draw up to `count` rows without replacement, sorted; every stream draws on its own."""
    # Ranks of uniform numbers, not `choice`: NumPy may change how that one uses the generator.
    order = np.random.default_rng([seed, stream]).random(len(rows)).argsort(kind="stable")
    return np.sort(rows[order[:count]])
