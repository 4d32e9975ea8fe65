"""Draw curves and scatter plots: training, search, ROC, levels of a factor, complexity."""

import itertools
from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cbook import normalize_kwargs
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from ganlib.figures import style
from ganlib.figures.style import CHANCE, INK, RED, STYLE, Frame, Tables

_PROTOCOL_LOOKS = {"paper": (RED, "s", "-"), "grouped": ("#1b6fa8", "o", (0, (5, 2)))}


def _loss_panels(curves: Mapping[str, np.ndarray]) -> list[list[str]]:
    """Group losses by panel: a loss with its validation loss, a generator's and discriminator's."""
    panels, players = {}, ["generator_loss", "discriminator_loss"]
    for name in curves:
        panels.setdefault(name.removeprefix("val_"), []).append(name)
    if all(player in curves for player in players):
        sizes = [np.nanmedian(np.abs(curves[player])) for player in players]
        # A generator loss with a weight of 50 would flatten the discriminator's curve.
        if max(sizes) <= 10 * min(sizes):
            panels[players[0]] += panels.pop(players[1])
    return sorted(panels.values(), key=lambda names: "generator_loss" not in names)


@plt.rc_context(STYLE)
def training_curves(
    history: Mapping[str, Sequence[float]] | pd.DataFrame, title: str, caption: str
) -> Figure:
    """Draw every loss of a Keras history over the epochs; comparable ones share a panel.

    An optional column `epoch` numbers the epochs; otherwise they count from 1.
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

    `losses` (> 0) are `(len(steps), n)`, `groups` `(n,)`. Steps count from 0 by default.
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
    """Draw ROC and precision-recall curves with AUROC and average precision (AP).

    `curves` maps each method to labels `(n,)`, 1 for an anomaly, and scores `(n,)`. `baselines` are
    thin and grey. Names are listed beside the axes, best first.
    """
    frame = Frame(3.3, title, caption)
    roc, precision = frame.grid(1, 2)[0]
    dashes = ["-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1))]
    shapes = zip(itertools.cycle(dashes), itertools.cycle("osD^vPX*hd"), strict=False)
    # Seaborn's colorblind palette without grey, used for chance, and yellow, too faint on white.
    colours = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4"]
    colours = itertools.cycle([*colours, INK, "#56b4e9"])
    greys = itertools.cycle(["#3c3c3c", "#777777", "#999999"])
    thin = {"lw": 1.0, "ms": 5, "zorder": 2.5, "mfc": "white", "mec": INK}
    thick = {"lw": 2.0, "ms": 6, "zorder": 3, "mec": "white"}
    chance = {"plot_chance_level": True, "chance_level_kw": CHANCE | {"label": "chance"}}
    ends = {roc: [], precision: []}
    for index, (method, data) in enumerate(curves.items()):
        look = dict(zip(("ls", "marker"), next(shapes), strict=True), label=method, mew=0.5)
        # Stagger the markers so that overlapping curves can be told apart.
        look["markevery"] = (0.02 + 0.013 * index, 0.17)
        look |= thin if method in baselines else thick
        look["color"] = next(greys if method in baselines else colours)
        look = {"curve_kwargs": normalize_kwargs(look, Line2D)}
        left = RocCurveDisplay.from_predictions(*data, ax=roc, **look)
        right = PrecisionRecallDisplay.from_predictions(*data, ax=precision, **look, **chance)
        ends[roc].append((left.roc_auc, f"{method}\nAUROC {left.roc_auc:.3f}", left.line_))
        merit = right.average_precision
        ends[precision].append((merit, f"{method}\nAP {merit:.3f}", right.line_))
    roc.plot([0, 1], [0, 1], label="chance", **CHANCE)
    roc.set(title="(a) ROC", xlabel="false positive rate (false alarms)")
    roc.set_ylabel("true positive rate (anomalies found)")
    precision.set(title="(b) precision and recall", xlabel="recall (anomalies found)")
    precision.set_ylabel("precision (anomalies / flagged)")
    for axes in (roc, precision):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), aspect="auto")
        axes.get_legend().remove()
        order = sorted(ends[axes], key=lambda end: -end[0])
        for y, (_, words, line) in zip(1 - 0.17 * np.arange(len(order)), order, strict=True):
            mark = {"color": line.get_color(), "marker": line.get_marker(), "ls": line.get_ls()}
            mark |= {"mfc": line.get_mfc(), "mec": INK, "mew": 0.5, "ms": 5.5, "lw": line.get_lw()}
            place = {"transform": axes.transAxes, "clip_on": False}
            axes.plot([1.03, 1.08, 1.13], [y] * 3, markevery=[1], **mark, **place)
            look = {"color": line.get_color(), "va": "center", "size": 8.5, "weight": "bold"}
            axes.text(1.15, y, words, **place, **look)
        axes.text(0.97, 0.03, "dotted: chance", transform=axes.transAxes, ha="right", size=8)
    return frame.figure


@plt.rc_context(STYLE)
def levels_of_factor(points: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the AUROC at each level of one factor, one panel per data set, titled with the answer.

    The columns are those of `ganlib.claims.summarize` for one question. Each symbol contains the
    number of seeds and is full if the level differs from the usual one, marked by a grey band.
    """
    parts, protocols = dict(list(points.groupby("dataset", sort=False))), {*points["protocol"]}
    frame, axes_of = style.panel_axes(len(parts), 2, 3.1, title, caption, legend_rows=1)
    looks = {p: look for p, look in _PROTOCOL_LOOKS.items() if p in protocols}
    looks |= dict.fromkeys(sorted(protocols - {*looks}), (INK, "D", ":"))
    words = {"ha": "center", "va": "center", "size": 7, "weight": "bold", "zorder": 5}
    for axes, (dataset, part) in zip(axes_of, parts.items(), strict=True):
        usual, levels, answers = part["usual"].iloc[0], list(part["level"].unique()), []
        levels = levels if isinstance(usual, str) else sorted(levels)
        if usual in levels:
            middle = levels.index(usual)
            axes.axvspan(middle - 0.4, middle + 0.4, color="#ededed", lw=0, gid="usual")
        for number, (protocol, (colour, marker, dash)) in enumerate(looks.items()):
            lines = part[part["protocol"] == protocol].set_index("level")
            lines = lines.loc[[level for level in levels if level in lines.index]]
            x = np.array([levels.index(level) for level in lines.index])
            x = x + 0.1 * (2 * number - len(looks) + 1)
            axes.plot(x, lines["auroc"], color=colour, lw=1.2, ls=dash, zorder=2)
            axes.vlines(x, lines["low"], lines["high"], color=colour, lw=1.6, gid="interval")
            differs = lines["verdict"].isin(["higher", "lower"])
            for place, line, full in zip(x, lines.itertuples(), differs, strict=True):
                ink, face = ("white", colour) if full else (colour, "white")
                look = {"marker": marker, "mfc": face, "mec": colour, "ms": 10.5, "mew": 1.4}
                axes.plot(place, line.auroc, zorder=4, gid="differs" if full else "same", **look)
                axes.text(place, line.auroc, int(line.n_seeds), color=ink, **words)
            found = [f"{level} {word}" for level, word in lines["verdict"][differs].items()]
            few = lines["verdict"].dropna().astype(str).str.contains("seeds").all()
            other = "too few results to tell" if few else "no clear difference"
            found = f"{', '.join(found)} than {usual}" if found else other
            answers.append(f"{protocol}: {found}")
        axes.axhline(0.5, **CHANCE)
        axes.set_title("\n".join([dataset, *answers]))
        axes.set_xticks(range(len(levels)), [str(level).removesuffix(".0") for level in levels])
        axes.set(xlim=(-0.5, len(levels) - 0.5), ylabel="AUROC (0.5 = chance)")
        axes.set_ylim(min(0.45, points["low"].min() - 0.03), 1.04)
        axes.set_xlabel(part["factor"].iloc[0].replace("_", " "))
        axes.grid(axis="x", visible=False)
    handles = [
        Line2D([], [], color=c, marker=m, ls=ls, mfc="w", ms=9, mew=1.4, label=f"split: {name}")
        for name, (c, m, ls) in looks.items()
    ]
    meaning = "number: seeds; line: 95 % interval; full: differs from the usual level (grey)"
    frame.legend([*handles, Line2D([], [], ls="", label=meaning)])
    return frame.figure


