"""How well each kind of anomaly is found, and how hard its images are to rebuild."""

import itertools
import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from ganlib.figures.frame import (
    INK,
    KIND_COLOURS,
    MARGIN,
    STYLE,
    WIDTH,
    Frame,
    hide_unused,
    panel_heading,
)

_BELOW, _ABOVE = "#e58a72", KIND_COLOURS["anomaly"]
_HATCH = {"hatch": "////", "edgecolor": "#b5503a", "linewidth": 0.5}
_SIMPLER = "#ececec"
_KIND_LOOKS = [
    (_ABOVE, "^"),
    ("#1d4e79", "v"),
    ("#f2c14e", "D"),
    ("#6a9a3b", "P"),
    ("#7b4fa3", "X"),
]


@plt.rc_context(STYLE)
def auroc_by_kind(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the AUROC of every method on each kind of anomaly against the normal images.

    Args:
        table: a row per data set, kind and method, with the columns `dataset`, `kind`, `method`,
            `auroc` (0..1), `low` and `high` (its 95 % interval, NaN where there is none) and, if
            you like, `n` (images of the kind).
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: a line per kind and a column per method. The further from chance, the deeper
        the colour; below chance it is another one, hatched.
    """
    methods = list(dict.fromkeys(table["method"]))
    kinds = {
        dataset: list(dict.fromkeys(part["kind"]))
        for dataset, part in table.groupby("dataset", sort=False)
    }
    left, cell, head, heading = 1.75, 0.44, 0.5, 0.36
    width = min((WIDTH - left - MARGIN) / len(methods), 1.6)
    body = head + sum(heading + cell * len(names) for names in kinds.values())
    frame = Frame(body, title, caption, legend=0.28)
    for column, method in enumerate(methods):
        words = "\n".join(method.rsplit(" ", 1))
        x = left + (column + 0.5) * width
        frame.text(x, 0.46, words, ha="center", va="bottom", weight="bold", size=8.5)
    found = table.set_index(["dataset", "kind", "method"])
    top = head
    for dataset, names in kinds.items():
        frame.text(MARGIN, top + 0.24, dataset, weight="bold", size=10)
        top += heading
        axes = frame.axes(left, top, width * len(methods), cell * len(names))
        axes.set(xlim=(0, len(methods)), ylim=(len(names), 0))
        axes.axis("off")
        for row, kind in enumerate(names):
            part = table[(table["dataset"] == dataset) & (table["kind"] == kind)]
            words = kind.replace("_", " ")
            if "n" in part:
                words += f" ({int(part['n'].iloc[0]):,})"
            y = top + (row + 0.5) * cell
            frame.text(left - 0.12, y, words, ha="right", va="center", size=9)
            for column, method in enumerate(methods):
                if (dataset, kind, method) in found.index:
                    _cell(axes, column, row, found.loc[(dataset, kind, method)])
        top += cell * len(names)
    frame.legend(
        [
            Patch(fc=_shade(1.0), ec="white", label="1: found every time"),
            Patch(fc=_shade(0.75), ec="white", label="0.75"),
            Patch(fc=_shade(0.5), ec="#999999", lw=0.6, label="0.5: chance"),
            Patch(
                facecolor=_shade(0.2),
                label="below chance: scored as more normal than normal images",
                **_HATCH,
            ),
        ],
        4,
    )
    return frame.figure


def _shade(auroc: float) -> tuple:
    # A step at chance: a cell just below it must not look like one just above.
    ends = [(0, _BELOW), (0.499, "#fbe6e0"), (0.5, "#ffffff"), (1, _ABOVE)]
    return LinearSegmentedColormap.from_list("auroc", ends, N=1001)(auroc)


def _cell(axes: Axes, column: int, row: int, entry: pd.Series) -> None:
    auroc, low, high = (float(entry[name]) for name in ("auroc", "low", "high"))
    below = auroc < 0.5
    look = _HATCH if below else {"edgecolor": "#cccccc", "linewidth": 0.5}
    axes.add_patch(
        Rectangle(
            (column + 0.02, row + 0.04),
            0.96,
            0.92,
            facecolor=_shade(auroc),
            gid="below chance" if below else "cell",
            **look,
        )
    )
    interval = not math.isnan(low)
    # A light ground beneath the words, which the hatching would cut.
    ground = {"facecolor": _shade(auroc), "edgecolor": "none", "pad": 1.0}
    axes.text(
        column + 0.5,
        row + (0.36 if interval else 0.5),
        f"{auroc:.3f}",
        ha="center",
        va="center",
        size=9.5,
        weight="bold",
        bbox=ground,
    )
    if interval:
        words = f"{low:.2f}\N{EN DASH}{high:.2f}"
        axes.text(column + 0.5, row + 0.73, words, ha="center", va="center", size=7.5, bbox=ground)


@plt.rc_context(STYLE)
def score_against_complexity(
    panels: Mapping[str, pd.DataFrame], title: str, caption: str
) -> Figure:
    """Draw the score of every test image against how much there is to see in it.

    Args:
        panels: method to a table of its test images with the columns `kind` ("normal", or the kind
            of an anomaly), `complexity` (size of the compressed image, bytes) and `score` (the
            method's own scale).
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: a panel per method, large symbols at the median of each kind. What lies in
        the shaded corner is simpler than the median normal image and scored as more normal.
    """
    kinds = list(dict.fromkeys(kind for panel in panels.values() for kind in panel["kind"]))
    kinds.sort(key=lambda kind: kind != "normal")
    looks = dict(zip([k for k in kinds if k != "normal"], itertools.cycle(_KIND_LOOKS)))
    looks["normal"] = (KIND_COLOURS["normal"], "s")
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    legend_rows = 1 if len(kinds) <= 2 else 2
    frame = Frame(3.2 * rows, title, caption, legend=0.08 + 0.2 * legend_rows)
    axes_of = frame.grid(rows, columns).ravel()
    for axes, (method, panel) in zip(axes_of, panels.items(), strict=False):
        for kind in kinds:
            part, (colour, marker) = panel[panel["kind"] == kind], looks[kind]
            style = {"marker": marker, "color": colour, "edgecolors": INK}
            x, y = part["complexity"], part["score"]
            axes.scatter(x, y, s=15, linewidths=0.3, alpha=0.75, gid=kind, **style)
            if len(part):
                name = f"{kind} median"
                axes.scatter(
                    x.median(), y.median(), s=150, linewidths=1.6, zorder=5, gid=name, **style
                )
        if panel["score"].min() > 0 and panel["score"].max() > 15 * panel["score"].median():
            axes.set_yscale("log")
        normal = panel.loc[panel["kind"] == "normal", ["complexity", "score"]].median()
        _shade_simpler(axes, *normal)
        axes.set_title(panel_heading(panels, method), loc="left")
        axes.set(xlabel="size of the compressed image (bytes)", ylabel="anomaly score (no unit)")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        sns.despine(ax=axes)
    hide_unused(axes_of, len(panels))
    edge = {"linestyle": "", "markeredgecolor": INK, "markeredgewidth": 0.5, "markersize": 7}
    handles = [
        Line2D([], [], marker=looks[k][1], mfc=looks[k][0], label=k.replace("_", " "), **edge)
        for k in kinds
    ]
    large = {"marker": "o", "mfc": "white", "mec": INK, "mew": 1.6, "ms": 11, "ls": ""}
    handles.append(Line2D([], [], label="median of the kind", **large))
    words = "simpler than the median normal image, and scored as more normal"
    handles.append(Patch(fc=_SIMPLER, ec=INK, lw=0.9, ls=":", label=words))
    frame.legend(handles, math.ceil(len(handles) / legend_rows))
    return frame.figure


def _shade_simpler(axes: Axes, complexity: float, score: float) -> None:
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.add_patch(
        Rectangle(
            (left, bottom),
            complexity - left,
            score - bottom,
            facecolor=_SIMPLER,
            edgecolor=INK,
            linewidth=0.9,
            linestyle=":",
            zorder=0.5,
            gid="simpler",
        )
    )
