"""Draw the figures of the paper and of the notebooks.

Each function draws its arguments with a title and a caption (small print: the source of the data)
and returns a `matplotlib.figure.Figure` made with pyplot. The caller must close it.
"""

from ganlib.figures.charts import (
    levels_of_factor,
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
    spots,
    worst_errors,
)
from ganlib.figures.scores import distance_histogram, score_histogram, score_scatter
from ganlib.figures.style import GROUP_COLOURS, STYLE, Frame, save
