"""Masks: where on an image the defect is, for those folders of images that have them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganlib.data.dataset import Dataset
from ganlib.data.images import decode_mask, size_of
from ganlib.errors import GanlibError
from ganlib.files import shown

if TYPE_CHECKING:  # as in `dataset`: `locate` does without
    import pandas as pd


def check_masks(root: Path, files: "pd.DataFrame") -> None:
    """Refuse a mask that is not as large as its image, which would be laid beside the defect.

    Args:
        root: The folder that the paths are relative to.
        files: With the columns `file` and `mask`, see `Dataset.files`.

    Raises:
        GanlibError: If there is such a mask, or one of the two cannot be read.
    """
    for file, mask in files.loc[files["mask"] != "", ["file", "mask"]].itertuples(index=False):
        image_size, mask_size = size_of(root / file), size_of(root / mask)
        if image_size != mask_size:
            raise GanlibError(
                f"{shown(root / mask)} has {mask_size[0]}x{mask_size[1]} pixels, but its image "
                f"{shown(file)} has {image_size[0]}x{image_size[1]}: draw the mask on the image "
                "itself, or remove it."
            )


def outlined(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Say of which images it is known where the defects are.

    Args:
        dataset: What `open_dataset` returned.
        rows: int `(n,)`, row numbers of `Dataset.files`.

    Returns:
        bool array `(n,)`: normal images and anomalies with a mask. All False if none of the
        anomalies among them has one, as nothing can then be said of where defects are found.
    """
    files = dataset.files.iloc[np.asarray(rows)]
    if "mask" not in files or not (files["mask"] != "").any():
        return np.zeros(len(files), bool)
    return ((files["label"] == 0) | (files["mask"] != "")).to_numpy()


def load_masks(dataset: Dataset, rows: np.ndarray, image_size: int) -> np.ndarray:
    """Read where the defects are, on squares as `load_images` makes them of the images.

    A pixel of the square is of the defect if any of the pixels that it stands for is: a defect
    covers more of a small square than of the image, but none vanishes. What "crop" cuts off is
    gone; the bars of a "letterbox" are normal pixels.

    Args:
        dataset: What `open_dataset` returned.
        rows: int `(n,)`, row numbers of `Dataset.files`.
        image_size: Height and width in pixels, that of the images.

    Returns:
        bool array `(n, image_size, image_size)`, True on the defect; all False for normal images.

    Raises:
        GanlibError: If an anomaly has no mask, see `outlined`, or a mask cannot be read.
    """
    files = dataset.files.iloc[np.asarray(rows)]
    masks = np.zeros((len(files), image_size, image_size), bool)
    named = files["mask"] if "mask" in files else [""] * len(files)
    for mask, file, label, name in zip(masks, files["file"], files["label"], named, strict=True):
        if name:
            mask[:] = decode_mask(dataset.root / name, image_size, dataset.resize)
        elif label:
            raise GanlibError(
                f"{shown(dataset.root / file)} shows a defect and has no mask: where it is cannot "
                "be known. Leave such images out (ganlib.data.outlined)."
            )
    return masks
