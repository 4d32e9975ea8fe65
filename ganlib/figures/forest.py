"""Draw AUROC and rates with intervals: forest plots of methods, rules, bugs; a table of kinds.

Every table has a column `dataset`. `low` and `high` are the ends of a 95 % interval, or NaN
without one. AUROC and rates are 0..1.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ganlib.figures.style import CHANCE, INK, KIND_COLOURS, RED, STYLE, Frame, kind_looks

_DASH = "\N{EN DASH}"
_LINE = {"color": INK, "linewidth": 1}
_FAMILIES = {
    "GAN": {"marker": "o", "mfc": RED, "mec": INK, "ms": 7.5},
    "features": {"marker": "D", "mfc": KIND_COLOURS["anomaly"], "mec": INK, "ms": 6},
    "baseline": {"marker": "s", "mfc": "#b5b5b5", "mec": INK, "ms": 6},
}
_ASKED = {"color": INK, "marker": "|", "markeredgewidth": 2.4, "ms": 11, "ls": ""}
_LIMIT = {"color": RED, "linewidth": 1.6, "linestyle": (0, (5, 2)), "zorder": 2}
_ALARM = _LINE | {"marker": "s", "mfc": KIND_COLOURS["normal"], "mec": INK, "ms": 7}
_DETECTION = _ALARM | {"marker": "^", "mfc": KIND_COLOURS["anomaly"]}


class _Row(NamedTuple):
    """A row of a panel: a symbol, its interval, numbers and additional marks."""

    dataset: str
    panel: str  # "{}" in it becomes the dataset
    group: str
    name: str
    point: Sequence[float]  # value, low, high
    look: dict
    numbers: Mapping[int, str]  # offset right of the axes, in points, to the number or "nan"
    marks: Sequence[tuple] = ()  # values, offset below the row, look


def _forest(
    rows, title, caption, legend, heads, sharex="none", notes: Mapping[str, str] | None = None
) -> tuple[Figure, np.ndarray]:
    """Draw a panel per dataset and column, with rows from top to bottom under group headings.

    `notes` maps a row's name to a line of text drawn below it.
    """
    notes = notes or {}
    table = pd.DataFrame(rows)
    panels, layouts, heights = table["panel"].unique(), [], []
    for dataset, part in table.groupby("dataset", sort=False):
        groups, lines, y = {}, {}, -1.0
        for group in sorted(part["group"].unique(), key=lambda each: each == "baselines"):
            groups[group] = y = y + (1.3 if lines else 1)
            y += 0.15
            for name in part.loc[part["group"] == group, "name"].unique():
                lines[group, name] = y = y + 1
        layouts.append((dataset, groups, lines))
        heights.append((0.33 if notes else 0.24) * y + 0.94)
    frame = Frame(sum(heights) + 0.2, title, caption, legend_rows=1)
    grid = frame.grid(len(heights), len(panels), sharex=sharex, height_ratios=heights)
    for (i, j), axes in np.ndenumerate(grid):
        dataset, groups, lines = layouts[i]
        axes.set_yticks([y - 0.18 * (name in notes) for (_, name), y in lines.items()])
        axes.set_yticklabels([name for _, name in lines])
        axes.set_yticks(list(groups.values()), list(groups), minor=True)
        plt.setp(axes.get_yticklabels(minor=True), weight="bold")
        axes.tick_params(axis="y", which="both", length=0, labelleft=j == 0)
        axes.set(ylim=(max(lines.values()) + 0.7, -0.8), title=panels[j].format(dataset))
        axes.spines["left"].set_visible(False)
        here = [row for row in rows if (row.dataset, row.panel) == (dataset, panels[j])]
        axes.set_visible(bool(here))
        at = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
        at |= {"va": "center", "annotation_clip": False}
        for (_, name), y in lines.items():
            small = {"ha": "right", "size": 7, "color": "#555555"}
            axes.annotate(notes.get(name, ""), (0, y + 0.26), (-3.5, 0), **small, **at)
        at |= {"ha": "center"}
        numbers = [{p: n for p, n in row.numbers.items() if "nan" not in n} for row in here]
        columns = sorted({place for each in numbers for place in each})
        for place in columns:
            axes.annotate(heads.get(place, ""), (1, 0), (place, 0), weight="bold", size=8, **at)
        for row, known in zip(here, numbers, strict=True):
            y, (value, *ends) = lines[row.group, row.name], row.point
            axes.plot(ends, [y, y], marker="|", ms=5, zorder=3, gid="interval", **_LINE)
            axes.plot(value, y, zorder=4, **row.look)
            for values, below, look in row.marks:
                axes.plot(values, np.full(np.shape(values), y + below), **look)
            for place in columns:
                axes.annotate(known.get(place, _DASH), (1, y), (place, 0), size=8.5, **at)
    frame.legend([Line2D([], [], label=name, **look) for name, look in legend.items()])
    return frame.figure, grid


@plt.rc_context(STYLE)
def auroc_forest(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the AUROC of every method on every dataset, by protocol, with intervals.

    The columns are `protocol`, `method`, `family` ("GAN", "features" or "baseline"), `auroc` (mean
    over seeds), `low`, `high`, `seeds` (AUROC of each) and `published` (AUROC, or NaN).
    """
    line = _LINE if table["low"].notna().any() else {"ls": ""}
    looks = {family: line | look for family, look in _FAMILIES.items()}
    seed = {"marker": "o", "mfc": INK, "mec": "white", "ms": 3.2, "mew": 0.4, "ls": ""}
    known = {"marker": "D", "mfc": "white", "mec": INK, "ms": 7.5, "mew": 1.3, "ls": ""}
    words = " (line: 95 % interval)" if line is _LINE else ""
    legend = {f"{name}{words}": look for name, look in looks.items() if name in {*table["family"]}}
    rows = []
    for line in table.itertuples():
        seeds = line.seeds if len(line.seeds) > 1 else []
        marks = [(seeds, 0.33, seed | {"gid": "seeds"})]
        marks.append((line.published, 0, known | {"gid": "published"}))
        interval = f"{line.low:.3f}{_DASH}{line.high:.3f}".replace("0.", ".")
        numbers = {22: f"{line.auroc:.3f}", 70: interval, 119: f"{line.published:.3f}"}
        point, look = (line.auroc, line.low, line.high), looks[line.family] | {"gid": line.family}
        family = f"{line.family.removesuffix('s')}s"
        place = line.dataset, f"{{}}, protocol {line.protocol}", family, line.method
        rows.append(_Row(*place, point, look, numbers, marks))
    legend |= {"one seed": seed} if table["seeds"].str.len().gt(1).any() else {}
    legend |= {"published": known} if table["published"].notna().any() else {}
    heads = {22: "AUROC", 70: "interval", 119: "published"}
    figure, grid = _forest(rows, title, caption, legend | {"chance": CHANCE}, heads, "row")
    for panels, (_, part) in zip(grid, table.groupby("dataset", sort=False), strict=True):
        values = part[["auroc", "low", "high", "published"]].to_numpy(float).ravel()
        lowest = np.nanmin([*values, *part["seeds"].explode()])
        panels[0].set_xlim(min(0.45, lowest - 0.03), 1.02)
        for axes in panels:
            axes.axvline(0.5, **CHANCE)
    plt.setp(grid[-1], xlabel="AUROC (0.5 = chance, 1 = perfect)")
    return figure


