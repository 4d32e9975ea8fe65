"""Curves and scatter: training, search, ROC, score against complexity."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cbook import normalize_kwargs
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from ganlib.figures import style
from ganlib.figures.style import CHANCE, INK, KIND_COLOURS, RED, STYLE, Frame, Tables


def _loss_panels(curves: Mapping[str, np.ndarray]) -> list[list[str]]:
    """Choose which losses share a panel: a loss with its validation, a GAN's two players."""
    panels, players = {}, ["generator_loss", "discriminator_loss"]
    for name in curves:
        panels.setdefault(name.removeprefix("val_"), []).append(name)
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
    """Draw every loss of a Keras history over the epochs; comparable ones share a panel.

    An optional column `epoch` numbers the epochs, else they count from 1.
    """
    curves = {name: np.asarray(history[name], float) for name in history}
    epochs = curves.pop("epoch", np.arange(1, len(next(iter(curves.values()))) + 1))
    panels = _loss_panels(curves)
    columns = 2 if len(panels) == 4 else 3
    frame, axes_of = style.panel_axes(len(panels), columns, 2.45, title, caption)
    for axes, names in zip(axes_of, panels, strict=True):
        shared = " loss" if len(names) > 1 else ""
        words = [name.replace("_", " ").removesuffix(shared) for name in names]
        table = pd.DataFrame(dict(zip(words, map(curves.get, names), strict=True)), epochs)
        logarithmic = bool(0 < 100 * table.min().min() < table.max().max())
        unit = ("loss" if "loss" in names[0] else "value") + " (log scale)" * logarithmic
        look = {"color": [RED, "#1b6fa8", RED, "#1b6fa8"][: len(names)], "legend": False}
        look |= {"style": ["-", "--", ":", "-."], "marker": "o" if len(epochs) <= 3 else None}
        table.plot(ax=axes, xlabel="epoch", ylabel=unit, logy=logarithmic, **look)
        axes.set_title(" and ".join(words[:2]))
        if shared:
            axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return frame.figure


