"""The figures of the paper and of the notebooks: every function draws what it is given, only that.

Each takes a title and a caption (small print: where the data come from, profile, seed) and returns
a `matplotlib.figure.Figure` made with pyplot, which a notebook displays. The caller closes it.
"""

from ganlib.figures.charts import (
    roc_and_precision_recall,
    score_against_complexity,
    search_loss,
    training_curves,
)
from ganlib.figures.forest import auroc_by_kind, auroc_forest, errata_effects, threshold_rates
from ganlib.figures.pictures import (
    image_grid,
    leaks,
    reconstructions,
    residual_images,
    samples_over_epochs,
    worst_errors,
)
from ganlib.figures.scores import distance_histogram, score_histogram, score_scatter
from ganlib.figures.style import (
    GROUP_COLOURS,
    GROUP_MARKERS,
    INK,
    KIND_COLOURS,
    STYLE,
    WIDTH,
    Frame,
    save,
)

__all__ = [
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
