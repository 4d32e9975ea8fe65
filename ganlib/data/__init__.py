"""The paper's data sets: opening, decoding and splitting them."""

from ganlib.data.catalogue import ARCHIVES
from ganlib.data.dataset import Dataset, locate, open_dataset
from ganlib.data.images import load_images
from ganlib.data.splits import Split, paper_split, to_score

__all__ = [
    "ARCHIVES",
    "Dataset",
    "Split",
    "load_images",
    "locate",
    "open_dataset",
    "paper_split",
    "to_score",
]
