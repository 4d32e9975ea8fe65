"""AUROC and rates with intervals: forest charts of methods, rules, bugs; a table of kinds."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from ganlib.figures.style import CHANCE, GROUP_COLOURS, INK, KIND_COLOURS, STYLE, Frame

_DASH, _MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
_RED = GROUP_COLOURS["train normal"]
_LINE = {"color": INK, "linewidth": 1}


class _Forest:
    """A line of panels per data set; in each, rows of y 0, 1, ... downwards, under headings.

    The columns `group` and `name` of the table are the headings and the rows; `labels` says what to
    write for them instead. `lines` holds of each data set its part of the table, its panels and the
    y of each (heading, row).
    """

    def __init__(self, table, group, name, titles, title, caption, labels=None, sharex=False):
        labels = labels or {}
        layouts, heights = [], []
        for _, part in table.groupby("dataset", sort=False):
            headings, rows, y = {}, {}, 0.0
            for heading in sorted(part[group].unique(), key=lambda each: each == "baseline"):
                y += 0.3 if rows else 0.0
                headings[heading] = y
                y += 0.15
                for row in part.loc[part[group] == heading, name].unique():
                    y += 1
                    rows[heading, row] = y
                y += 1
            layouts.append((headings, rows))
            heights.append(0.24 * y + 0.7)
        self.frame = Frame(sum(heights) + 0.2, title, caption, legend_rows=1)
        ratios = {"height_ratios": heights}
        grid = self.frame.grid(len(heights), len(titles), sharex=sharex, gridspec_kw=ratios)
        self.lines = []
        parts = table.groupby("dataset", sort=False)
        for (dataset, part), (headings, rows), panels in zip(parts, layouts, grid, strict=True):
            self.lines.append((part, panels, rows))
            words = [labels.get(row, row) for _, row in rows]
            for axes, heading in zip(panels, titles, strict=True):
                axes.set_yticks(list(rows.values()), words)
                axes.set_yticks(
                    list(headings.values()),
                    [labels.get(each, each) for each in headings],
                    minor=True,
                )
                plt.setp(axes.get_yticklabels(minor=True), weight="bold")
                axes.tick_params(axis="y", which="both", length=0, labelleft=axes is panels[0])
                axes.set(ylim=(max(rows.values()) + 0.7, -0.8), title=heading.format(dataset))
                axes.spines["left"].set_visible(False)


def _draw(axes: Axes, y: float, point: tuple, numbers: Mapping[float, str], **look) -> None:
    """Draw (value, low, high), and numbers so many points to the right of the axes."""
    value, low, high = point
    axes.plot([low, high], [y, y], marker="|", ms=5, zorder=3, gid="interval", **_LINE)
    axes.plot(value, y, ls="", zorder=4, **look)
    _write(axes, y, numbers)


def _write(axes: Axes, y: float, words: Mapping[float, str], **look) -> None:
    at = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    look = {"ha": "center", "va": "center", "size": 8.5} | look
    for place, each in words.items():
        axes.annotate(each, (1, y), (place, 0), annotation_clip=False, **at, **look)


@plt.rc_context(STYLE)
def auroc_forest(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the AUROC of every method on every data set, by protocol, with intervals.

    Args:
        table: a row per data set, protocol and method, with the columns `dataset`, `protocol`,
            `method`, `family` ("GAN" or "baseline"), `auroc` (0..1, the mean over seeds), `low`
            and `high` (the ends of its 95 % interval, NaN where there is none), `seeds` (the AUROC
            of every seed, a list; one alone is not drawn beside its mean) and `published` (the
            published AUROC, NaN where there is none).
    """
    looks = {
        "GAN": {"marker": "o", "mfc": _RED, "mec": INK, "ms": 7.5},
        "baseline": {"marker": "s", "mfc": "#b5b5b5", "mec": INK, "ms": 6},
        "one seed": {"marker": "o", "mfc": INK, "mec": "white", "ms": 3.2, "mew": 0.4, "ls": ""},
        "published": {"marker": "D", "mfc": "white", "mec": INK, "ms": 7.5, "mew": 1.3, "ls": ""},
    }
    protocols = list(table["protocol"].unique())
    titles = [f"{{}}, protocol {protocol}" for protocol in protocols]
    labels = {"GAN": "GANs", "baseline": "baselines"}
    forest = _Forest(table, "family", "method", titles, title, caption, labels, sharex="row")
    for part, panels, rows in forest.lines:
        values = part[["auroc", "low", "high", "published"]].to_numpy(float).ravel()
        lowest = np.nanmin([*values, *part["seeds"].explode()])
        panels[0].set_xlim(min(0.45, lowest - 0.03), 1.02)
        for axes, protocol in zip(panels, protocols, strict=True):
            axes.axvline(0.5, **CHANCE)
            panel = part[part["protocol"] == protocol]
            columns = {22: "AUROC"}
            columns |= {70: "interval"} if panel["low"].notna().any() else {}
            columns |= {119: "published"} if panel["published"].notna().any() else {}
            _write(axes, 0, columns, weight="bold", size=8)
            for line in panel.itertuples():
                y = rows[line.family, line.method]
                # Below the line, so that they can be told from the mean that they lie about.
                seeds = line.seeds if len(line.seeds) > 1 else []
                axes.plot(seeds, [y + 0.33] * len(seeds), gid="seeds", **looks["one seed"])
                axes.plot(line.published, y, gid="published", **looks["published"])
                # Without the zeros before the point: two panels lie side by side.
                interval = f"{line.low:.3f}{_DASH}{line.high:.3f}".replace("0.", ".")
                words = (f"{line.auroc:.3f}", interval, f"{line.published:.3f}")
                numbers = {
                    place: _DASH if "nan" in each else each
                    for place, each in zip((22, 70, 119), words, strict=True)
                    if place in columns
                }
                point = line.auroc, line.low, line.high
                _draw(axes, y, point, numbers, gid=line.family, **looks[line.family])
    for axes in panels:
        axes.set_xlabel("AUROC (0.5 = chance, 1 = perfect)")
    has_interval = table["low"].notna().any()
    line, words = (_LINE, " (line: 95 % interval)") if has_interval else ({"ls": ""}, "")
    handles = [
        Line2D([], [], label=family + words, **line, **looks[family])
        for family in labels
        if (table["family"] == family).any()
    ]
    for name, there in (
        ("one seed", table["seeds"].str.len().gt(1).any()),
        ("published", table["published"].notna().any()),
    ):
        handles += [Line2D([], [], label=name, **looks[name])] if there else []
    forest.frame.legend([*handles, Line2D([], [], label="chance", **CHANCE)])
    return forest.frame.figure


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
    heights = table.groupby("dataset", sort=False)["kind"].nunique()
    body = 0.5 + 0.36 * len(heights) + 0.44 * heights.sum()
    frame = Frame(body, title, caption, legend_rows=1)
    grid = frame.grid(len(heights), 1, gridspec_kw={"height_ratios": heights})[:, 0]
    parts = table.groupby("dataset", sort=False)
    for axes, (dataset, part) in zip(grid, parts, strict=True):
        kinds = list(part["kind"].unique())
        cells = part.pivot_table("auroc", "kind", "method").reindex(index=kinds, columns=methods)
        bold = {"weight": "bold", "size": 9.5, "va": "bottom", "color": INK}
        look = {"cmap": colours, "vmin": 0, "vmax": 1, "cbar": False, "linewidths": 3}
        sns.heatmap(cells, ax=axes, annot=True, fmt=".3f", annot_kws=bold, **look)
        for line in part.itertuples():
            x, y = methods.index(line.method), kinds.index(line.kind)
            words = "" if math.isnan(line.low) else f"{line.low:.2f}\N{EN DASH}{line.high:.2f}"
            axes.text(x + 0.5, y + 0.73, words, ha="center", va="center", size=7.5)
            if line.auroc < 0.5:
                cell = Rectangle((x + 0.02, y + 0.04), 0.96, 0.92, fill=False, **hatch)
                axes.add_patch(cell)
        words = [kind.replace("_", " ") for kind in kinds]
        if "n" in part:
            counts = part.drop_duplicates("kind")["n"]
            words = [f"{each} ({int(n):,})" for each, n in zip(words, counts, strict=True)]
        axes.set_yticklabels(words, rotation=0, size=9)
        names = ["\n".join(method.rsplit(" ", 1)) for method in methods]
        axes.set_xticklabels(names if axes is grid[0] else [], weight="bold")
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.set(xlabel="", ylabel="", title=dataset)
    legend = {1.0: "1: found every time", 0.75: "0.75", 0.5: "0.5: chance"}
    handles = [Patch(fc=colours(x), ec="#999999", lw=0.6, label=word) for x, word in legend.items()]
    words = "below chance: scored as more normal than normal images"
    frame.legend([*handles, Patch(facecolor=colours(0.2), label=words, **hatch)])
    return frame.figure


