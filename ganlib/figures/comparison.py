"""AUROC of methods side by side, GANs before what is simpler."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ganlib.figures.frame import GROUP_COLOURS, INK, STYLE, Frame
from ganlib.figures.rows import CHANCE, Rows, draw_interval, draw_rows, lay_rows, write_beside

_FAMILIES = {"GAN": "GANs", "baseline": "baselines"}
_LOOKS = {
    "GAN": {"marker": "o", "mfc": GROUP_COLOURS["train normal"], "mec": INK, "ms": 7.5},
    "baseline": {"marker": "s", "mfc": "#b5b5b5", "mec": INK, "ms": 6},
    "published": {"marker": "D", "mfc": "white", "mec": INK, "ms": 7.5, "mew": 1.3},
    "one seed": {"marker": "o", "mfc": INK, "mec": "white", "ms": 3.2, "mew": 0.4},
}


@plt.rc_context(STYLE)
def auroc_forest(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw the AUROC of every method on every data set, by protocol, with intervals.

    Args:
        table: a row per data set, protocol and method, with the columns `dataset`, `protocol`,
            `method`, `family` ("GAN" or "baseline"), `auroc` (0..1, the mean over seeds), `low`
            and `high` (the ends of its 95 % interval, NaN where there is none), `seeds` (the AUROC
            of every seed, a list; one alone is not drawn beside its mean) and `published` (the
            published AUROC, NaN where there is none).
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: a panel per data set and protocol; GANs, then baselines, the numbers at the
        right of each panel. A method that a panel has no row for stays empty there.
    """
    datasets, protocols = (list(dict.fromkeys(table[name])) for name in ("dataset", "protocol"))
    rows = {
        dataset: lay_rows(
            {
                heading: list(dict.fromkeys(part.loc[part["family"] == family, "method"]))
                for family, heading in _FAMILIES.items()
                if (part["family"] == family).any()
            }
        )
        for dataset, part in ((name, table[table["dataset"] == name]) for name in datasets)
    }
    heights = [0.24 * rows[dataset].end + 0.75 for dataset in datasets]
    frame = Frame(sum(heights) + 0.2, title, caption, legend=0.28)
    panels = frame.grid(
        len(datasets), len(protocols), sharex="row", gridspec_kw={"height_ratios": heights}
    )
    for i, dataset in enumerate(datasets):
        part = table[table["dataset"] == dataset]
        values = part[["auroc", "low", "high", "published"]].to_numpy(float).ravel()
        values = np.concatenate([values, *(np.asarray(s, float) for s in part["seeds"])])
        panels[i, 0].set_xlim(min(0.45, np.nanmin(values) - 0.03), 1.02)
        for j, protocol in enumerate(protocols):
            panel = part[part["protocol"] == protocol]
            _forest_panel(panels[i, j], panel, rows[dataset], named=j == 0)
            panels[i, j].set_title(f"{dataset}, protocol {protocol}", loc="left")
    for axes in panels[-1]:
        axes.set_xlabel("AUROC (0.5 = chance, 1 = perfect)")
    line, words = ("-", " (line: 95 % interval)") if table["low"].notna().any() else ("", "")
    handles = [
        Line2D([], [], color=INK, lw=1, ls=line, label=family + words, **_LOOKS[family])
        for family in _FAMILIES
        if (table["family"] == family).any()
    ]
    if any(len(seeds) > 1 for seeds in table["seeds"]):
        handles.append(Line2D([], [], ls="", label="one seed", **_LOOKS["one seed"]))
    if table["published"].notna().any():
        handles.append(Line2D([], [], ls="", label="published", **_LOOKS["published"]))
    handles.append(Line2D([], [], label="chance", **CHANCE))
    frame.legend(handles, len(handles))
    return frame.figure


def _forest_panel(axes: Axes, panel: pd.DataFrame, rows: Rows, named: bool) -> None:
    draw_rows(axes, rows, {entry: entry[1] for entry in rows.entries} if named else None)
    axes.axvline(0.5, **CHANCE)
    columns = ["AUROC"]
    columns += ["interval"] if panel["low"].notna().any() else []
    columns += ["published"] if panel["published"].notna().any() else []
    places = dict(zip(columns, (22, 70, 119), strict=False))  # points to the right of the axes
    for words, place in places.items():
        write_beside(axes, place, 0.0, words, weight="bold", size=8)
    for line in panel.to_dict("records"):
        y = rows.entries[_FAMILIES[line["family"]], line["method"]]
        draw_interval(axes, y, line["low"], line["high"])
        # Below the line, so that they can be told from the mean that they lie about.
        seeds = np.asarray(line["seeds"] if len(line["seeds"]) > 1 else [], float)
        axes.plot(seeds, np.full(len(seeds), y + 0.33), ls="", gid="seeds", **_LOOKS["one seed"])
        axes.plot(line["published"], y, ls="", zorder=4, gid="published", **_LOOKS["published"])
        axes.plot(line["auroc"], y, ls="", zorder=5, gid=line["family"], **_LOOKS[line["family"]])
        # Without the zeros before the point: two panels lie side by side.
        interval = f"{line['low']:.3f}\N{EN DASH}{line['high']:.3f}".replace("0.", ".")
        numbers = {
            "AUROC": _digits(line["auroc"]),
            "interval": "\N{EN DASH}" if math.isnan(line["low"]) else interval,
            "published": _digits(line["published"]),
        }
        for name, place in places.items():
            write_beside(axes, place, y, numbers[name], size=8.5 if name == "AUROC" else 8)


def _digits(value: float) -> str:
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.3f}"
