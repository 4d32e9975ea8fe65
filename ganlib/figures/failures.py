"""The images that a method is most wrong about."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

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
from ganlib.figures.pictures import draw_scale, scale_end, show_residual

_ERRORS = {
    "false alarms": ("normal", "worst false alarms: normal images with high scores"),
    "misses": ("anomaly", "worst misses: anomalies with low scores"),
}


@plt.rc_context(STYLE)
def worst_errors(
    panels: Mapping[
        str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Sequence[str]]]
    ],
    title: str,
    caption: str,
) -> Figure:
    """Draw the normal images that look most anomalous to a method, and the opposite.

    Args:
        panels: method to "false alarms" (normal images with the highest scores) and "misses"
            (anomalies with the lowest), each the images and their reconstructions, uint8
            `(n, height, width, channels)`, 0..255, their residuals, float32 of the same shape, grey
            levels 0..255, their scores `(n,)` and a few words for each, for instance its kind and
            its rank. Worst first.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: image, reconstruction and residual one below the other, false alarms on the
        left, misses on the right. All residuals of a method share one scale, which ends at their
        99.5th percentile.
    """
    left, bar, gap, between = 1.02, 0.72, 0.06, 0.22
    counts = {
        kind: max(len(errors[kind][3]) for errors in panels.values() if kind in errors)
        for kind in _ERRORS
        if any(kind in errors for errors in panels.values())
    }
    columns = sum(counts.values())
    room = WIDTH - left - bar - gap * columns - between * (len(counts) - 1)
    side = min(room / columns, 1.2)
    first = next(iter(next(iter(panels.values())).values()))[0]
    height = side * first.shape[1] / first.shape[2]
    wrap = max(6, int((side + gap) / 0.068))
    words = {
        (method, kind): [textwrap.fill(str(text), wrap) for text in errors[kind][4]]
        for method, errors in panels.items()
        for kind in errors
    }
    lines = max(text.count("\n") + 1 for texts in words.values() for text in texts)
    meanings = {
        kind: textwrap.fill(_ERRORS[kind][1], max(10, int(count * (side + gap) / 0.064)))
        for kind, count in counts.items()
    }
    # One line more where few small images leave no room for a long one.
    heading = 0.45 + 0.15 * max(text.count("\n") + 1 for text in meanings.values())
    label = 0.27 + 0.135 * lines
    block = heading + 3 * (height + gap) + label
    frame = Frame(len(panels) * block, title, caption, legend=0.28)
    for index, (method, errors) in enumerate(panels.items()):
        top = index * block
        frame.text(MARGIN, top + 0.2, panel_heading(panels, method), weight="bold", size=10)
        means = {kind: errors[kind][2].mean(axis=-1) for kind in errors}
        highest = scale_end(means.values())
        top += heading
        for row, name in enumerate(("image", "reconstruction", "residual")):
            y = top + row * (height + gap) + height / 2
            frame.text(left - 0.08, y, name, ha="right", va="center", size=8.5)
        frame.text(left - 0.08, top + 3 * (height + gap) + 0.13, "score", ha="right", size=8.5)
        x = left
        for kind, count in counts.items():
            truth = _ERRORS[kind][0]
            start, x = x, x + count * (side + gap) + between
            if kind not in errors:
                continue
            images, made, _, scores, _ = errors[kind]
            frame.text(start, top - 0.18, meanings[kind], va="bottom", size=8.5)
            strip = frame.axes(start, top - 0.12, count * (side + gap) - gap, 0.06)
            strip.set_facecolor(KIND_COLOURS[truth])
            bare(strip, INK, 0.4)
            if truth == "anomaly":
                strip.patch.set_hatch("////")
            for i in range(len(images)):
                at = start + i * (side + gap)
                for row, picture in enumerate((images[i], made[i])):
                    show_image(frame.axes(at, top + row * (height + gap), side, height), picture)
                axes = frame.axes(at, top + 2 * (height + gap), side, height)
                shown = show_residual(axes, means[kind][i], highest)
                below = top + 3 * (height + gap) + 0.13
                frame.text(at + side / 2, below, short(scores[i]), ha="center", size=8.5)
                frame.text(
                    at + side / 2,
                    below + 0.05,
                    words[method, kind][i],
                    ha="center",
                    va="top",
                    size=7.2,
                    color="#444444",
                )
        scale = frame.axes(x - between + 0.04, top + 2 * (height + gap), 0.1, height)
        draw_scale(frame, shown, scale)
    frame.legend(
        [
            Patch(fc=KIND_COLOURS["normal"], ec=INK, lw=0.5, label="test normal"),
            Patch(fc=KIND_COLOURS["anomaly"], ec=INK, lw=0.5, hatch="////", label="test anomaly"),
            Patch(fc="none", ec="none", label="residual: |image \N{MINUS SIGN} reconstruction|"),
        ],
        3,
    )
    return frame.figure
