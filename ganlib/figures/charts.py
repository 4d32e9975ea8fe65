"""Charts: training curves, search, scores, histograms, ROC, kinds of anomalies, complexity."""

import itertools
import math
import textwrap
from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from ganlib.figures.style import (
    CHANCE,
    GROUP_COLOURS,
    GROUP_MARKERS,
    INK,
    KIND_COLOURS,
    STYLE,
    Frame,
    panel_heading,
    short,
)

Panels = Mapping[str, pd.DataFrame]  # method to a row per image
_RED = GROUP_COLOURS["train normal"]
_EDGE = {"edgecolor": INK, "linewidth": 0.4}
_THRESHOLD = {"color": INK, "linewidth": 1.4, "linestyle": (0, (4, 2))}


def _panels(count, columns, height, title, caption, legend_rows=0) -> tuple[Frame, list[Axes]]:
    """Make a frame of so many panels, each `height` inches, in up to so many columns."""
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    frame = Frame(height * rows + 0.1, title, caption, legend_rows)
    axes = frame.grid(rows, columns).ravel()
    for unused in axes[count:]:
        unused.set_visible(False)
    return frame, list(axes[:count])


def _symbols(looks: Mapping[str, tuple[str, str]]) -> list[Line2D]:
    """Make the legend of names with a colour and a marker each."""
    look = {"ls": "", "mec": INK, "mew": 0.5, "ms": 6.5}
    return [
        Line2D([], [], mfc=colour, marker=marker, label=name.replace("_", " "), **look)
        for name, (colour, marker) in looks.items()
    ]


def _loss_panels(curves: Mapping[str, np.ndarray]) -> list[list[str]]:
    """Choose which losses share a panel: a loss with its validation, a GAN's two players."""
    panels: dict[str, list[str]] = {}
    for name in curves:
        panels.setdefault(name.removeprefix("val_"), []).append(name)
    players = ["generator_loss", "discriminator_loss"]
    if all(player in curves for player in players):
        sizes = [np.nanmedian(np.abs(curves[player])) for player in players]
        # A generator's loss with weights of 50 would flatten the discriminator's.
        if max(sizes) <= 10 * min(sizes):
            panels[players[0]] += panels.pop(players[1])
    return sorted(panels.values(), key=lambda names: "generator_loss" not in names)


@plt.rc_context(STYLE)
def training_curves(
    history: Mapping[str, Sequence[float]] | pd.DataFrame, title: str, caption: str
) -> Figure:
    """Draw every loss over the epochs, each in a panel of its own.

    A generator and a discriminator with losses of one size share one, and so do a loss and its
    `val_` twin.

    Args:
        history: loss to its value per epoch, as in `keras.callbacks.History.history`; a column
            `epoch`, where there is one, numbers the epochs, else they count from 1.
    """
    curves = {name: np.asarray(history[name], float) for name in history}
    epochs = curves.pop("epoch", np.arange(1, len(next(iter(curves.values()))) + 1))
    panels = _loss_panels(curves)
    columns = 2 if len(panels) == 4 else 3
    frame, axes_of = _panels(len(panels), columns, 2.45, title, caption)
    for axes, names in zip(axes_of, panels, strict=True):
        words = [name.replace("_", " ") for name in names]
        if len(names) > 1:
            words = [each.removesuffix(" loss") for each in words]
        table = pd.DataFrame(dict(zip(words, map(curves.get, names), strict=True)), epochs)
        finite = table.to_numpy()[np.isfinite(table.to_numpy())]
        logarithmic = bool(len(finite) and 0 < 100 * finite.min() < finite.max())
        unit = ("loss" if "loss" in names[0] else "value") + " (log scale)" * logarithmic
        look = {"color": ([_RED, "#1b6fa8"] * len(names))[: len(names)], "legend": False}
        look |= {"style": ["-", "--", ":", "-."], "marker": "o" if len(epochs) <= 3 else None}
        table.plot(ax=axes, xlabel="epoch", ylabel=unit, logy=logarithmic, **look)
        axes.set_title(" and ".join(words[:2]))
        if len(names) > 1:
            axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return frame.figure


