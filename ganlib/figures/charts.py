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
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from ganlib.figures.style import (
    GROUP_COLOURS,
    GROUP_MARKERS,
    INK,
    KIND_COLOURS,
    STYLE,
    Frame,
    panel_heading,
    short,
)

_RED, _GREY_BLUE = GROUP_COLOURS["train normal"], "#8fb3cc"


def _panels(count, columns, height, title, caption, legend_rows=0) -> tuple[Frame, list[Axes]]:
    """Make a frame with so many panels, each `height` inches, in up to so many columns."""
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    frame = Frame(height * rows + 0.1, title, caption, legend_rows)
    axes = frame.grid(rows, columns).ravel()
    for unused in axes[count:]:
        unused.set_visible(False)
    return frame, list(axes[:count])


def _loss_panels(curves: Mapping[str, np.ndarray]) -> list[list[str]]:
    """Choose which losses share a panel: a loss with its validation, a GAN's two players."""
    panels: dict[str, list[str]] = {}
    for name in curves:
        panels.setdefault(name.removeprefix("val_"), []).append(name)
    players = ["generator_loss", "discriminator_loss"]
    if all(player in panels for player in players):
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

    The generator's and the discriminator's share one where they are of one size, and so do a loss
    and its `val_` twin.

    Args:
        history: loss to its value per epoch, as in `keras.callbacks.History.history`; a column
            `epoch`, where there is one, numbers the epochs, else they count from 1.
    """
    curves = {name: np.asarray(history[name], float) for name in history}
    epochs = curves.pop("epoch", np.arange(1, len(next(iter(curves.values()))) + 1))
    panels = _loss_panels(curves)
    columns = 2 if len(panels) == 4 else 3
    frame, axes_of = _panels(len(panels), columns, 2.45, title, caption)
    colours = [_RED, "#1b6fa8", "#444444", "#b07aa1"]
    for axes, names in zip(axes_of, panels, strict=True):
        words = [name.replace("_", " ") for name in names]
        if len(names) > 1:
            words = [each.removesuffix(" loss") for each in words]
        looks = zip(itertools.cycle(colours), itertools.cycle(["-", (0, (4, 1.5)), ":"]))
        marker = "o" if len(epochs) <= 3 else None
        for name, word, (colour, dash) in zip(names, words, looks, strict=False):
            look = {"color": colour, "ls": dash, "lw": 1.6, "marker": marker}
            axes.plot(epochs, curves[name], label=word, **look)
        values = np.concatenate([curves[name] for name in names])
        values = values[np.isfinite(values)]
        unit = "loss" if "loss" in names[0] else "value"
        if len(values) and values.min() > 0 and values.max() > 100 * values.min():
            axes.set_yscale("log")
            unit += " (log scale)"
        axes.set(xlabel="epoch", ylabel=unit)
        axes.set_title(" and ".join(words) if len(words) == 2 else words[0])
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
    for group in sorted(set(names), key=lambda g: [*GROUP_COLOURS, g].index(g)):
        low, middle, high = np.percentile(losses[:, names == group], [10, 50, 90], axis=1)
        colour = GROUP_COLOURS.get(group, "#777777")
        hatch = "///" if group == "test anomaly" else None
        axes.fill_between(x, low, high, fc=colour, ec=colour, alpha=0.3, hatch=hatch, lw=0.6)
        # A dark line beneath the coloured one: pale pink alone is lost on white.
        axes.plot(x, middle, color=INK, linewidth=3.2, zorder=3)
        marks = {"marker": GROUP_MARKERS.get(group, "o"), "mec": INK, "mew": 0.5, "ms": 6}
        marks["markevery"] = max(1, len(x) // 8)
        label = f"{group} ({int((names == group).sum()):,} images)"
        axes.plot(x, middle, color=colour, lw=1.9, zorder=4, label=label, **marks)
    axes.set_yscale("log")
    axes.set(xlabel="step of the search for z", ylabel="loss L(z) (no unit, log scale)")
    axes.margins(x=0.01)
    axes.legend(title="median; band: 10th to 90th percentile", loc="best", frameon=True)
    return frame.figure


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
    panels: Mapping[str, pd.DataFrame], title: str, caption: str, auroc: Mapping[str, float]
) -> Figure:
    """Draw the anomaly score of every image, group after group.

    Each group gets a third of the x axis, whatever its size. A score far above all the others is
    drawn above a dashed line at the upper edge and counted there, so that it does not flatten the
    rest.

    Args:
        panels: method to a table of its images with the columns `group` ("train normal",
            "test normal" or "test anomaly") and `score` (the method's own scale).
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
    handles = [
        Line2D([], [], ls="", marker=marker, mfc=GROUP_COLOURS[group], mec=INK, label=group)
        for group, marker in GROUP_MARKERS.items()
        if group in present
    ]
    frame.legend([*handles, Line2D([], [], color=INK, lw=1.8, label="median of the group")])
    return frame.figure


def _scatter_groups(axes: Axes, panel: pd.DataFrame) -> None:
    scores_of = {group: panel.loc[panel["group"] == group, "score"] for group in GROUP_COLOURS}
    scores_of = {
        group: scores.to_numpy(float) for group, scores in scores_of.items() if len(scores)
    }
    limit, lowest = _clip_at(panel), min(0.0, float(panel["score"].min()))
    span = (limit - lowest) or 1.0
    for start, (group, scores) in enumerate(scores_of.items()):
        x = start + 0.04 + 0.92 * (np.arange(len(scores)) + 0.5) / len(scores)
        above = scores > limit
        look = {"color": GROUP_COLOURS[group], "marker": GROUP_MARKERS[group], "edgecolors": INK}
        size, edge = (16, 0.3) if len(scores) <= 400 else (7, 0.1)
        axes.scatter(x[~above], scores[~above], size, lw=edge, zorder=3, gid=group, **look)
        axes.plot(
            [start + 0.04, start + 0.96], [np.median(scores)] * 2, color=INK, lw=1.8, zorder=4
        )
        if above.any():
            y = np.full(above.sum(), limit + 0.05 * span)
            axes.scatter(x[above], y, 26, lw=0.3, zorder=3, gid=f"{group} above", **look)
            words = f"{above.sum()} above,\nup to {short(scores.max())}"
            at = (start + 0.5, limit + 0.09 * span)
            axes.text(*at, words, ha="center", va="bottom", fontsize=7.5)
        if start:
            axes.axvline(start, color="#bbbbbb", linewidth=0.8)
    clipped = panel["score"].max() > limit
    axes.set(xlim=(0, len(scores_of)), ylim=(lowest - 0.03 * span, limit + 0.06 * span))
    if clipped:
        axes.set_yticks([tick for tick in axes.get_yticks() if lowest <= tick <= limit])
        axes.set_ylim(lowest - 0.03 * span, limit + 0.27 * span)
        axes.axhline(limit + 0.02 * span, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
    names = [f"{group}\n1 to {len(scores):,}" for group, scores in scores_of.items()]
    axes.set_xticks(np.arange(len(names)) + 0.5, names)
    axes.grid(False, axis="x")
    axes.set(xlabel="image (number within its group)", ylabel="anomaly score (no unit)")


def _histograms(frame, panels, edges, threshold, counted, unit, colours, hatches) -> list[Axes]:
    """Draw a histogram per name, what is below the threshold in a look of its own."""
    axes_of = frame.grid(len(panels), 1, sharex=True)[:, 0]
    line = {"color": INK, "linewidth": 1.4, "linestyle": (0, (4, 2))}
    for axes, (name, values) in zip(axes_of, panels.items(), strict=True):
        values = np.asarray(values, float)
        below = values < threshold
        look = {"color": colours, "hatch": hatches, "edgecolor": INK, "linewidth": 0.4}
        axes.hist([values[below], values[~below]], edges, stacked=True, **look)
        axes.axvline(threshold, **line)
        count = int((below if counted == "nearer than" else ~below).sum())
        axes.set_title(name)
        words = f"{count:,} of {len(values):,} {counted} the threshold"
        axes.set_title(words, loc="right", fontweight="normal")
        axes.set(ylabel=unit, xlim=(edges[0], edges[-1]))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(False, axis="x")
    return list(axes_of)


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
    margin = 0.03 * (np.ptp(values) or 1.0)
    edges = np.linspace(values.min() - margin, values.max() + margin, 41)
    look = ["#7f8fa6"] * 2, [None] * 2
    axes_of = _histograms(frame, scores, edges, threshold, "at or above", "images", *look)
    axes_of[-1].set_xlabel(f"score; the threshold is {short(threshold)}")
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
    highest = max([threshold, *(float(np.max(values)) for values in distances.values())])
    # An edge lies on the threshold, so that no bar is half red.
    width = threshold / max(1, round(40 * threshold / highest))
    edges = width * np.arange(np.floor(highest / width) + 2)
    look = [_RED, _GREY_BLUE], [None, "////"]
    axes_of = _histograms(frame, distances, edges, threshold, "nearer than", "test images", *look)
    axes_of[-1].set_xlabel(f"{measure} to the nearest training image")
    line = {"color": INK, "linewidth": 1.4, "linestyle": (0, (4, 2))}
    frame.legend(
        [
            Patch(fc=_RED, ec=INK, lw=0.4, label="nearer: counted as copies of one thing"),
            Patch(fc=_GREY_BLUE, ec=INK, lw=0.4, hatch="////", label="farther"),
            Line2D([], [], label=f"threshold {short(threshold)}", **line),
        ]
    )
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
    rows = math.ceil((len(curves) + 1) / columns)
    frame = Frame(4.0, title, caption, legend_rows=rows)
    roc, precision = frame.grid(1, 2)[0]
    dashes = ["-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1))]
    # Not the palette's grey, which is chance's, nor its yellow, which is lost on white.
    colours = itertools.cycle([*sns.color_palette("colorblind", 7), INK, "#56b4e9"])
    greys = itertools.cycle(["#3c3c3c", "#8c8c8c", "#636363"])
    looks = zip(itertools.cycle(dashes), itertools.cycle("osD^vPX*hd"))
    chance = {"color": "#888888", "lw": 1.1, "ls": (0, (2, 2)), "zorder": 1, "label": "chance"}
    handles = []
    for index, (method, (labels, scores)) in enumerate(curves.items()):
        dash, marker = next(looks)
        look = {"linestyle": dash, "marker": marker, "label": method, "markeredgewidth": 0.5}
        # Each curve has its markers at other places, so that curves in one place still differ.
        look["markevery"] = (0.02 + 0.013 * index, 0.17)
        if method in baselines:
            look |= {"color": next(greys), "linewidth": 1.0, "markersize": 5, "zorder": 2.5}
            look |= {"markerfacecolor": "white", "markeredgecolor": INK}
        else:
            width, size = (2.2, 6.5) if baselines else (1.7, 5)
            look |= {"color": next(colours), "linewidth": width, "markersize": size, "zorder": 3}
            look |= {"markeredgecolor": "white"}
        area = RocCurveDisplay.from_predictions(labels, scores, ax=roc, curve_kwargs=look)
        mean = PrecisionRecallDisplay.from_predictions(
            labels,
            scores,
            ax=precision,
            curve_kwargs=look,
            plot_chance_level=True,
            chance_level_kw=chance,
        )
        words = f"{method}: AUROC {area.roc_auc:.3f}, AP {mean.average_precision:.3f}"
        handles.append(Line2D([], [], **look | {"label": words}))
    roc.plot([0, 1], [0, 1], **chance)
    roc.set_title("(a) ROC")
    roc.set(
        xlabel="false positive rate (normal images flagged / all normal)",
        ylabel="true positive rate (anomalies found / all)",
    )
    precision.set_title("(b) precision and recall")
    precision.set(
        xlabel="recall (anomalies found / all anomalies)",
        ylabel="precision (anomalies / images flagged)",
    )
    for axes in (roc, precision):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), aspect="auto", box_aspect=0.8)
        axes.get_legend().remove()
    frame.legend([*handles, Line2D([], [], **chance)], columns)
    return frame.figure


@plt.rc_context(STYLE)
def auroc_by_kind(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the AUROC of every method on each kind of anomaly against the normal images.

    The further from chance, the deeper the colour; below chance it is another one, hatched.

    Args:
        table: a row per data set, kind and method, with the columns `dataset`, `kind`, `method`,
            `auroc` (0..1), `low` and `high` (its 95 % interval, NaN where there is none) and, if
            you like, `n` (images of the kind).
    """
    # A step at chance: a cell just below it must not look like one just above.
    ends = [(0, "#e58a72"), (0.499, "#fbe6e0"), (0.5, "#ffffff"), (1, KIND_COLOURS["anomaly"])]
    colours = LinearSegmentedColormap.from_list("auroc", ends, N=1001)
    hatch = {"hatch": "////", "edgecolor": "#cf8a78", "linewidth": 0.5}
    methods = list(table["method"].unique())
    parts = dict(list(table.groupby("dataset", sort=False)))
    heights = [part["kind"].nunique() for part in parts.values()]
    body = 0.6 + 0.36 * len(parts) + 0.44 * sum(heights)
    frame = Frame(body, title, caption, legend_rows=1)
    grid = frame.grid(len(parts), 1, gridspec_kw={"height_ratios": heights})
    for axes, (dataset, part) in zip(grid[:, 0], parts.items(), strict=True):
        kinds = list(part["kind"].unique())
        cells = part.pivot(index="kind", columns="method", values="auroc").reindex(
            kinds, columns=methods
        )
        bold = {"weight": "bold", "size": 9.5, "va": "bottom", "color": INK}
        sns.heatmap(
            cells,
            vmin=0,
            vmax=1,
            cmap=colours,
            cbar=False,
            annot=True,
            fmt=".3f",
            annot_kws=bold,
            linewidths=3,
            linecolor="white",
            ax=axes,
        )
        for line in part.itertuples():
            x, y = methods.index(line.method), kinds.index(line.kind)
            if not math.isnan(line.low):
                words = f"{line.low:.2f}\N{EN DASH}{line.high:.2f}"
                axes.text(x + 0.5, y + 0.73, words, ha="center", va="center", size=7.5)
            below = line.auroc < 0.5
            look = hatch if below else {"edgecolor": "#cccccc", "linewidth": 0.5}
            gid = "below chance" if below else "cell"
            cell = Rectangle((x + 0.02, y + 0.04), 0.96, 0.92, fill=False, gid=gid, **look)
            axes.add_patch(cell)
        words = [kind.replace("_", " ") for kind in kinds]
        if "n" in part:
            counts = part.drop_duplicates("kind")["n"]
            words = [f"{word} ({int(n):,})" for word, n in zip(words, counts, strict=True)]
        axes.set_yticklabels(words, rotation=0, size=9)
        names = ["\n".join(method.rsplit(" ", 1)) for method in methods]
        axes.set_xticklabels(names if axes is grid[0, 0] else [], weight="bold")
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.set(xlabel="", ylabel="")
        axes.set_title(dataset, x=-0.2)
    frame.legend(
        [
            Patch(fc=colours(1.0), ec="white", label="1: found every time"),
            Patch(fc=colours(0.75), ec="white", label="0.75"),
            Patch(fc=colours(0.5), ec="#999999", lw=0.6, label="0.5: chance"),
            Patch(
                facecolor=colours(0.2),
                label="below chance: scored as more normal than normal images",
                **hatch,
            ),
        ]
    )
    return frame.figure


@plt.rc_context(STYLE)
def score_against_complexity(
    panels: Mapping[str, pd.DataFrame], title: str, caption: str
) -> Figure:
    """Draw the score of every test image against how much there is to see in it.

    What lies in the shaded corner is simpler than the median normal image and scored as more
    normal.

    Args:
        panels: method to a table of its test images with the columns `kind` ("normal", or the kind
            of an anomaly), `complexity` (size of the compressed image, bytes) and `score` (the
            method's own scale).
    """
    kinds = pd.concat(panels.values())["kind"].unique()
    looks = {"normal": (KIND_COLOURS["normal"], "s")}
    colours = [KIND_COLOURS["anomaly"], "#1d4e79", "#f2c14e", "#6a9a3b", "#7b4fa3"]
    others = (kind for kind in kinds if kind != "normal")
    looks |= dict(zip(others, itertools.cycle(zip(colours, "^vDPX", strict=True)), strict=False))
    legend_rows = 1 if len(kinds) <= 2 else 2
    frame, axes_of = _panels(len(panels), 2, 3.15, title, caption, legend_rows)
    corner = {"fc": "#ececec", "ec": INK, "lw": 0.9, "ls": ":"}
    for axes, (method, panel) in zip(axes_of, panels.items(), strict=True):
        medians = panel.groupby("kind")[["complexity", "score"]].median()
        for kind, (colour, marker) in looks.items():
            part = panel[panel["kind"] == kind]
            look = {"marker": marker, "color": colour, "edgecolors": INK}
            axes.scatter(
                part["complexity"], part["score"], 15, lw=0.3, alpha=0.75, gid=kind, **look
            )
            if kind in medians.index:
                middle = medians.loc[kind]
                axes.scatter(*middle, 150, lw=1.6, zorder=5, gid=f"{kind} median", **look)
        if panel["score"].min() > 0 and panel["score"].max() > 15 * panel["score"].median():
            axes.set_yscale("log")
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        x, y = medians.loc["normal"]
        size = x - left, y - bottom
        axes.add_patch(Rectangle((left, bottom), *size, zorder=0.5, gid="simpler", **corner))
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.set_title(panel_heading(panels, method))
        axes.set(xlabel="size of the compressed image (bytes)", ylabel="anomaly score (no unit)")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    handles = [
        Line2D(
            [],
            [],
            ls="",
            marker=marker,
            mfc=colour,
            mec=INK,
            mew=0.5,
            ms=7,
            label=kind.replace("_", " "),
        )
        for kind, (colour, marker) in looks.items()
        if kind in kinds
    ]
    large = {"marker": "o", "mfc": "white", "mec": INK, "mew": 1.6, "ms": 11, "ls": ""}
    handles.append(Line2D([], [], label="median of the kind", **large))
    words = "simpler than the median normal image, and scored as more normal"
    handles.append(Patch(label=words, **corner))
    frame.legend(handles, math.ceil(len(handles) / legend_rows))
    return frame.figure
