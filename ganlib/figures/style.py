"""Colors, style, the frame with title and caption, and saving of figures."""

import functools
import itertools
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from ganlib.files import write_safely

# Jupyter's backend turns on interactive mode when loaded, and shows no figures without it. Load it
# here: inside the first figure's `rc_context`, the mode would be reset along with the style.
plt.switch_backend(plt.get_backend())

# The paper's colors. Lightness and markers differ too, so groups stay distinct in grayscale.
RED = "#c8102e"
GROUP_COLOURS = {"train normal": RED, "test normal": "#ffa9c6", "test anomaly": "#2f9fd8"}
GROUP_MARKERS = {"train normal": "o", "test normal": "s", "test anomaly": "^"}
KIND_COLOURS = {kind: GROUP_COLOURS[f"test {kind}"] for kind in ("normal", "anomaly")}
# Looks of the kinds of anomaly, in alphabetical order of their names.
_KIND_LOOKS = [(KIND_COLOURS["anomaly"], "^"), ("#f2c14e", "D"), ("#6a9a3b", "v")]
_KIND_LOOKS += [("#7b4fa3", "P"), ("#1d4e79", "X")]
INK = "#222222"
CHANCE = {"color": "#888888", "linewidth": 1.1, "linestyle": (0, (2, 2)), "zorder": 1}

Tables = Mapping[str, pd.DataFrame]  # one per panel
Arrays = Mapping[str, np.ndarray]

WIDTH, MARGIN, DPI = 9.0, 0.12, 150  # in inches, and pixels per inch

STYLE = {"axes.grid": True, "axes.axisbelow": True, "grid.color": "#e4e4e4"}
STYLE |= {"axes.edgecolor": "#888888", "patch.edgecolor": "w", "patch.force_edgecolor": True}
STYLE |= {"xtick.bottom": False, "ytick.left": False, "lines.solid_capstyle": "round"}
STYLE |= dict.fromkeys(("xtick.color", "ytick.color"), "#262626")
STYLE |= {"font.family": ["DejaVu Sans"], "font.size": 9}  # ships with matplotlib
STYLE |= {"axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left"}
STYLE |= {"axes.spines.top": False, "axes.spines.right": False, "axes.labelsize": 9}
STYLE |= dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 8.5)
STYLE |= {"legend.frameon": False, "hatch.linewidth": 0.5, "axes.labelcolor": INK}
# Draw raw pixels, as the networks see them. Smoothed ones triple the file size.
STYLE |= {"text.color": INK, "image.interpolation": "nearest"}


def save(figure: Figure, path_without_suffix: str | Path) -> list[Path]:
    """Write a figure as PNG and PDF, undated so that the bytes reproduce. Return the paths."""
    paths = []
    for kind, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
        draw = functools.partial(figure.savefig, format=kind, dpi=DPI, metadata=metadata)
        with plt.rc_context({"pdf.fonttype": 42, "hatch.linewidth": 0.5}):
            paths.append(write_safely(Path(f"{path_without_suffix}.{kind}"), draw))
    return paths


