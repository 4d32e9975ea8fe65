"""What thresholds set on normal images do on test images."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ganlib.figures.frame import INK, KIND_COLOURS, STYLE, Frame
from ganlib.figures.rows import draw_interval, draw_rows, lay_rows, write_beside

_RATES = {
    "false_alarm": ("normal images flagged (false alarms)", KIND_COLOURS["normal"], "s"),
    "detection": ("anomalies flagged (detected)", KIND_COLOURS["anomaly"], "^"),
}
_ASKED = {"color": INK, "marker": "|", "markersize": 15, "markeredgewidth": 2.4, "linestyle": ""}


@plt.rc_context(STYLE)
def threshold_rates(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw how many normal images and how many anomalies each rule for a threshold flags.

    Args:
        table: a row per data set, method and rule, with the columns `dataset`, `method`, `rule`,
            `false_alarm_rate`, `false_alarm_low`, `false_alarm_high`, `detection_rate`,
            `detection_low`, `detection_high` (0..1, low and high the ends of the 95 % interval, NaN
            where there is none), `oracle` (bool, whether the rule knows the test labels) and
            `asked` (the false-alarm rate that the rule was asked for, 0..1, NaN where none was).
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: a line of two panels per data set, false alarms on the left and detections on
        the right. Oracles are hollow.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    parts = {dataset: table[table["dataset"] == dataset] for dataset in datasets}
    rows = {
        dataset: lay_rows(
            {method: list(rules) for method, rules in part.groupby("method", sort=False)["rule"]}
        )
        for dataset, part in parts.items()
    }
    heights = [0.23 * rows[dataset].end + 0.75 for dataset in datasets]
    frame = Frame(sum(heights) + 0.1, title, caption, legend=0.28)
    panels = frame.grid(len(datasets), 2, gridspec_kw={"height_ratios": heights})
    for i, (dataset, part) in enumerate(parts.items()):
        names = {
            (line.method, line.rule): f"{line.rule} (oracle)" if line.oracle else line.rule
            for line in part.itertuples()
        }
        for j, rate in enumerate(_RATES):
            draw_rows(panels[i, j], rows[dataset], names if j == 0 else None)
            _rate_panel(panels[i, j], part, rows[dataset].entries, rate)
            panels[i, j].set_title(dataset if j == 0 else "", loc="left")
            panels[i, j].set_xlabel(_RATES[rate][0])
    fill = {"markeredgecolor": INK, "markersize": 7}
    handles = [
        Line2D([], [], color=INK, lw=1, label=words, marker=marker, mfc=colour, **fill)
        for words, colour, marker in (
            ("false alarms", *_RATES["false_alarm"][1:]),
            ("detections", *_RATES["detection"][1:]),
        )
    ]
    handles += [
        Line2D([], [], label="false alarms asked for", **(_ASKED | {"markersize": 11})),
        Line2D(
            [], [], ls="", marker="o", mfc="white", label="oracle: knows the test labels", **fill
        ),
    ]
    frame.legend(handles, len(handles))
    return frame.figure


def _rate_panel(axes: Axes, part: pd.DataFrame, entries: dict, rate: str) -> None:
    _, colour, marker = _RATES[rate]
    for line in part.to_dict("records"):
        y, value = entries[line["method"], line["rule"]], line[f"{rate}_rate"]
        draw_interval(axes, y, line[f"{rate}_low"], line[f"{rate}_high"])
        if rate == "false_alarm":
            axes.plot(line["asked"], y, gid="asked", zorder=2, **_ASKED)
        axes.plot(
            value,
            y,
            ls="",
            marker=marker,
            ms=7,
            mfc="white" if line["oracle"] else colour,
            mec=INK,
            zorder=4,
            gid="oracle" if line["oracle"] else rate,
        )
        write_beside(axes, 20, y, _percent(value))
    if rate == "detection":
        axes.set_xlim(-0.03, 1.03)
    else:
        values = part[["false_alarm_rate", "false_alarm_high", "asked"]].to_numpy(float)
        highest = 1.08 * float(np.nanmax(values, initial=0.1))
        axes.set_xlim(-0.03 * highest, highest)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    sns.despine(ax=axes, left=True)


def _percent(rate: float) -> str:
    """Write a rate: a hundred images tell no more than a percent or so."""
    return f"{100 * rate:.1f} %" if rate < 0.0995 else f"{100 * rate:.0f} %"
