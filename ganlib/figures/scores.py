"""Draw the distributions of anomaly scores and distances."""

import math
import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ganlib.figures import style
from ganlib.figures.style import GROUP_COLOURS, INK, RED, STYLE, Arrays, Frame, Tables, short

_EDGE = {"edgecolor": INK, "linewidth": 0.4}
_THRESHOLD = {"color": INK, "linewidth": 1.4, "linestyle": (0, (4, 2))}


@plt.rc_context(STYLE)
def score_scatter(
    panels: Tables, title: str, caption: str, auroc: Mapping[str, float], scaled: str = ""
) -> Figure:
    """Draw the `score` of every image by `group`, a key of `GROUP_COLOURS`: figures 3 and 5.

    Scores far above the others are drawn above a dashed line. `auroc` is over the test images.
    `scaled` is the method whose scores were scaled to 0..1.
    """
    frame, axes_of = style.panel_axes(len(panels), 2, 3.2, title, caption, legend_rows=1)
    for axes, (method, panel) in zip(axes_of, panels.items(), strict=True):
        _scatter_groups(axes, panel)
        heading = style.panel_heading(panels, method)
        if method == scaled:
            heading += ", scaled to 0..1"
            axes.set_ylabel("anomaly score, scaled to 0..1")
        axes.set_title(textwrap.fill(heading, 32))
        axes.set_title(f"AUROC {auroc[method]:.3f}", loc="right", fontweight="normal")
    present = set(pd.concat(panels.values())["group"])
    looks = {g: (c, style.GROUP_MARKERS[g]) for g, c in GROUP_COLOURS.items() if g in present}
    median = Line2D([], [], color=INK, lw=1.8, label="median of the group")
    frame.legend([*style.symbols(looks), median])
    return frame.figure


def _clip_at(groups: Arrays) -> float:
    """Return the upper end of the y axis: far above each group's bulk, or the highest score."""
    highest, fence = max(scores.max() for scores in groups.values()), -np.inf
    for scores in groups.values():
        lower, upper = np.percentile(scores, [25, 75])
        # A twentieth of a group are not outliers: show them, even if they flatten the rest.
        fence = max(fence, 5 * upper - 4 * lower, np.percentile(scores, 95, method="lower"))
    # Hide points only if the axis would otherwise be more than a third longer.
    return float(fence if highest > 1.33 * fence > 0 else highest)


def _scatter_groups(axes: Axes, panel: pd.DataFrame) -> None:
    parts = dict(list(panel.groupby("group")["score"]))
    groups = {group: parts[group].to_numpy(float) for group in GROUP_COLOURS if group in parts}
    limit, lowest = _clip_at(groups), min(0.0, panel["score"].min())
    span = (limit - lowest) or 1.0
    for start, (group, scores) in enumerate(groups.items()):
        x = start + 0.04 + 0.92 * (np.arange(len(scores)) + 0.5) / len(scores)
        above = scores > limit
        y = np.where(above, limit + 0.05 * span, scores)
        look = {"color": GROUP_COLOURS[group], "marker": style.GROUP_MARKERS[group], "ec": INK}
        size, edge = (16, 0.3) if len(scores) <= 400 else (7, 0.1)
        axes.scatter(x, y, size, lw=edge, zorder=3, gid=group, **look)
        axes.hlines(np.median(scores), start + 0.04, start + 0.96, color=INK, lw=1.8, zorder=4)
        if above.any():
            words = f"{above.sum()} above,\nup to {short(scores.max())}"
            axes.text(start + 0.5, limit + 0.09 * span, words, ha="center", size=7.5)
        if start:
            axes.axvline(start, color="#bbbbbb", linewidth=0.8)
    axes.set(xlim=(0, len(groups)), ylim=(lowest - 0.03 * span, limit + 0.06 * span))
    axes.set(xlabel="image (number within its group)", ylabel="anomaly score (no unit)")
    if panel["score"].max() > limit:
        axes.set_yticks([tick for tick in axes.get_yticks() if lowest <= tick <= limit])
        axes.set_ylim(lowest - 0.03 * span, limit + 0.27 * span)
        axes.axhline(limit + 0.02 * span, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
    names = [f"{group}\n1 to {len(scores):,}" for group, scores in groups.items()]
    axes.set_xticks(np.arange(len(names)) + 0.5, names)
    axes.grid(False, axis="x")


def _histograms(frame, panels, edges, threshold, words, below, above) -> Axes:
    axes_of = frame.grid(len(panels), 1, sharex=True)[:, 0]
    for axes, (name, values) in zip(axes_of, panels.items(), strict=True):
        values = np.asarray(values, float)
        far = values >= threshold
        for part, look in ((values[~far], below), (values[far], above)):
            axes.hist(part, edges, **look, **_EDGE)
        axes.axvline(threshold, **_THRESHOLD)
        axes.set(ylabel="images", xlim=(edges[0], edges[-1]), title=name)
        counts = {"all": len(far), "above": far.sum(), "below": (~far).sum()}
        axes.set_title(words.format(**counts), loc="right", fontweight="normal")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(False, axis="x")
    return axes


@plt.rc_context(STYLE)
def score_histogram(scores: Arrays, threshold: float, title: str, caption: str) -> Figure:
    """Draw a histogram of scores `(n,)` for each named set of images, with the threshold."""
    frame = Frame(1.7 * len(scores) + 0.4, title, caption)
    values = np.concatenate([*scores.values(), [threshold]])
    width = np.ptp(values) / 40 or 1.0
    first, last = (values.min() - threshold) / width - 1, (values.max() - threshold) / width + 2
    edges = threshold + width * np.arange(math.floor(first), math.ceil(last))
    words, look = "{above:,} of {all:,} at or above the threshold", {"color": "#7f8fa6"}
    axes = _histograms(frame, scores, edges, threshold, words, look, look)
    axes.set_xlabel(f"score; the threshold is {short(threshold)}")
    return frame.figure


@plt.rc_context(STYLE)
def distance_histogram(distances: Arrays, title: str, caption: str, threshold: float) -> Figure:
    """Draw, per protocol, the distances `(n,)` of test images to the nearest training image."""
    frame = Frame(1.75 * len(distances) + 0.35, title, caption, legend_rows=1)
    highest = max(threshold, *(np.max(values) for values in distances.values()))
    # Put a bin edge on the threshold so that no bar is half red.
    width = threshold / max(1, round(40 * threshold / highest))
    edges = width * np.arange(np.floor(highest / width) + 2)
    near, far = {"facecolor": RED}, {"facecolor": "#8fb3cc", "hatch": "////"}
    words = "{below:,} of {all:,} nearer than the threshold"
    axes = _histograms(frame, distances, edges, threshold, words, near, far)
    axes.set_xlabel("distance to the nearest training image")
    labels = {"nearer: counted as copies of one thing": near, "farther": far}
    bars = [Patch(label=label, **look, **_EDGE) for label, look in labels.items()]
    frame.legend([*bars, Line2D([], [], label=f"threshold {short(threshold)}", **_THRESHOLD)])
    return frame.figure
