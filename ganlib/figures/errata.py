"""What each defect of the published notebooks does to the AUROC."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ganlib.figures.frame import GROUP_COLOURS, INK, STYLE, Frame
from ganlib.figures.rows import draw_interval, draw_rows, lay_rows, write_beside

_ALONE = {"marker": "o", "mfc": GROUP_COLOURS["train normal"], "mec": INK, "ms": 7}
_ALL = {"marker": "D", "mfc": "white", "mec": INK, "ms": 7.5, "mew": 1.4}


@plt.rc_context(STYLE)
def errata_effects(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw how much AUROC each defect alone costs or gives, and all of them together.

    Args:
        table: a row per data set, method and preset, with the columns `dataset`, `method`, `preset`
            ("corrected", "published" for all defects together, else the name of one defect),
            `auroc` (0..1), `difference` (to the corrected AUROC, -1..1, negative where the defect
            costs) and `difference_low`, `difference_high` (its 95 % interval, NaN where there is
            none). Rows "corrected" are optional; they show where the others start from.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: a panel per data set, one below the other, with a zero line and the numbers
        beside it.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    parts = {dataset: table[table["dataset"] == dataset] for dataset in datasets}
    rows = {
        dataset: lay_rows(
            {method: list(names) for method, names in part.groupby("method", sort=False)["preset"]}
        )
        for dataset, part in parts.items()
    }
    heights = [0.23 * rows[dataset].end + 0.6 for dataset in datasets]
    frame = Frame(sum(heights) + 0.25, title, caption, legend=0.28)
    panels = frame.grid(len(datasets), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    for axes, (dataset, part) in zip(panels[:, 0], parts.items(), strict=True):
        words = {"published": "all together (published)", "corrected": "corrected (no defect)"}
        draw_rows(axes, rows[dataset], {e: words.get(e[1], e[1]) for e in rows[dataset].entries})
        _effects_panel(axes, part, rows[dataset].entries)
        axes.set_title(dataset, loc="left")
    ends = table[["difference", "difference_low", "difference_high"]].to_numpy(float)
    reach = max(0.02, 1.1 * float(np.nanmax(np.abs(ends))))
    low = min(-0.3 * reach, 1.1 * float(np.nanmin(ends)))
    high = max(0.3 * reach, 1.1 * float(np.nanmax(ends)))
    lowest = panels[-1, 0]
    lowest.set_xlim(low, high)
    lowest.xaxis.set_major_locator(MaxNLocator(7))
    lowest.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _signed(x, 2)))
    for axes in panels[:, 0]:
        # Where the published notebook would do better than the corrected one.
        axes.axvspan(0, high, color="#f1f1f1", zorder=0)
    lowest.set_xlabel(
        "change of AUROC against the corrected model "
        "(\N{LEFTWARDS ARROW} the defect costs; it flatters \N{RIGHTWARDS ARROW})"
    )
    frame.legend(
        [
            Line2D([], [], color=INK, lw=1, label="one defect alone, 95 % interval", **_ALONE),
            Line2D([], [], color=INK, lw=1, label="all together, as published", **_ALL),
            Line2D([], [], color=INK, lw=1.3, label="corrected: no change"),
        ],
        3,
    )
    return frame.figure


def _effects_panel(axes: Axes, part: pd.DataFrame, entries: dict) -> None:
    axes.axvline(0, color=INK, linewidth=1.3, zorder=2)
    columns = {"AUROC": 22, "change": 68, "95 % interval": 136}
    for words, place in columns.items():
        write_beside(axes, place, 0.0, words, weight="bold", size=8.5)
    for line in part.to_dict("records"):
        y = entries[line["method"], line["preset"]]
        numbers = [f"{line['auroc']:.3f}"]
        if line["preset"] != "corrected":
            low, high = line["difference_low"], line["difference_high"]
            draw_interval(axes, y, low, high)
            look = _ALL if line["preset"] == "published" else _ALONE
            axes.plot(line["difference"], y, ls="", zorder=4, gid=line["preset"], **look)
            dash = "\N{EN DASH}"
            interval = dash if math.isnan(low) else f"{_signed(low, 3)} to {_signed(high, 3)}"
            numbers += [_signed(line["difference"], 3), interval]
        for number, place in zip(numbers, columns.values(), strict=False):
            write_beside(axes, place, y, number, size=8.5)


def _signed(value: float, digits: int) -> str:
    """Write a change with its sign, none where it rounds to nothing."""
    words = f"{abs(value):.{digits}f}"
    if float(words) == 0:
        return words
    return ("\N{MINUS SIGN}" if value < 0 else "+") + words