@plt.rc_context(STYLE)
def threshold_rates(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw how many normal images and how many anomalies each rule for a threshold flags.

    Args:
        table: a row per data set, method and rule, with the columns `dataset`, `method`, `rule`,
            `false_alarm_rate`, `false_alarm_low`, `false_alarm_high`, `detection_rate`,
            `detection_low`, `detection_high` (0..1, low and high the ends of the 95 % interval, NaN
            where there is none), `oracle` (bool, whether the rule knows the test labels; its
            symbols are hollow) and `asked` (the false-alarm rate that the rule was asked for, 0..1,
            NaN where none was).
    """
    asked = {"color": INK, "marker": "|", "markeredgewidth": 2.4, "linestyle": ""}
    looks = {
        "false_alarm": {"marker": "s", "mfc": KIND_COLOURS["normal"], "mec": INK, "ms": 7},
        "detection": {"marker": "^", "mfc": KIND_COLOURS["anomaly"], "mec": INK, "ms": 7},
    }
    names = np.where(table["oracle"], table["rule"] + " (oracle)", table["rule"])
    forest = _Forest(table.assign(name=names), "method", "name", ["{}", ""], title, caption)
    for part, (alarms, detections), rows in forest.lines:
        for axes, rate in ((alarms, "false_alarm"), (detections, "detection")):
            columns = [f"{rate}_{end}" for end in ("rate", "low", "high")]
            for line, *point in zip(part.itertuples(), *part[columns].to_numpy().T, strict=True):
                y, value = rows[line.method, line.name], point[0]
                look = looks[rate] | ({"mfc": "white"} if line.oracle else {})
                gid = "oracle" if line.oracle else rate
                # A hundred images tell no more than a percent or so.
                words = f"{value:.{1 if value < 0.0995 else 0}%}".replace("%", " %")
                _draw(axes, y, point, {20: words}, gid=gid, **look)
                if rate == "false_alarm":
                    axes.plot(line.asked, y, gid="asked", ms=15, zorder=2, **asked)
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        ends = part[["false_alarm_rate", "false_alarm_high", "asked"]].to_numpy(float)
        highest = 1.08 * float(np.nanmax(ends, initial=0.1))
        alarms.set(xlabel="normal images flagged (false alarms)", xlim=(-0.03 * highest, highest))
        detections.set(xlabel="anomalies flagged (detected)", xlim=(-0.03, 1.03))
    hollow = {"marker": "o", "mfc": "white", "mec": INK, "ms": 7, "ls": ""}
    forest.frame.legend(
        [
            Line2D([], [], label="false alarms", **_LINE, **looks["false_alarm"]),
            Line2D([], [], label="detections", **_LINE, **looks["detection"]),
            Line2D([], [], label="false alarms asked for", ms=11, **asked),
            Line2D([], [], label="oracle: knows the test labels", **hollow),
        ]
    )
    return forest.frame.figure


@plt.rc_context(STYLE)
def errata_effects(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw how much AUROC each bug alone costs or gives, and all of them together.

    Args:
        table: a row per data set, method and preset, with the columns `dataset`, `method`, `preset`
            ("corrected", "published" for all bugs together, else the name of one bug),
            `auroc` (0..1), `difference` (to the corrected AUROC, -1..1, negative where the bug
            costs) and `difference_low`, `difference_high` (its 95 % interval, NaN where there is
            none). Rows "corrected" are optional; they show where the others start from.
    """
    alone = {"marker": "o", "mfc": _RED, "mec": INK, "ms": 7}
    together = {"marker": "D", "mfc": "white", "mec": INK, "ms": 7.5, "mew": 1.4}
    labels = {"published": "all together (published)", "corrected": "corrected (no bug)"}
    forest = _Forest(table, "method", "preset", ["{}"], title, caption, labels, sharex=True)
    ends = table[["difference", "difference_low", "difference_high"]].to_numpy(float)
    reach = 0.3 * max(0.02, 1.1 * float(np.nanmax(np.abs(ends))))
    low, high = min(-reach, 1.1 * np.nanmin(ends)), max(reach, 1.1 * np.nanmax(ends))
    for part, (axes,), rows in forest.lines:
        axes.axvline(0, color=INK, linewidth=1.3, zorder=2)
        # Where the published notebook would do better than the corrected one.
        axes.axvspan(0, high, color="#f1f1f1", zorder=0)
        _write(axes, 0, {22: "AUROC", 68: "change", 136: "95 % interval"}, weight="bold")
        for line in part.itertuples():
            y = rows[line.method, line.preset]
            _write(axes, y, {22: f"{line.auroc:.3f}"})
            if line.preset == "corrected":
                continue
            point = line.difference, line.difference_low, line.difference_high
            change, *interval = (_signed(value, 3) for value in point)
            numbers = {68: change, 136: _DASH if math.isnan(point[1]) else " to ".join(interval)}
            look = together if line.preset == "published" else alone
            _draw(axes, y, point, numbers, gid=line.preset, **look)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _signed(x, 2)))
    axes.set_xlabel(
        "change of AUROC against the corrected model "
        "(\N{LEFTWARDS ARROW} the bug costs; it flatters \N{RIGHTWARDS ARROW})"
    )
    forest.frame.legend(
        [
            Line2D([], [], label="one bug alone, 95 % interval", **_LINE, **alone),
            Line2D([], [], label="all together, as published", **_LINE, **together),
            Line2D([], [], color=INK, lw=1.3, label="corrected: no change"),
        ]
    )
    return forest.frame.figure


def _signed(value: float, digits: int) -> str:
    """Write a change with its sign, none where it rounds to nothing."""
    words = f"{abs(value):.{digits}f}"
    return words if float(words) == 0 else (_MINUS if value < 0 else "+") + words
