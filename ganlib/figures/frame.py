"""What all figures share: colours, style, a frame for title and small print, and saving."""

import functools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from ganlib.files import write_safely

# Jupyter's backend turns interactive mode on when it is loaded, and shows no figure without it.
# Loaded by the first figure, inside `rc_context`, the mode would end with that figure's style.
plt.switch_backend(plt.get_backend())

# The paper's colours. Their lightness differs too, as do the markers: grey print keeps them apart.
GROUP_COLOURS = {
    "train normal": "#c8102e",
    "test normal": "#ffa9c6",
    "test anomaly": "#2f9fd8",
}
GROUP_MARKERS = {"train normal": "o", "test normal": "s", "test anomaly": "^"}
KIND_COLOURS = {
    "normal": GROUP_COLOURS["test normal"],
    "anomaly": GROUP_COLOURS["test anomaly"],
}
INK = "#222222"

WIDTH = 9.0  # inches: about 100 pixels an inch where a README shows the figure 900 pixels wide
DPI = 150

MARGIN = 0.12  # inches
_TITLE_LINE, _CAPTION_LINE = 0.25, 0.15  # inches

STYLE = {
    **sns.axes_style("whitegrid"),
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib carries it: the same figure on every machine
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "grid.color": "#e4e4e4",
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "text.color": INK,
    "hatch.linewidth": 0.5,
    # Pixels as they are: smoothed ones are not what the networks see, and triple the file.
    "image.interpolation": "nearest",
}


def save(figure: Figure, path_without_suffix: str | Path) -> list[Path]:
    """Write a figure as PNG and as PDF, each of them whole or not at all.

    Args:
        figure: the figure.
        path_without_suffix: where, without ".png"; the folder is created.

    Returns:
        The two paths, PNG first. The files hold no date: an unchanged figure is an unchanged file.
    """
    target = Path(path_without_suffix)
    paths = []
    for kind, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
        draw = functools.partial(figure.savefig, format=kind, dpi=DPI, metadata=metadata)
        with plt.rc_context({"pdf.fonttype": 42, "hatch.linewidth": 0.5}):
            # Not with_suffix, which would cut a name such as "score-0.5".
            paths.append(write_safely(target.parent / f"{target.name}.{kind}", draw))
    return paths


class Frame:
    """A figure of the common width whose body lies between a title and a caption, in inches."""

    def __init__(self, height: float, title: str, caption: str, legend: float = 0.0):
        title = textwrap.fill(title, 82)
        caption = textwrap.fill(caption, 148)
        above = MARGIN + _TITLE_LINE * (title.count("\n") + 1) + 0.06 + legend
        self.bottom = MARGIN + _CAPTION_LINE * (caption.count("\n") + 1) + 0.08
        self.height = height
        self.top = self.bottom + height
        self.total = self.top + above
        self.figure = plt.figure(figsize=(WIDTH, self.total))
        self.figure.suptitle(
            title,
            x=MARGIN / WIDTH,
            y=1 - MARGIN / self.total,
            ha="left",
            va="top",
            size=12,
            weight="bold",
            linespacing=1.15,
        )
        self.figure.text(
            MARGIN / WIDTH,
            MARGIN / self.total,
            caption,
            ha="left",
            va="bottom",
            size=7.5,
            color="#555555",
            linespacing=1.15,
            gid="caption",
        )

    def grid(self, rows: int, columns: int, **options) -> np.ndarray:
        """Make axes for charts, laid out so that no label touches another."""
        self.figure.set_layout_engine(
            "constrained",
            rect=(0.005, self.bottom / self.total, 0.99, self.height / self.total),
            h_pad=0.06,
            w_pad=0.06,
        )
        return self.figure.subplots(rows, columns, squeeze=False, **options)

    def axes(self, left: float, top: float, width: float, height: float) -> plt.Axes:
        """Make axes for an image, `top` inches below the top of the body."""
        y = self.top - top - height
        return self.figure.add_axes(
            (left / WIDTH, y / self.total, width / WIDTH, height / self.total)
        )

    def text(self, x: float, top: float, words: str, **options) -> plt.Text:
        """Write text, `top` inches below the top of the body."""
        return self.figure.text(x / WIDTH, (self.top - top) / self.total, words, **options)

    def legend(self, handles: Sequence, columns: int) -> None:
        """Draw a legend between the title and the body."""
        self.figure.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, self.top / self.total),
            ncols=columns,
            borderaxespad=0.1,
            handletextpad=0.4,
            columnspacing=1.4,
        ).set_in_layout(False)


def short(score: float) -> str:
    """Write a score with three digits, or with all of a whole number that has more."""
    return f"{score:,.0f}" if abs(score) >= 100 else f"{score:.3g}"


def panel_heading(panels: Mapping, method: str) -> str:
    """Letter a panel, as the paper does, where there are several."""
    letter = chr(ord("a") + list(panels).index(method))
    return f"({letter}) {method}" if len(panels) > 1 else method


def hide_unused(axes: Sequence[plt.Axes], used: int) -> None:
    """Hide the axes of a grid that no panel needs."""
    for unused in axes[used:]:
        unused.set_visible(False)


def show_image(axes: plt.Axes, image: np.ndarray, edge: str = "#999999", line: float = 0.6) -> None:
    """Draw one uint8 image `(h, w, c)`; grey levels are never stretched."""
    if image.shape[-1] == 1:
        axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=255, aspect="auto")
    else:
        axes.imshow(image, aspect="auto")
    bare(axes, edge, line)


def bare(axes: plt.Axes, edge: str = "#999999", line: float = 0.6) -> None:
    """Take ticks and grid from axes that hold an image, and leave a thin edge."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=edge, linewidth=line)
