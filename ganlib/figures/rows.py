"""A chart of rows: a point with its interval for each name, and the numbers written beside it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import seaborn as sns

from ganlib.figures.frame import INK

CHANCE = {"color": "#888888", "linewidth": 1.1, "linestyle": (0, (2, 2)), "zorder": 1}
HEADING, GAP = 1.15, 0.3  # rows


class Rows(NamedTuple):
    """Where the rows of a chart lie; y counts downwards.

    Attributes:
        headings: y to the words that begin a group of rows.
        entries: (group, name) to y.
        end: y below the last row.
    """

    headings: dict[float, str]
    entries: dict[tuple[str, str], float]
    end: float


def lay_rows(groups: Mapping[str, Sequence[str]]) -> Rows:
    """Place names one below another, group after group; a group named "" gets no heading."""
    headings, entries, y = {}, {}, 0.0
    for group, names in groups.items():
        if group:
            headings[y] = group
            y += HEADING
        for name in names:
            entries[group, name] = y
            y += 1
        y += GAP
    return Rows(headings, entries, y - GAP)


def draw_rows(axes: plt.Axes, rows: Rows, words: Mapping[tuple[str, str], str] | None) -> None:
    """Draw a faint line per row and, unless `words` is None, write the rows' names on the left."""
    across = axes.get_yaxis_transform()
    for y in rows.entries.values():
        axes.axhline(y, color="#e4e4e4", linewidth=0.8, zorder=1)
    if words is not None:
        look = {"ha": "right", "va": "center", "transform": across}
        for y, heading in rows.headings.items():
            axes.text(-0.02, y, heading, weight="bold", **look)
        for entry, y in rows.entries.items():
            axes.text(-0.02, y, words[entry], **look)
    axes.set_ylim(rows.end - 0.3, -0.8)
    axes.set_yticks([])
    axes.grid(False, axis="y")
    sns.despine(ax=axes, left=True)


def draw_interval(axes: plt.Axes, y: float, low: float, high: float, **look: Any) -> None:
    """Draw an interval as a line with small ends; nothing where there is none (NaN)."""
    if math.isnan(low) or math.isnan(high):
        return
    look = {"color": INK, "linewidth": 1.0, "zorder": 3} | look
    axes.plot([low, high], [y, y], marker="|", markersize=5, gid="interval", **look)


def write_beside(axes: plt.Axes, x: float, y: float, words: str, **look: Any) -> None:
    """Write a number to the right of the axes, its middle `x` points from them."""
    look = {"ha": "center", "va": "center"} | look
    axes.annotate(
        words,
        (1, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(x, 0),
        textcoords="offset points",
        annotation_clip=False,
        **look,
    )