@plt.rc_context(STYLE)
def score_against_complexity(panels: Tables, title: str, caption: str) -> Figure:
    """Draw the `score` of every test image against its `complexity` (compressed size in bytes).

    The column `kind` is "normal" or the kind of anomaly. Large symbols mark the medians of each
    kind, joined to those of the normal images. The rank correlation is over the normal images.
    """
    looks = style.kind_looks(pd.concat(panels.values())["kind"])
    frame, axes_of = style.panel_axes(len(panels), 2, 2.9, title, caption, legend_rows=1)
    for axes, (method, panel) in zip(axes_of, panels.items(), strict=True):
        normal = panel.loc[panel["kind"] == "normal", ["complexity", "score"]]
        middle = normal.median().to_numpy()
        for kind, (colour, marker) in looks.items():
            points = panel.loc[panel["kind"] == kind, ["complexity", "score"]].to_numpy(float)
            look = {"marker": marker, "color": colour}
            axes.scatter(*points.T, 16, lw=0, alpha=0.5, gid=kind, **look)
            end = np.median(points, axis=0)
            axes.plot(*np.transpose([middle, end]), color=INK, lw=1.2, zorder=4)
            large = {"lw": 1.4, "ec": INK, "zorder": 5, "gid": f"{kind} median"}
            axes.scatter(*end, 130, **large, **look)
        axes.axhline(middle[1], color=INK, lw=0.9, ls=(0, (2, 2)), zorder=2)
        if panel["score"].min() > 0 and panel["score"].max() > 5 * panel["score"].median():
            axes.set_yscale("log")
        axes.tick_params(which="both", left=False, labelleft=False, labelbottom=False)
        axes.set(title=style.panel_heading(panels, method))
        axes.set_ylabel("anomaly score" + " (log scale)" * (axes.get_yscale() == "log"))
        axes.grid(False)
        tied = normal.corr("spearman").iloc[0, 1]
        axes.set_title(f"rank correlation {tied:+.2f}", loc="right", fontweight="normal")
        arrows = "simple \N{LEFTWARDS ARROW}{}image{}\N{RIGHTWARDS ARROW} complex"
        axes.set_xlabel(arrows.format(*[" " * 12] * 2), weight="bold")
    line = Line2D([], [], color=INK, lw=0.9, ls=(0, (2, 2)), label="below: more normal than normal")
    frame.legend([*style.symbols(looks), line])
    return frame.figure