@plt.rc_context(STYLE)
def search_loss(
    losses: np.ndarray, groups: Sequence[str], title: str, caption: str, steps=None
) -> Figure:
    """Draw the loss of AnoGAN's search for z (step 2 of figure 1): median and middle 80 %.

    The losses, > 0, are `(len(steps), n)`, the groups `(n,)`. Steps count from 0 by default.
    """
    frame, (axes,) = style.panel_axes(1, 1, 3.5, title, caption)
    x, names = np.arange(len(losses)) if steps is None else steps, np.asarray(groups)
    for group in sorted(set(names), key=[*style.GROUP_COLOURS, *names].index):
        low, middle, high = np.percentile(losses[:, names == group], [10, 50, 90], axis=1)
        colour = style.GROUP_COLOURS.get(group, "#777777")
        hatch = "///" if group == "test anomaly" else None
        axes.fill_between(x, low, high, fc=colour, ec=colour, alpha=0.3, hatch=hatch, lw=0.6)
        axes.plot(x, middle, color=INK, linewidth=3.2, zorder=3)
        mark = {"marker": style.GROUP_MARKERS.get(group, "o"), "mec": INK, "mew": 0.5, "ms": 6}
        mark |= {"markevery": max(1, len(x) // 8), "zorder": 4}
        label = f"{group} ({(names == group).sum():,} images)"
        axes.plot(x, middle, color=colour, lw=1.9, label=label, **mark)
    axes.set(yscale="log", xmargin=0.01)
    axes.set(xlabel="step of the search for z", ylabel="loss L(z) (no unit, log scale)")
    axes.legend(title="median; band: 10th to 90th percentile", loc="best", frameon=True)
    return frame.figure


@plt.rc_context(STYLE)
def roc_and_precision_recall(
    curves: Mapping[str, tuple], title: str, caption: str, baselines: Collection[str] = ()
) -> Figure:
    """Draw the ROC and precision over recall, with AUROC and average precision (AP).

    Each method has labels `(n,)`, 1 for an anomaly, and scores `(n,)`. Baselines are thin and grey.
    """
    columns = 2 if len(curves) > 2 else 3
    frame = Frame(4.0, title, caption, legend_rows=math.ceil((len(curves) + 1) / columns))
    roc, precision = frame.grid(1, 2)[0]
    dashes = ["-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1))]
    shapes = zip(itertools.cycle(dashes), itertools.cycle("osD^vPX*hd"), strict=False)
    # Of seaborn's palette for the color-blind, without its grey, which is chance's, and its yellow,
    # which is lost on white.
    colours = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4"]
    colours = itertools.cycle([*colours, INK, "#56b4e9"])
    greys = itertools.cycle(["#3c3c3c", "#8c8c8c", "#636363"])
    thin = {"lw": 1.0, "ms": 5, "zorder": 2.5, "mfc": "white", "mec": INK}
    thick = {"lw": 2.0, "ms": 6, "zorder": 3, "mec": "white"}
    chance = {"plot_chance_level": True, "chance_level_kw": CHANCE | {"label": "chance"}}
    handles = []
    for index, (method, data) in enumerate(curves.items()):
        look = dict(zip(("ls", "marker"), next(shapes), strict=True), label=method, mew=0.5)
        # Each curve has its markers at other places, so that curves in one place still differ.
        look["markevery"] = (0.02 + 0.013 * index, 0.17)
        look |= thin if method in baselines else thick
        look["color"] = next(greys if method in baselines else colours)
        look = {"curve_kwargs": normalize_kwargs(look, Line2D)}
        left = RocCurveDisplay.from_predictions(*data, ax=roc, **look)
        right = PrecisionRecallDisplay.from_predictions(*data, ax=precision, **look, **chance)
        words = f"{method}: AUROC {left.roc_auc:.3f}, AP {right.average_precision:.3f}"
        handles.append(Line2D([], [], **look["curve_kwargs"] | {"label": words}))
    roc.plot([0, 1], [0, 1], label="chance", **CHANCE)
    roc.set(title="(a) ROC", ylabel="true positive rate (anomalies found / all)")
    roc.set_xlabel("false positive rate (normal images flagged / all normal)")
    precision.set(title="(b) precision and recall", ylabel="precision (anomalies / images flagged)")
    precision.set_xlabel("recall (anomalies found / all anomalies)")
    for axes in (roc, precision):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), aspect="auto", box_aspect=0.8)
        axes.get_legend().remove()
    frame.legend([*handles, Line2D([], [], label="chance", **CHANCE)], columns)
    return frame.figure


@plt.rc_context(STYLE)
def score_against_complexity(panels: Tables, title: str, caption: str) -> Figure:
    """Draw the `score` of every test image against its `complexity` (compressed size in bytes).

    The column `kind` is "normal", or the kind of an anomaly.
    """
    kinds = pd.concat(panels.values())["kind"].unique()
    colours = [KIND_COLOURS["anomaly"], "#1d4e79", "#f2c14e", "#6a9a3b", "#7b4fa3"]
    cycle = itertools.cycle(zip(colours, "^vDPX", strict=True))
    looks = {"normal": (KIND_COLOURS["normal"], "s")}
    looks |= dict(zip(kinds[kinds != "normal"], cycle, strict=False))
    legend_rows = 1 if len(kinds) <= 2 else 2
    frame, axes_of = style.panel_axes(len(panels), 2, 3.15, title, caption, legend_rows)
    corner = {"fc": "#ececec", "ec": INK, "lw": 0.9, "ls": ":"}
    for axes, (method, panel) in zip(axes_of, panels.items(), strict=True):
        for kind, (colour, marker) in looks.items():
            x, y = panel.loc[panel["kind"] == kind, ["complexity", "score"]].to_numpy(float).T
            look = {"marker": marker, "color": colour, "edgecolors": INK}
            axes.scatter(x, y, 15, lw=0.3, alpha=0.75, gid=kind, **look)
            large = {"lw": 1.6, "zorder": 5, "gid": f"{kind} median"} | look
            axes.scatter(np.median(x), np.median(y), 150, **large)
        if panel["score"].min() > 0 and panel["score"].max() > 15 * panel["score"].median():
            axes.set_yscale("log")
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        x, y = panel.loc[panel["kind"] == "normal", ["complexity", "score"]].median()
        size = x - left, y - bottom
        axes.add_patch(Rectangle((left, bottom), *size, zorder=0.5, gid="simpler", **corner))
        axes.set(xlim=(left, right), ylim=(bottom, top), title=style.panel_heading(panels, method))
        axes.set(xlabel="size of the compressed image (bytes)", ylabel="anomaly score (no unit)")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    large = {"marker": "o", "mfc": "white", "mec": INK, "mew": 1.6, "ms": 11, "ls": ""}
    words = "simpler than the median normal image, and scored as more normal"
    median = Line2D([], [], label="median of the kind", **large)
    handles = [*style.symbols(looks), median, Patch(label=words, **corner)]
    frame.legend(handles, math.ceil(len(handles) / legend_rows))
    return frame.figure
