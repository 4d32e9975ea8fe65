"""The figures of the paper and of the notebooks: every function draws what it is given, only that.

Each takes a title and a caption (small print: where the data come from, profile, seed) and returns
a `matplotlib.figure.Figure` made with pyplot, which a notebook displays. Whoever called closes it.
"""

from ganlib.figures.comparison import auroc_forest
from ganlib.figures.errata import errata_effects
from ganlib.figures.failures import worst_errors
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
from ganlib.figures.kinds import auroc_by_kind, score_against_complexity
from ganlib.figures.leaks import distance_histogram, leaks
from ganlib.figures.pictures import image_grid, reconstructions, residual_images
from ganlib.figures.roc import roc_and_precision_recall
from ganlib.figures.scores import score_histogram, score_scatter
from ganlib.figures.thresholds import threshold_rates
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
    "auroc_by_kind",
    "auroc_forest",
    "distance_histogram",
    "errata_effects",
    "image_grid",
    "leaks",
    "reconstructions",
    "residual_images",
    "roc_and_precision_recall",
    "samples_over_epochs",
    "save",
    "score_against_complexity",
    "score_histogram",
    "score_scatter",
    "search_loss",
    "threshold_rates",
    "training_curves",
    "worst_errors",
]
