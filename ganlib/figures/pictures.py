"""Images: beside their reconstructions, with their residuals, in a gallery."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from ganlib.figures.frame import (
    INK,
    KIND_COLOURS,
    MARGIN,
    STYLE,
    WIDTH,
    Frame,
    bare,
    panel_heading,
    short,
    show_image,
)


@plt.rc_context(STYLE)
def reconstructions(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]],
    title: str,
    caption: str,
) -> Figure:
    """Draw images beside what each method makes of them.

    Args:
        panels: method to "normal" and "anomaly", each the images and their reconstructions, both
            uint8 `(n, height, width, channels)`, 0..255, and their scores `(n,)`.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: five pairs in a row, the image on the left in each, its score beneath.

    Reference:
        Figures 4 (cloud) and 6 (casting).
    """
    counts = [len(kind[0]) for method in panels.values() for kind in method.values()]
    columns = max(1, min(5, max(counts)))
    left, gap, label, heading = 0.86, 0.16, 0.27, 0.5
    pair = min((WIDTH - left - MARGIN - gap * (columns - 1)) / columns, 3.0)
    first = next(iter(next(iter(panels.values())).values()))[0]
    height = pair / 2 * first.shape[1] / first.shape[2]
    rows = [
        (method, kind, start)
        for method, kinds in panels.items()
        for kind in kinds
        for start in range(0, len(kinds[kind][0]), columns)
    ]
    body = len(panels) * heading + len(rows) * (height + label)
    frame = Frame(body, title, caption, legend=0.28)
    top, previous = 0.0, None
    for method, kind, start in rows:
        if method != previous:
            frame.text(MARGIN, top + 0.22, panel_heading(panels, method), weight="bold", size=10)
            for x, words in ((0.25, "image"), (0.75, "reconstruction")):
                frame.text(
                    left + x * pair, top + 0.43, words, ha="center", size=7.5, color="#555555"
                )
            top, previous = top + heading, method
        frame.text(left - 0.12, top + height / 2, kind, ha="right", va="center", size=9.5)
        images, made, scores = panels[method][kind]
        for i in range(start, min(start + columns, len(images))):
            x = left + (i - start) * (pair + gap)
            # One frame round the two: what belongs together is seen before it is read.
            frame.figure.add_artist(
                Rectangle(
                    ((x - 0.03) / WIDTH, (frame.top - top - height - 0.03) / frame.total),
                    (pair + 0.06) / WIDTH,
                    (height + 0.06) / frame.total,
                    facecolor=KIND_COLOURS[kind],
                    edgecolor=INK,
                    linewidth=0.4,
                    linestyle="-" if kind == "normal" else "--",
                    zorder=-1,
                )
            )
            for side, image in enumerate((images[i], made[i])):
                axes = frame.axes(x + side * pair / 2, top, pair / 2 - 0.015 * (1 - side), height)
                show_image(axes, image, line=0)
            frame.text(
                x + pair / 2,
                top + height + 0.17,
                f"score {short(scores[i])}",
                ha="center",
                size=8.5,
            )
        top += height + label
    frame.legend(
        [
            Patch(fc=KIND_COLOURS["normal"], ec=INK, lw=0.5, label="test normal"),
            Patch(fc=KIND_COLOURS["anomaly"], ec=INK, lw=0.5, ls="--", label="test anomaly"),
        ],
        2,
    )
    return frame.figure


def scale_end(residuals: Iterable[np.ndarray]) -> float:
    """Find where the scale of some residuals ends: at their 99.5th percentile."""
    return float(np.percentile(np.concatenate([image.ravel() for image in residuals]), 99.5))


def show_residual(axes: plt.Axes, residual: np.ndarray, highest: float) -> AxesImage:
    """Draw one residual `(h, w)`, >= 0, black where there is none."""
    shown = axes.imshow(residual, cmap="magma", vmin=0, vmax=highest or 1.0, aspect="auto")
    bare(axes)
    return shown


def draw_scale(frame: Frame, shown: AxesImage, axes: plt.Axes) -> None:
    """Draw what the colours of residuals mean, in axes beside them."""
    bar = frame.figure.colorbar(shown, cax=axes, extend="max")
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.locator = MaxNLocator(4)
    bar.set_label("grey levels", fontsize=8.5)


@plt.rc_context(STYLE)
def residual_images(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    title: str,
    caption: str,
) -> Figure:
    """Draw where each method's reconstruction differs from the image.

    Args:
        panels: method to "normal" and "anomaly", each the images, uint8
            `(n, height, width, channels)`, 0..255, and their residuals, float32 of the same shape,
            grey levels 0..255. The paper shows two of each.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: the image above, the mean of its residual over the channels below. All residuals
        of a method share one scale, which ends at their 99.5th percentile.

    Reference:
        Figure 7.
    """
    across = min(len(panels), 2)
    gap, bar, between, heading = 0.06, 0.78, 0.2, 0.56
    block = (WIDTH - 2 * MARGIN - (across - 1) * between) / across
    columns = max(sum(len(kind[0]) for kind in method.values()) for method in panels.values())
    first = next(iter(next(iter(panels.values())).values()))[0]
    label = 0.78 if across == 1 else 0.0
    side = min((block - bar - label - gap * columns) / columns, 1.6)
    height = side * first.shape[1] / first.shape[2]
    block_height = heading + 2 * height + gap + 0.2
    frame = Frame(math.ceil(len(panels) / across) * block_height, title, caption, legend=0.28)
    for index, (method, kinds) in enumerate(panels.items()):
        left = MARGIN + (index % across) * (block + between)
        top = (index // across) * block_height
        frame.text(left, top + 0.22, panel_heading(panels, method), weight="bold", size=10)
        means = {kind: residuals.mean(axis=-1) for kind, (_, residuals) in kinds.items()}
        highest = scale_end(means.values())
        if label:
            for row, words in enumerate(("image", "residual")):
                y = top + heading + row * (height + gap) + height / 2
                frame.text(left + label - 0.1, y, words, ha="right", va="center")
        x = left + label
        for kind, (images, _) in kinds.items():
            start = x
            for i, image in enumerate(images):
                show_image(frame.axes(x, top + heading, side, height), image)
                axes = frame.axes(x, top + heading + height + gap, side, height)
                shown = show_residual(axes, means[kind][i], highest)
                x += side + gap
            frame.text((start + x - gap) / 2, top + 0.43, kind, ha="center", size=9)
            strip = frame.axes(start, top + 0.48, x - gap - start, 0.05)
            strip.set_facecolor(KIND_COLOURS[kind])
            bare(strip, INK, 0.4)
            if kind == "anomaly":
                strip.patch.set_hatch("////")
            x += gap
        scale = frame.axes(x + 0.02, top + heading + height + gap, 0.12, height)
        draw_scale(frame, shown, scale)
    frame.legend(
        [
            Patch(fc=KIND_COLOURS["normal"], ec=INK, lw=0.5, label="test normal"),
            Patch(fc=KIND_COLOURS["anomaly"], ec=INK, lw=0.5, hatch="////", label="test anomaly"),
            Patch(fc="none", ec="none", label="lower row: |image \N{MINUS SIGN} reconstruction|"),
        ],
        3,
    )
    return frame.figure


@plt.rc_context(STYLE)
def image_grid(
    images: np.ndarray, titles: Sequence[str] | None, title: str, caption: str
) -> Figure:
    """Draw a gallery of images.

    Args:
        images: uint8 `(n, height, width, channels)`, 0..255.
        titles: a few words above each image, or None.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: up to eight images in a row.
    """
    columns = max(1, min(len(images), 8))
    rows = math.ceil(len(images) / columns)
    gap = 0.08
    side = min((WIDTH - 2 * MARGIN - gap * (columns - 1)) / columns, 2.0)
    height = side * images.shape[1] / images.shape[2]
    wrap = max(6, int(side / 0.075))
    words = [textwrap.fill(str(t), wrap) for t in titles] if titles is not None else None
    label = 0.06 + 0.14 * max(w.count("\n") + 1 for w in words) if words else 0.0
    frame = Frame(rows * (height + label + gap), title, caption)
    for i, image in enumerate(images):
        x = MARGIN + (i % columns) * (side + gap)
        top = (i // columns) * (height + label + gap) + label
        show_image(frame.axes(x, top, side, height), image)
        if words:
            frame.text(x + side / 2, top - 0.05, words[i], ha="center", va="bottom", size=8)
    return frame.figure
