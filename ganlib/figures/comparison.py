"""AUROC of methods side by side."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ganlib.figures.frame import GROUP_COLOURS, INK, STYLE, Frame


def _beside(axes: plt.Axes, column: int, y: float, words: str, weight: str) -> None:
    """Write into one of the columns to the right of the axes."""
    axes.annotate(
        words,
        (1, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(26 + 54 * column, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        weight=weight,
        annotation_clip=False,
    )


@plt.rc_context(STYLE)
def auroc_bars(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw our AUROC beside the published one, for each method on each data set.

    Args:
        table: the columns `dataset`, `method`, `ours` and `published`, AUROC 0..1, NaN where there
            is none.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: a line per method, grouped by data set, with the values written on the right.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    line, heading = 0.27, 0.34
    lines, y = [], 0.0
    for dataset in datasets:
        lines.append((y, dataset, None))
        y += heading / line
        for _, entry in table[table["dataset"] == dataset].iterrows():
            lines.append((y, entry["method"], entry))
            y += 1
        y += 0.25
    frame = Frame(y * line + 0.75, title, caption, legend=0.28)
    axes = frame.grid(1, 1)[0, 0]
    published, ours = {}, {}
    for y_at, words, entry in lines:
        if entry is None:
            axes.text(
                -0.01,
                y_at,
                words,
                ha="right",
                va="center",
                weight="bold",
                transform=axes.get_yaxis_transform(),
            )
            continue
        axes.text(-0.01, y_at, words, ha="right", va="center", transform=axes.get_yaxis_transform())
        pair = {"ours": float(entry["ours"]), "published": float(entry["published"])}
        axes.axhline(y_at, color="#e4e4e4", linewidth=0.8, zorder=1)
        if not any(math.isnan(value) for value in pair.values()):
            axes.plot(list(pair.values()), [y_at] * 2, color="#999999", linewidth=2, zorder=2)
        ours[y_at], published[y_at] = pair["ours"], pair["published"]
        for column, value in enumerate(pair.values()):
            written = "\N{EN DASH}" if math.isnan(value) else f"{value:.3f}"
            _beside(axes, column, y_at, written, "normal")
    for column, words in enumerate(("ours", "published")):
        _beside(axes, column, -0.05, words, "bold")
    looks = {
        "published": {"marker": "D", "mfc": "white", "mec": INK, "ms": 8, "mew": 1.4},
        "ours": {"marker": "o", "mfc": GROUP_COLOURS["train normal"], "mec": INK, "ms": 8},
    }
    for name, points in (("published", published), ("ours", ours)):
        axes.plot(list(points.values()), list(points), ls="", zorder=4, label=name, **looks[name])
    axes.axvline(0.5, color="#888888", linewidth=1.1, linestyle=(0, (2, 2)), zorder=1)
    values = table[["ours", "published"]].to_numpy(float)
    axes.set_xlim(min(0.45, np.nanmin(values, initial=0.5) - 0.04), 1.02)
    axes.set_ylim(y - 0.4, -0.7)
    axes.set_yticks([])
    axes.set_xlabel("AUROC (0.5 = chance, 1 = perfect)")
    axes.grid(False, axis="y")
    sns.despine(ax=axes, left=True)
    handles = [Line2D([], [], ls="", label=name, **looks[name]) for name in ("ours", "published")]
    handles.append(Line2D([], [], color="#888888", ls=(0, (2, 2)), label="chance"))
    frame.legend(handles, 3)
    return frame.figure