@plt.rc_context(STYLE)
def search_loss(
    losses: np.ndarray,
    groups: Sequence[str],
    title: str,
    caption: str,
    steps: Sequence[int] | None = None,
) -> Figure:
    """Draw the loss of AnoGAN's search for z: median and middle 80 % of each group.

    Args:
        losses: `(n_steps_recorded, n_images)`, the loss L(z) of each image, > 0.
        groups: the group of each image, for instance "test normal" and "test anomaly".
        steps: the step of each row of `losses`; by default they count from 0.

    Reference:
        Step 2 of figure 1.
    """
    frame, (axes,) = _panels(1, 1, 3.5, title, caption)
    x = np.arange(len(losses)) if steps is None else np.asarray(steps)
    names = np.asarray(groups)
    for group in sorted(set(names), key=[*GROUP_COLOURS, *names].index):
        low, middle, high = np.percentile(losses[:, names == group], [10, 50, 90], axis=1)
        colour = GROUP_COLOURS.get(group, "#777777")
        hatch = "///" if group == "test anomaly" else None
        axes.fill_between(x, low, high, fc=colour, ec=colour, alpha=0.3, hatch=hatch, lw=0.6)
        # A dark line beneath the coloured one: pale pink alone is lost on white.
        axes.plot(x, middle, color=INK, linewidth=3.2, zorder=3)
        mark = {"marker": GROUP_MARKERS.get(group, "o"), "mec": INK, "mew": 0.5, "ms": 6}
        mark |= {"markevery": max(1, len(x) // 8), "zorder": 4}
        label = f"{group} ({int((names == group).sum()):,} images)"
        axes.plot(x, middle, color=colour, lw=1.9, label=label, **mark)
    axes.set(xlabel="step of the search for z", ylabel="loss L(z) (no unit, log scale)")
    axes.set(yscale="log", xmargin=0.01)
    axes.legend(title="median; band: 10th to 90th percentile", loc="best", frameon=True)
    return frame.figure


@plt.rc_context(STYLE)
def score_scatter(panels: Panels, title: str, caption: str, auroc: Mapping[str, float]) -> Figure:
    """Draw the anomaly score of every image, group after group.

    A score far above all the others is drawn above a dashed line at the upper edge and counted
    there, so that it does not flatten the rest.

    Args:
        panels: method to a table of its images with the columns `group`, a key of `GROUP_COLOURS`,
            and `score` (the method's own scale).
        auroc: method to the AUROC over its test images, 0..1, written as given.

    Reference:
        Figures 3 (cloud) and 5 (casting).
    """
    frame, axes_of = _panels(len(panels), 2, 3.2, title, caption, legend_rows=1)
    for axes, (method, panel) in zip(axes_of, panels.items(), strict=True):
        _scatter_groups(axes, panel)
        # Wrapped, so as not to run into the AUROC.
        axes.set_title(textwrap.fill(panel_heading(panels, method), 30))
        axes.set_title(f"AUROC {auroc[method]:.3f}", loc="right", fontweight="normal")
    present = set(pd.concat(panels.values())["group"])
    looks = {g: (c, GROUP_MARKERS[g]) for g, c in GROUP_COLOURS.items() if g in present}
    median = Line2D([], [], color=INK, lw=1.8, label="median of the group")
    frame.legend([*_symbols(looks), median])
    return frame.figure


def _clip_at(groups: Mapping[str, np.ndarray]) -> float:
    """Find where to end the y axis: far above each group's bulk, or at the highest score."""
    highest, fence = max(scores.max() for scores in groups.values()), -np.inf
    for scores in groups.values():
        lower, upper = np.percentile(scores, [25, 75])
        # A twentieth of a group is no outlier: it stays, even if it flattens the rest.
        most = np.percentile(scores, 95, method="lower")
        fence = max(fence, upper + 4 * (upper - lower), most)
    # Less than a third more is not worth hiding points for.
    return float(fence if highest > 1.33 * fence > 0 else highest)


def _scatter_groups(axes: Axes, panel: pd.DataFrame) -> None:
    groups = {g: panel.loc[panel["group"] == g, "score"].to_numpy(float) for g in GROUP_COLOURS}
    groups = {group: scores for group, scores in groups.items() if len(scores)}
    limit, lowest = _clip_at(groups), min(0.0, panel["score"].min())
    span = (limit - lowest) or 1.0
    clipped = panel["score"].max() > limit
    for start, (group, scores) in enumerate(groups.items()):
        x = start + 0.04 + 0.92 * (np.arange(len(scores)) + 0.5) / len(scores)
        above = scores > limit
        y = np.where(above, limit + 0.05 * span, scores)
        look = {"color": GROUP_COLOURS[group], "marker": GROUP_MARKERS[group], "ec": INK}
        size, edge = (16, 0.3) if len(scores) <= 400 else (7, 0.1)
        axes.scatter(x, y, size, lw=edge, zorder=3, gid=group, **look)
        axes.hlines(np.median(scores), start + 0.04, start + 0.96, color=INK, lw=1.8, zorder=4)
        if above.any():
            words = f"{above.sum()} above,\nup to {short(scores.max())}"
            axes.text(start + 0.5, limit + 0.09 * span, words, ha="center", size=7.5)
        if start:
            axes.axvline(start, color="#bbbbbb", linewidth=0.8)
    axes.set(xlim=(0, len(groups)), ylim=(lowest - 0.03 * span, limit + 0.06 * span))
    if clipped:
        axes.set_yticks([tick for tick in axes.get_yticks() if lowest <= tick <= limit])
        axes.set_ylim(lowest - 0.03 * span, limit + 0.27 * span)
        axes.axhline(limit + 0.02 * span, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
    names = [f"{group}\n1 to {len(scores):,}" for group, scores in groups.items()]
    axes.set_xticks(np.arange(len(names)) + 0.5, names)
    axes.grid(False, axis="x")
    axes.set(xlabel="image (number within its group)", ylabel="anomaly score (no unit)")


def _histograms(frame, panels, edges, threshold, words, below, above) -> Axes:
    """Draw a histogram per name, in two looks, and return the last axes."""
    axes_of = frame.grid(len(panels), 1, sharex=True)[:, 0]
    for axes, (name, values) in zip(axes_of, panels.items(), strict=True):
        values = np.asarray(values, float)
        far = values >= threshold
        for part, look in ((values[~far], below), (values[far], above)):
            axes.hist(part, edges, **look, **_EDGE)
        axes.axvline(threshold, **_THRESHOLD)
        axes.set_title(name)
        counts = {"all": len(far), "above": far.sum(), "below": (~far).sum()}
        words_right = words.format(**counts) + " the threshold"
        axes.set_title(words_right, loc="right", fontweight="normal")
        axes.set(ylabel="images", xlim=(edges[0], edges[-1]))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(False, axis="x")
    return axes


@plt.rc_context(STYLE)
def score_histogram(
    scores: Mapping[str, np.ndarray], threshold: float, title: str, caption: str
) -> Figure:
    """Draw how scores are distributed, and the threshold among them.

    Args:
        scores: what the images are to their scores `(n,)`.
        threshold: an image is called an anomaly if its score is at or above it.
    """
    frame = Frame(1.7 * len(scores) + 0.4, title, caption)
    values = np.concatenate([*scores.values(), [threshold]])
    width = np.ptp(values) / 40 or 1.0
    first, last = (values.min() - threshold) / width - 1, (values.max() - threshold) / width + 2
    edges = threshold + width * np.arange(math.floor(first), math.ceil(last))
    look = {"color": "#7f8fa6"}
    axes = _histograms(
        frame, scores, edges, threshold, "{above:,} of {all:,} at or above", look, look
    )
    axes.set_xlabel(f"score; the threshold is {short(threshold)}")
    return frame.figure


@plt.rc_context(STYLE)
def distance_histogram(
    distances: Mapping[str, np.ndarray],
    title: str,
    caption: str,
    threshold: float,
    measure: str = "distance",
) -> Figure:
    """Draw how far the test images are from their nearest training image.

    Args:
        distances: name, for instance a protocol, to the distance `(n,)`, >= 0, of each normal test
            image to its nearest training image.
        threshold: the distance below which two images count as copies of one thing.
        measure: what the distance is, with its unit.
    """
    frame = Frame(1.75 * len(distances) + 0.35, title, caption, legend_rows=1)
    highest = max(threshold, *(np.max(values) for values in distances.values()))
    # An edge lies on the threshold, so that no bar is half red.
    width = threshold / max(1, round(40 * threshold / highest))
    edges = width * np.arange(np.floor(highest / width) + 2)
    near, far = {"facecolor": _RED}, {"facecolor": "#8fb3cc", "hatch": "////"}
    axes = _histograms(
        frame, distances, edges, threshold, "{below:,} of {all:,} nearer than", near, far
    )
    axes.set_xlabel(f"{measure} to the nearest training image")
    copies = Patch(label="nearer: counted as copies of one thing", **near, **_EDGE)
    line = Line2D([], [], label=f"threshold {short(threshold)}", **_THRESHOLD)
    frame.legend([copies, Patch(label="farther", **far, **_EDGE), line])
    return frame.figure


@plt.rc_context(STYLE)
def roc_and_precision_recall(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    caption: str,
    baselines: Collection[str] = (),
) -> Figure:
    """Draw the ROC and precision over recall, with AUROC and average precision (AP).

    Args:
        curves: method to its labels `(n,)`, 1 for an anomaly and 0 for a normal image, and its
            scores `(n,)`, higher is more anomalous.
        baselines: the methods whose curves are thin and grey.
    """
    columns = 2 if len(curves) > 2 else 3
    frame = Frame(4.0, title, caption, legend_rows=math.ceil((len(curves) + 1) / columns))
    roc, precision = frame.grid(1, 2)[0]
    dashes = ["-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1))]
    looks = zip(itertools.cycle(dashes), itertools.cycle("osD^vPX*hd"), strict=False)
    # Not the palette's grey, which is chance's, nor its yellow, which is lost on white.
    colours = itertools.cycle([*sns.color_palette("colorblind", 7), INK, "#56b4e9"])
    greys = itertools.cycle(["#3c3c3c", "#8c8c8c", "#636363"])
    handles = []
    for index, (method, (labels, scores)) in enumerate(curves.items()):
        look = dict(zip(("linestyle", "marker"), next(looks), strict=True), label=method)
        # Each curve has its markers at other places, so that curves in one place still differ.
        look |= {"markevery": (0.02 + 0.013 * index, 0.17), "markeredgewidth": 0.5}
        if method in baselines:
            look |= {"color": next(greys), "linewidth": 1.0, "markersize": 5, "zorder": 2.5}
            look |= {"markerfacecolor": "white", "markeredgecolor": INK}
        else:
            look |= {"color": next(colours), "linewidth": 2.0, "markersize": 6, "zorder": 3}
            look |= {"markeredgecolor": "white"}
        left = RocCurveDisplay.from_predictions(labels, scores, ax=roc, curve_kwargs=look)
        chance = {"plot_chance_level": True, "chance_level_kw": CHANCE | {"label": "chance"}}
        right = PrecisionRecallDisplay.from_predictions(
            labels, scores, ax=precision, curve_kwargs=look, **chance
        )
        words = f"{method}: AUROC {left.roc_auc:.3f}, AP {right.average_precision:.3f}"
        handles.append(Line2D([], [], **look | {"label": words}))
    roc.plot([0, 1], [0, 1], label="chance", **CHANCE)
    roc.set(title="(a) ROC", ylabel="true positive rate (anomalies found / all)")
    roc.set_xlabel("false positive rate (normal images flagged / all normal)")
    precision.set(
        title="(b) precision and recall", xlabel="recall (anomalies found / all anomalies)"
    )
    precision.set_ylabel("precision (anomalies / images flagged)")
    for axes in (roc, precision):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), aspect="auto", box_aspect=0.8)
        axes.get_legend().remove()
    frame.legend([*handles, Line2D([], [], label="chance", **CHANCE)], columns)
    return frame.figure


@plt.rc_context(STYLE)
def score_against_complexity(panels: Panels, title: str, caption: str) -> Figure:
    """Draw the score of every test image against how much there is to see in it.

    What lies in the shaded corner is simpler than the median normal image and scored as more
    normal.

    Args:
        panels: method to a table of its test images with the columns `kind` ("normal", or the kind
            of an anomaly), `complexity` (size of the compressed image, bytes) and `score` (the
            method's own scale).
    """
    kinds = pd.concat(panels.values())["kind"].unique()
    colours = [KIND_COLOURS["anomaly"], "#1d4e79", "#f2c14e", "#6a9a3b", "#7b4fa3"]
    cycle = itertools.cycle(zip(colours, "^vDPX", strict=True))
    anomalies = zip((kind for kind in kinds if kind != "normal"), cycle, strict=False)
    looks = {"normal": (KIND_COLOURS["normal"], "s"), **dict(anomalies)}
    legend_rows = 1 if len(kinds) <= 2 else 2
    frame, axes_of = _panels(len(panels), 2, 3.15, title, caption, legend_rows)
    corner = {"fc": "#ececec", "ec": INK, "lw": 0.9, "ls": ":"}
    for axes, (method, panel) in zip(axes_of, panels.items(), strict=True):
        for kind, (colour, marker) in looks.items():
            x, y = panel.loc[panel["kind"] == kind, ["complexity", "score"]].to_numpy(float).T
            look = {"marker": marker, "color": colour, "edgecolors": INK}
            axes.scatter(x, y, 15, lw=0.3, alpha=0.75, gid=kind, **look)
            middle = [np.median(x)], [np.median(y)]
            axes.scatter(*middle, 150, lw=1.6, zorder=5, gid=f"{kind} median", **look)
        if panel["score"].min() > 0 and panel["score"].max() > 15 * panel["score"].median():
            axes.set_yscale("log")
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        x, y = panel.loc[panel["kind"] == "normal", ["complexity", "score"]].median()
        size = x - left, y - bottom
        axes.add_patch(Rectangle((left, bottom), *size, zorder=0.5, gid="simpler", **corner))
        axes.set(xlim=(left, right), ylim=(bottom, top), title=panel_heading(panels, method))
        axes.set(xlabel="size of the compressed image (bytes)", ylabel="anomaly score (no unit)")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    large = {"marker": "o", "mfc": "white", "mec": INK, "mew": 1.6, "ms": 11, "ls": ""}
    handles = [*_symbols(looks), Line2D([], [], label="median of the kind", **large)]
    words = "simpler than the median normal image, and scored as more normal"
    handles.append(Patch(label=words, **corner))
    frame.legend(handles, math.ceil(len(handles) / legend_rows))
    return frame.figure