@plt.rc_context(STYLE)
def auroc_by_kind(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the AUROC of every method on each kind of anomaly against the normal images.

    The columns are `kind`, `method`, `auroc`, `low`, `high` and `n` (images of the kind).
    """
    # The colors jump at chance: a cell just below it must not look like one just above.
    ends = [(0, "#e58a72"), (0.499, "#fbe6e0"), (0.5, "#ffffff"), (1, KIND_COLOURS["anomaly"])]
    colours = LinearSegmentedColormap.from_list("auroc", ends, N=1001)
    hatch = {"hatch": "////", "edgecolor": "#cf8a78", "linewidth": 0.5}
    methods = list(table["method"].unique())
    parts = table.groupby("dataset", sort=False)
    heights = parts["kind"].nunique()
    many = len(methods) > 8  # horizontal names would touch
    height = 0.5 + 0.7 * many + 0.36 * len(heights) + 0.44 * heights.sum()
    frame = Frame(height, title, caption, legend_rows=1)
    grid = frame.grid(len(heights), 1, height_ratios=heights)[:, 0]
    for axes, (dataset, part) in zip(grid, parts, strict=True):
        kinds, looks = list(part["kind"].unique()), kind_looks(part["kind"])
        cells = part.pivot_table("auroc", "kind", "method").reindex(index=kinds, columns=methods)
        bold = {"weight": "bold", "size": 9.5, "va": "bottom", "color": INK}
        axes.pcolormesh(cells, cmap=colours, vmin=0, vmax=1, edgecolors="w", linewidths=3)
        axes.invert_yaxis()
        for line in part.itertuples():
            x, y = methods.index(line.method), kinds.index(line.kind)
            axes.text(x + 0.5, y + 0.5, f"{line.auroc:.3f}", ha="center", **bold)
            words = f"{line.low:.2f}{_DASH}{line.high:.2f}" if line.low == line.low else ""
            axes.text(x + 0.5, y + 0.73, words, ha="center", va="center", size=7.5)
            if line.auroc < 0.5:
                axes.add_patch(Rectangle((x + 0.02, y + 0.04), 0.96, 0.92, fill=False, **hatch))
        counts = part.drop_duplicates("kind")["n"].astype(int)
        words = [f"{kind} ({n:,})" for kind, n in zip(kinds, counts, strict=True)]
        words = [each.replace("_", " ") for each in words]
        axes.set_yticks(np.arange(len(kinds)) + 0.5, words, size=9)
        axes.tick_params(axis="y", pad=16)
        for y, kind in enumerate(kinds):
            look = {"c": looks[kind][0], "marker": looks[kind][1], "ec": INK, "lw": 0.5}
            place = axes.get_yaxis_transform()
            axes.scatter(-0.012, y + 0.5, 40, transform=place, clip_on=False, **look)
        names = ["\n".join(method.rsplit(" ", 1)) for method in methods]
        names = names if axes is grid[0] else [""] * len(names)
        turned = {"rotation": 90 * many}
        axes.set_xticks(np.arange(len(names)) + 0.5, names, weight="bold", **turned)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.spines[:].set_visible(False)
        axes.set_title(dataset)
    legend = {1.0: "1: all above all normal images", 0.75: "0.75", 0.5: "0.5: chance"}
    handles = [Patch(fc=colours(x), ec="#999999", lw=0.6, label=word) for x, word in legend.items()]
    words = "below chance: scored as more normal than normal images"
    frame.legend([*handles, Patch(facecolor=colours(0.2), label=words, **hatch)])
    return frame.figure


@plt.rc_context(STYLE)
def threshold_rates(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the shares of normal images and of anomalies that each threshold rule flags.

    The columns are `method`, `rule`, `false_alarm_rate`, `false_alarm_low`, `false_alarm_high`,
    `detection_...`, `oracle` (whether the rule knows the labels) and `asked` (the requested
    rate, drawn as a line, or NaN).
    """
    rows = []
    for line in table.to_dict("records"):
        for rate, panel, look in (("false_alarm", "{}", _ALARM), ("detection", "", _DETECTION)):
            point = value, *_ = [line[f"{rate}_{end}"] for end in ("rate", "low", "high")]
            look = look | ({"mfc": "white", "gid": "oracle"} if line["oracle"] else {"gid": rate})
            # With a hundred images, rates are only known to about one percent.
            numbers = {20: f"{value:.{1 if value < 0.0995 else 0}%}".replace("%", " %")}
            name = line["rule"] + " (oracle)" * line["oracle"]
            place = line["dataset"], panel, line["method"], name
            rows.append(_Row(*place, point, look, numbers))
    hollow = {"marker": "o", "mfc": "white", "mec": INK, "ms": 7, "ls": ""}
    rates = sorted(table["asked"].dropna().unique())
    legend = {"false alarms": _ALARM, "detections": _DETECTION}
    legend |= {f"asked for: {' and '.join(f'{100 * rate:g} %' for rate in rates)}": _LIMIT}
    legend["oracle: knows the test labels"] = hollow
    figure, grid = _forest(rows, title, caption, legend, {})
    parts = table.groupby("dataset", sort=False)
    for (alarms, detections), (_, part) in zip(grid, parts, strict=True):
        ends = part[["false_alarm_rate", "false_alarm_high", "asked"]].to_numpy(float)
        highest = 1.08 * float(np.nanmax(ends, initial=0.1))
        for rate in rates:
            alarms.axvline(rate, gid="asked", **_LIMIT)
        alarms.set(xlabel="normal images flagged (false alarms)", xlim=(-0.03 * highest, highest))
        detections.set(xlabel="anomalies flagged (detected)", xlim=(-0.03, 1.03))
    for axes in grid.flat:
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    return figure


@plt.rc_context(STYLE)
def methods_on_sets(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the AUROC of methods on several sets and, below, the rates they flag at their threshold.

    The columns are those of `ganlib.sets.compare`. Methods are sorted by their mean over the sets
    on which any method has an AUROC. A method that failed on one of these sets has no mean.
    """
    columns = ["auroc", "detection_rate", "false_alarm_rate", "asked"]
    judged = table[table.groupby("set")["auroc"].transform("count") > 0]
    means = judged.groupby("method")[columns].agg(lambda values: values.mean(skipna=False))
    means = means.reindex(table["method"].unique()).sort_values("auroc", ascending=False)
    means = means.reset_index().assign(set=f"mean of {judged['set'].nunique()}", family="mean")
    mean, *sets = [part for _, part in pd.concat([means, table]).groupby("set", sort=False)]
    panels = [each for i, part in enumerate(sets) for each in [mean] * (i % 6 == 0) + [part]]
    looks = {name: _LINE | look for name, look in _FAMILIES.items() if name in {*table["family"]}}
    looks |= {"mean": {"marker": "d", "mfc": INK, "mec": INK, "ls": ""}, "chance": CHANCE}
    rows = []
    for place, line in [(i, line) for i, part in enumerate(panels) for line in part.itertuples()]:
        above = below = {}
        if line.family == "mean" and line.auroc == line.auroc:
            above = {20: f"{line.auroc:.3f}"}
            below = {21: f"{line.detection_rate:.0%}", 55: f"{line.false_alarm_rate:.0%}"}
        at, look = (str(place % 7), "", line.method), looks.get(line.family, {}) | {"ms": 6}
        point = line.auroc, line.auroc_low, line.auroc_high
        rows.append(_Row(f"auroc {place // 7}", *at, point, look | {"gid": line.family}, above))
        marks = [(line.asked, 0, _ASKED), (line.false_alarm_rate, 0, _ALARM)]
        point = line.detection_rate, line.detection_low, line.detection_high
        rows.append(_Row(f"rates {place // 7}", *at, point, _DETECTION, below, marks))
    looks |= {"defects found": _DETECTION, "good images flagged": _ALARM, "asked for": _ASKED}
    figure, grid = _forest(rows, title, caption, looks, {20: "AUROC", 21: "found", 55: "flagged"})
    low = min(0.45, table[["auroc", "auroc_low"]].min(axis=None) - 0.03)
    for upper, lower, part in zip(grid[::2].flat, grid[1::2].flat, panels, strict=False):
        upper.set(title=part["set"].iloc[0].replace("-", "\n"), xlabel="AUROC", xlim=(low, 1.04))
        upper.axvline(0.5, **CHANCE)
        lower.set(title="", xlabel="flagged", xlim=(-0.08, 1.08))
        lower.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    return figure


@plt.rc_context(STYLE)
def errata_effects(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the change in AUROC caused by each bug alone and by all of them together.

    The columns are `method`, `preset` ("corrected", "published" for all bugs, or one bug),
    `meaning` (a few words on the bug, or NaN), `auroc`, `difference` (from the corrected AUROC),
    `difference_low` and `difference_high`.
    """
    alone = _LINE | {"marker": "o", "mfc": RED, "mec": INK, "ms": 7}
    together = _LINE | {"marker": "D", "mfc": "white", "mec": INK, "ms": 7.5, "mew": 1.4}
    labels = {"published": "all together (published)", "corrected": "corrected (no bug)"}
    columns = ["difference", "difference_low", "difference_high"]
    rows = []
    for line in table.to_dict("records"):
        preset, point = line["preset"], [line[each] for each in columns]
        change, *interval = (_signed(value, 3) for value in point)
        numbers = {22: f"{line['auroc']:.3f}", 68: change, 136: " to ".join(interval)}
        if preset == "corrected":
            point, numbers = [np.nan] * 3, numbers | {68: "", 136: ""}
        look = (together if preset == "published" else alone) | {"gid": preset}
        place = line["dataset"], "{}", line["method"], labels.get(preset, preset)
        rows.append(_Row(*place, point, look, numbers))
    legend = {"one bug alone, 95 % interval": alone, "all together, as published": together}
    legend["corrected: no change"] = {"color": INK, "lw": 1.3}
    heads = {22: "AUROC", 68: "change", 136: "95 % interval"}
    notes = table.dropna(subset="meaning").set_index("preset")["meaning"].to_dict()
    figure, grid = _forest(rows, title, caption, legend, heads, "all", notes)
    ends = table[columns].to_numpy(float)
    reach = 0.3 * max(0.02, 1.1 * float(np.nanmax(np.abs(ends))))
    low, high = min(-reach, 1.1 * np.nanmin(ends)), max(reach, 1.1 * np.nanmax(ends))
    for axes in grid[:, 0]:
        axes.axvline(0, color=INK, linewidth=1.3, zorder=2)
        axes.axvspan(0, high, color="#f1f1f1", zorder=0)  # where the bug inflates the AUROC
    arrows = "(\N{LEFTWARDS ARROW} the bug costs; it flatters \N{RIGHTWARDS ARROW})"
    axes.set(xlim=(low, high), xlabel=f"change of AUROC against the corrected model {arrows}")
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(lambda x, _: _signed(x, 2))
    return figure


def _signed(value: float, digits: int) -> str:
    words = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return words[1:] if float(words[1:]) == 0 else words
