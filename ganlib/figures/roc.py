"""ROC and precision against recall."""

import itertools
import math
from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from ganlib.figures.frame import INK, STYLE, Frame


@plt.rc_context(STYLE)
def roc_and_precision_recall(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    caption: str,
    baselines: Collection[str] = (),
) -> Figure:
    """Draw how well the scores part anomalies from normal images, at every threshold.

    Args:
        curves: method to its labels `(n,)`, 1 for an anomaly and 0 for a normal image, and its
            scores `(n,)`, higher is more anomalous.
        title: the title of the figure.
        caption: the small print.
        baselines: the methods that others are held against; their curves are thin and grey.

    Returns:
        The figure: the ROC on the left, precision over recall on the right, AUROC and average
        precision (AP) in the legend.
    """
    legend_columns = 2 if len(curves) > 2 else 3
    legend_rows = math.ceil((len(curves) + 1) / legend_columns)
    frame = Frame(4.0, title, caption, legend=0.1 + 0.2 * legend_rows)
    roc, precision = frame.grid(1, 2)[0]
    dashes = ["-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1))]
    # Not the palette's grey, which is chance's, nor its yellow, which is lost on white.
    colours = itertools.cycle([*sns.color_palette("colorblind", 7), INK, "#56b4e9"])
    greys = itertools.cycle(["#3c3c3c", "#8c8c8c", "#636363"])
    looks = zip(itertools.cycle(dashes), itertools.cycle("osD^vPX*hd"), strict=False)
    handles, chances = [], set()
    for index, ((method, (labels, scores)), (dash, marker)) in enumerate(
        zip(curves.items(), looks, strict=False)
    ):
        thin = method in baselines
        style = {
            "color": next(greys if thin else colours),
            "linestyle": dash,
            "marker": marker,
            "linewidth": 1.0 if thin else 1.7 if not baselines else 2.2,
            "markersize": 5 if thin or not baselines else 6.5,
            "zorder": 2.5 if thin else 3,
            "markeredgecolor": "white",
            "markeredgewidth": 0.5,
            **({"markerfacecolor": "white", "markeredgecolor": INK} if thin else {}),
            # Each curve has its markers at other places, so that curves in one place still differ.
            "markevery": (0.02 + 0.013 * index, 0.17),
            "label": method,
        }
        false, true, _ = roc_curve(labels, scores)
        roc.plot(false, true, **style)
        precise, recall, _ = precision_recall_curve(labels, scores)
        precision.plot(recall, precise, drawstyle="steps-post", **style)
        chances.add(round(float(np.mean(labels)), 4))
        area, mean = roc_auc_score(labels, scores), average_precision_score(labels, scores)
        handles.append(
            Line2D([], [], **{**style, "label": f"{method}: AUROC {area:.3f}, AP {mean:.3f}"})
        )
    chance = {"color": "#888888", "linewidth": 1.1, "linestyle": (0, (2, 2)), "zorder": 1}
    roc.plot([0, 1], [0, 1], label="chance", **chance)
    for prevalence in sorted(chances):
        precision.axhline(prevalence, label="chance", **chance)
    handles.append(Line2D([], [], label="chance", **chance))
    roc.set_title("(a) ROC", loc="left")
    roc.set(
        xlabel="false positive rate (normal images flagged / all normal)",
        ylabel="true positive rate (anomalies found / all)",
    )
    precision.set_title("(b) precision and recall", loc="left")
    precision.set(
        xlabel="recall (anomalies found / all anomalies)",
        ylabel="precision (anomalies / images flagged)",
    )
    for axes in (roc, precision):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), box_aspect=0.8)
        sns.despine(ax=axes)
    frame.legend(handles, legend_columns)
    return frame.figure
