"""The paper's data sets and folders of images: open, decode, audit and split them."""

from ganlib.data.archives import ARCHIVES
from ganlib.data.audit import Audit, audit_dataset, tested_copies
from ganlib.data.dataset import Dataset
from ganlib.data.duplicates import groups_of, near_duplicate_groups, nearest
from ganlib.data.folder import can_be_compared, is_folder
from ganlib.data.images import shown_box
from ganlib.data.loading import (
    channels_of,
    load_images,
    load_masks,
    outlined,
    picture_size,
    remarks_on,
    shapes_of,
)
from ganlib.data.open import locate, open_dataset
from ganlib.data.splits import (
    Split,
    add_truth,
    grouped_split,
    held_out_split,
    kfold_split,
    paper_split,
    pictures_of,
    split_dataset,
    to_score,
)
