"""The paper's data sets: opening, decoding, auditing and splitting them."""

from ganlib.data.audit import Audit, audit_dataset
from ganlib.data.catalogue import ARCHIVES
from ganlib.data.dataset import Dataset, locate, open_dataset
from ganlib.data.duplicates import groups_of, near_duplicate_groups, nearest
from ganlib.data.images import load_images
from ganlib.data.splits import (
    Split,
    add_truth,
    grouped_split,
    paper_split,
    split_dataset,
    to_score,
)

__all__ = [
    "ARCHIVES",
    "Audit",
    "Dataset",
    "Split",
    "add_truth",
    "audit_dataset",
    "grouped_split",
    "groups_of",
    "load_images",
    "locate",
    "near_duplicate_groups",
    "nearest",
    "open_dataset",
    "paper_split",
    "split_dataset",
    "to_score",
]
