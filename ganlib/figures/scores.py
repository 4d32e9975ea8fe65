"""The anomaly score of every image."""

import math
import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ganlib.figures.frame import (
    GROUP_COLOURS,
    GROUP_MARKERS,
    INK,
    STYLE,
    Frame,
    hide_unused,
    panel_heading,
    short,
)


def _clip_at(panel: pd.DataFrame) -> float:
    """Find where to end the y axis: far above each group's bulk, or at the highest score."""
    fences = []
    for _, scores in panel.groupby("group")["score"]:
        lower, upper = np.percentile(scores, [25, 75])
        most = np.percentile(scores, 95, method="lower")
        # A twentieth of a group is no outlier: it stays, even if it flattens the rest.
        fences.append(max(upper + 4 * (upper - lower), most))
    # Less than a third more is not worth hiding points for.
    highest = panel["score"].max()
    return float(max(fences)) if highest > 1.33 * max(fences) > 0 else float(highest)


@plt.rc_context(STYLE)
def score_scatter(
    panels: Mapping[str, pd.DataFrame],
    title: str,
    caption: str,
    auroc: Mapping[str, float],
) -> Figure:
    """Draw the anomaly score of every image, group after group.

    Each group gets a third of the x axis, whatever its size: in the paper's figure the hundred test
    images of a group lie beside thousands of training images. A score far above all the others is
    drawn above a dashed line at the upper edge and counted there, so that it does not flatten the
    rest.

    Args:
        panels: method to a table of its images with the columns `group` ("train normal",
            "test normal" or "test anomaly") and `score` (the method's own scale).
        title: the title of the figure.
        caption: the small print.
        auroc: method to the AUROC over its test images, 0..1, written as given.

    Returns:
        The figure.

    Reference:
        Figures 3 (cloud) and 5 (casting).
    """
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    frame = Frame(3.3 * rows, title, caption, legend=0.28)
    axes_of = frame.grid(rows, columns).ravel()
    for index, (method, panel) in enumerate(panels.items()):
        _score_panel(axes_of[index], panel)
        # Wrapped, so as not to run into the AUROC.
        axes_of[index].set_title(textwrap.fill(panel_heading(panels, method), 30), loc="left")
        axes_of[index].set_title(
            f"AUROC {auroc[method]:.3f}", loc="right", fontweight="normal", fontsize=10
        )
    hide_unused(axes_of, len(panels))
    present = [g for g in GROUP_COLOURS if any((p["group"] == g).any() for p in panels.values())]
    handles = [
        Line2D([], [], linestyle="", label=group, **_marker(group), markersize=6)
        for group in present
    ]
    handles.append(Line2D([], [], color=INK, linewidth=1.8, label="median of the group"))
    frame.legend(handles, len(handles))
    return frame.figure


def _marker(group: str) -> dict:
    return {
        "marker": GROUP_MARKERS[group],
        "markerfacecolor": GROUP_COLOURS[group],
        "markeredgecolor": INK,
        "markeredgewidth": 0.3,
    }


def _score_panel(axes: plt.Axes, panel: pd.DataFrame) -> None:
    groups = [group for group in GROUP_COLOURS if (panel["group"] == group).any()]
    limit, lowest = _clip_at(panel), min(0.0, float(panel["score"].min()))
    span = (limit - lowest) or 1.0
    for start, group in enumerate(groups):
        scores = panel.loc[panel["group"] == group, "score"].to_numpy(float)
        x = start + 0.04 + 0.92 * (np.arange(len(scores)) + 0.5) / len(scores)
        inside = scores <= limit
        style = {"color": GROUP_COLOURS[group], "edgecolors": INK, "zorder": 3}
        axes.scatter(
            x[inside],
            scores[inside],
            s=16 if len(scores) <= 400 else 7,
            marker=GROUP_MARKERS[group],
            linewidths=0.3 if len(scores) <= 400 else 0.1,
            label=group,
            gid=group,
            **style,
        )
        axes.plot(
            [start + 0.04, start + 0.96], [np.median(scores)] * 2, color=INK, lw=1.8, zorder=4
        )
        if not inside.all():
            count, highest = int((~inside).sum()), scores.max()
            axes.scatter(
                x[~inside],
                np.full(count, limit + 0.05 * span),
                s=26,
                marker=GROUP_MARKERS[group],
                linewidths=0.3,
                gid=f"{group} above",
                **style,
            )
            axes.text(
                start + 0.5,
                limit + 0.09 * span,
                f"{count} above,\nup to {short(highest)}",
                ha="center",
                va="bottom",
                fontsize=7.5,
            )
        if start:
            axes.axvline(start, color="#bbbbbb", linewidth=0.8)
    clipped = (panel["score"] > limit).any()
    axes.set_xlim(0, len(groups))
    axes.set_ylim(lowest - 0.03 * span, limit + span * (0.27 if clipped else 0.06))
    if clipped:
        axes.axhline(limit + 0.02 * span, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_yticks([tick for tick in axes.get_yticks() if lowest <= tick <= limit])
    sizes = [int((panel["group"] == group).sum()) for group in groups]
    axes.set_xticks(
        np.arange(len(groups)) + 0.5,
        [f"{group}\n1 to {size:,}" for group, size in zip(groups, sizes, strict=True)],
    )
    axes.grid(False, axis="x")
    axes.set(xlabel="image (number within its group)", ylabel="anomaly score (no unit)")
    sns.despine(ax=axes)


@plt.rc_context(STYLE)
def score_histogram(
    scores: Mapping[str, np.ndarray], threshold: float, title: str, caption: str
) -> Figure:
    """Draw how scores are distributed, and the threshold among them.

    Args:
        scores: what the images are to their scores `(n,)`.
        threshold: an image is called an anomaly if its score is at or above it.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: a panel for each, on one axis, with the share at or above the threshold.
    """
    frame = Frame(1.7 * len(scores) + 0.4, title, caption)
    highest = max(threshold, *(values.max() for values in scores.values()))
    lowest = min(threshold, *(values.min() for values in scores.values()))
    margin = 0.03 * (highest - lowest or 1.0)
    bins = np.linspace(lowest - margin, highest + margin, 41)
    panels = frame.grid(len(scores), 1, sharex=True)[:, 0]
    for axes, (name, values) in zip(panels, scores.items(), strict=True):
        counts, _ = np.histogram(values, bins)
        axes.bar(bins[:-1], counts, np.diff(bins), align="edge", color="#7f8fa6")
        axes.axvline(threshold, color=GROUP_COLOURS["train normal"], linewidth=1.6)
        above = int((values >= threshold).sum())
        axes.set_title(f"{name}: {above} of {len(values)} at or above the threshold", loc="left")
        axes.set_ylabel("images")
        axes.grid(axis="x", visible=False)
    panels[-1].set_xlabel(f"score; the threshold is {short(threshold)}")
    return frame.figure
