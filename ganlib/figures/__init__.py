"""The figures of the paper and of the notebooks: every function draws what it is given, only that.

Each takes a title and a caption (small print: where the data come from, profile, seed) and returns
a `matplotlib.figure.Figure` made with pyplot, which a notebook displays. Whoever called closes it.
"""

from ganlib.figures.comparison import auroc_bars
from ganlib.figures.frame import (
    DPI,
    GROUP_COLOURS,
    GROUP_MARKERS,
    INK,
    KIND_COLOURS,
    STYLE,
    WIDTH,
    Frame,
    save,
)
from ganlib.figures.pictures import image_grid, reconstructions, residual_images
from ganlib.figures.roc import roc_and_precision_recall
from ganlib.figures.scores import score_scatter
from ganlib.figures.training import samples_over_epochs, search_loss, training_curves

__all__ = [
    "DPI",
    "GROUP_COLOURS",
    "GROUP_MARKERS",
    "INK",
    "KIND_COLOURS",
    "STYLE",
    "WIDTH",
    "Frame",
    "auroc_bars",
    "image_grid",
    "reconstructions",
    "residual_images",
    "roc_and_precision_recall",
    "samples_over_epochs",
    "save",
    "score_scatter",
    "search_loss",
    "training_curves",
]