class Frame:
    """A figure `WIDTH` wide: title, legend, a body of `height`, caption. Sizes are in inches."""

    def __init__(self, height: float, title: str, caption: str, legend_rows: int = 0):
        generated = "GENERATED" in caption
        # Do not break lines within a short part such as "seeds 0 1 2".
        parts = [p.replace(" ", "\xa0") if len(p) < 40 else p for p in caption.split(" · ")]
        title, caption = textwrap.fill(title, 82), textwrap.fill(" · ".join(parts), 148)
        self.height = height
        self.bottom = MARGIN + 0.15 * (caption.count("\n") + 1) + 0.08
        self.top = self.bottom + height
        legend = 0.08 + 0.2 * legend_rows if legend_rows else 0
        stripe = 0.26 * generated
        self.total = self.top + legend + 0.06 + 0.25 * (title.count("\n") + 1) + MARGIN + stripe
        self.figure = plt.figure(figsize=(WIDTH, self.total))
        left, edge = MARGIN / WIDTH, MARGIN / self.total
        if generated:
            self.rectangle(0, self.top - self.total, WIDTH, stripe, fc="#f2c14e", gid="generated")
            words = "GENERATED IMAGES, drawn by ganlib: these numbers are not about real ones"
            place = {"ha": "center", "va": "center", "weight": "bold"}
            self.text(WIDTH / 2, self.top - self.total + stripe / 2, words, **place)
        look, small = {"ha": "left", "linespacing": 1.15}, {"size": 7.5, "color": "#555555"}
        top = 1 - edge - stripe / self.total
        self.figure.suptitle(title, x=left, y=top, va="top", size=12, weight="bold", **look)
        self.figure.text(left, edge, caption, va="bottom", **small, **look)

    def grid(self, rows: int, columns: int, **options) -> np.ndarray:
        """Add axes for charts, with a layout that keeps labels apart."""
        body = (0.005, self.bottom / self.total, 0.99, self.height / self.total)
        self.figure.set_layout_engine("constrained", rect=body, h_pad=0.06, w_pad=0.06)
        return self.figure.subplots(rows, columns, squeeze=False, **options)

    def box(self, left: float, top: float, width: float, height: float) -> tuple[float, ...]:
        """Convert a box, `top` inches below the top of the body, to fractions of the figure."""
        y = self.top - top - height
        return left / WIDTH, y / self.total, width / WIDTH, height / self.total

    def rectangle(self, *box: float, **look) -> None:
        """Add a rectangle behind the axes; see `box`."""
        x, y, *size = self.box(*box)
        self.figure.add_artist(Rectangle((x, y), *size, ec=INK, lw=0.4, zorder=-1, **look))

    def text(self, x: float, top: float, words: str, size: float = 8.5, **look) -> None:
        """Add text, `top` inches below the top of the body."""
        self.figure.text(x / WIDTH, (self.top - top) / self.total, words, size=size, **look)

    def legend(self, handles: Sequence, columns: int | None = None) -> None:
        """Add a legend between the title and the body, by default in one row."""
        look = {"borderaxespad": 0.1, "handletextpad": 0.4, "columnspacing": 1.4}
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, self.top / self.total)}
        self.figure.legend(handles=handles, ncols=columns or len(handles), **place, **look)


def kind_looks(kinds: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the color and marker of every kind, the same in all figures of a data set."""
    anomalies = sorted(set(kinds) - {"normal"})
    looks = zip(anomalies, itertools.cycle(_KIND_LOOKS), strict=False)
    return {"normal": (KIND_COLOURS["normal"], "s"), **dict(looks)}


def short(score: float) -> str:
    """Format a score with three significant digits, or from 100 on as a whole number."""
    return f"{score:,.0f}" if abs(score) >= 100 else f"{score:.3g}"


def panel_heading(panels: Mapping, method: str) -> str:
    """Return a panel's heading, lettered as in the paper if there are several panels."""
    letter = chr(ord("a") + list(panels).index(method))
    return f"({letter}) {method}" if len(panels) > 1 else method


def panel_axes(count, columns, height, title, caption, legend_rows=0) -> tuple[Frame, list]:
    """Return a frame with `count` panels of `height` inches in at most `columns` columns."""
    rows = math.ceil(count / columns)
    frame = Frame(height * rows + 0.1, title, caption, legend_rows)
    axes = frame.grid(rows, min(count, columns)).ravel()
    for unused in axes[count:]:
        unused.set_visible(False)
    return frame, list(axes[:count])


def symbols(looks: Mapping[str, tuple[str, str]]) -> list[Line2D]:
    """Return a legend entry for each name, with its color and marker."""
    look = {"ls": "", "mec": INK, "mew": 0.5, "ms": 6.5}
    return [
        Line2D([], [], mfc=colour, marker=marker, label=name.replace("_", " "), **look)
        for name, (colour, marker) in looks.items()
    ]
