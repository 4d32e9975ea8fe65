"""Whether a folder's images are grey or coloured, to say how many channels the networks need."""

from pathlib import Path

import numpy as np

from ganlib.data.dataset import Dataset
from ganlib.data.folder import folder_of, is_folder, list_folder
from ganlib.data.images import decode
from ganlib.errors import GanlibError

SAMPLE = 32  # images
SIZE = 64  # pixels: what a JPEG does to the colour of single pixels is averaged
TOLERANCE = 8  # grey levels between the channels that still count as grey


def channels_of(dataset: str | Path | Dataset) -> int | None:
    """Say how many channels a folder's images need, from a sample of the good ones.

    Args:
        dataset: What `open_dataset` takes or returned.

    Returns:
        1 if the sample is grey, whatever its files' modes: at 64x64 pixels the channels of no pixel
        differ by more than 8 grey levels, which leaves room for what a JPEG does to them. 3 if it
        is not. None for an archive, of which the profile knows.

    Raises:
        GanlibError: If the folder is in neither of the two forms, or no image of the sample can be
            read.
    """
    if isinstance(dataset, Dataset):
        if dataset.source != "folder":
            return None
        files = dataset.files.loc[dataset.files["label"] == 0, "file"]
        paths = [dataset.root / file for file in files]
    elif not is_folder(dataset):
        return None
    else:
        images = list_folder(folder_of(dataset))[0][0]  # the good ones to train on
        paths = [images.folder / name for name in images.names]
    sample = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, SAMPLE).astype(int))]
    spreads, refused = [], []
    for path in sample:
        try:
            pixels = decode(path, SIZE, 3, "letterbox")
            spreads.append(np.ptp(pixels, axis=2).max())
        except GanlibError as error:  # it may be one that is going to be left out
            refused.append(error)
    if not spreads:
        raise refused[0]
    return 1 if max(spreads) <= TOLERANCE else 3
