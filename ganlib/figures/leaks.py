"""Test images that the training images give away."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ganlib.figures.frame import GROUP_COLOURS, INK, MARGIN, STYLE, WIDTH, Frame, short, show_image

_LEAK = GROUP_COLOURS["train normal"]
_APART = "#8fb3cc"
_LINE = {"color": INK, "linewidth": 1.4, "linestyle": (0, (4, 2))}


@plt.rc_context(STYLE)
def leaks(
    strips: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    title: str,
    caption: str,
    shares: Mapping[str, str] | None = None,
    threshold: float | None = None,
) -> Figure:
    """Draw test images above the training images that are nearest to them.

    Args:
        strips: name, for instance a protocol, to some test images and the nearest training image of
            each, both uint8 `(n, height, width, channels)`, 0..255, and the distances `(n,)`
            between the two. They are drawn from nearest to farthest.
        title: the title of the figure.
        caption: the small print; it should say what the distance is.
        shares: name to a few words, up to 90 letters, beside it, for instance "64 of 262 test
            images are identical to a training image".
        threshold: the distance below which two images count as copies of one thing, in the unit of
            the distances; None marks only identical images.

    Returns:
        The figure: a strip of pairs per name. Images that are equal pixel for pixel have a thick
        red frame, others nearer than the threshold a dashed one.
    """
    most = max(len(distances) for *_, distances in strips.values())
    left, gap, heading, label = 0.92, 0.1, 0.42, 0.4
    side = min((WIDTH - left - MARGIN - gap * (most - 1)) / most, 1.2)
    first = next(iter(strips.values()))[0]
    height = side * first.shape[1] / first.shape[2]
    strip_height = heading + 2 * height + 0.06 + label
    frame = Frame(len(strips) * strip_height, title, caption, legend=0.28)
    near = -np.inf if threshold is None else threshold
    for index, (name, (images, nearest, distances)) in enumerate(strips.items()):
        top = index * strip_height
        frame.text(MARGIN, top + 0.22, name, weight="bold", size=10)
        if shares and name in shares:
            frame.text(WIDTH - MARGIN, top + 0.22, shares[name], ha="right", size=9)
        top += heading
        for row, words in enumerate(("test", "nearest in\ntraining")):
            y = top + row * (height + 0.06) + height / 2
            frame.text(left - 0.1, y, words, ha="right", va="center", size=8.5)
        for place, i in enumerate(np.argsort(distances, kind="stable")):
            same = np.array_equal(images[i], nearest[i])
            look = {"edge": "#999999", "line": 0.6}
            if same or distances[i] < near:
                look = {"edge": _LEAK, "line": 3.0 if same else 1.6}
            x = left + place * (side + gap)
            for row, image in enumerate((images[i], nearest[i])):
                axes = frame.axes(x, top + row * (height + 0.06), side, height)
                show_image(axes, image, **look)
                if not same and distances[i] < near:
                    for spine in axes.spines.values():
                        spine.set_linestyle((0, (3, 1.5)))
            frame.text(
                x + side / 2,
                top + 2 * height + 0.23,
                "identical" if same else f"{distances[i]:#.3g}",
                ha="center",
                size=8.5,
                color=_LEAK if same else INK,
                weight="bold" if same else "normal",
            )
        frame.text(left - 0.1, top + 2 * height + 0.23, "distance", ha="right", size=8.5)
    handles = [Patch(fc="none", ec=_LEAK, lw=2.5, label="identical")]
    if threshold is not None:
        words = f"nearer than the threshold {short(threshold)}"
        handles.append(Patch(fc="none", ec=_LEAK, lw=1.4, ls=(0, (3, 1.5)), label=words))
    others = "not identical" if threshold is None else "farther"
    handles.append(Patch(fc="none", ec="#999999", lw=0.8, label=others))
    frame.legend(handles, len(handles))
    return frame.figure


@plt.rc_context(STYLE)
def distance_histogram(
    distances: Mapping[str, np.ndarray],
    title: str,
    caption: str,
    threshold: float,
    measure: str = "distance",
) -> Figure:
    """Draw how far the test images are from their nearest training image.

    Args:
        distances: name, for instance a protocol, to the distance `(n,)`, >= 0, of each normal test
            image to its nearest training image.
        title: the title of the figure.
        caption: the small print.
        threshold: the distance below which two images count as copies of one thing.
        measure: what the distance is, with its unit.

    Returns:
        The figure: a histogram per name, all on one x axis; what lies below the threshold is red.
    """
    frame = Frame(1.75 * len(distances) + 0.35, title, caption, legend=0.28)
    axes_of = frame.grid(len(distances), 1, sharex=True)[:, 0]
    highest = max([threshold, *(float(np.max(values)) for values in distances.values())])
    # An edge lies on the threshold, so that no bar is half red.
    width = threshold / max(1, round(40 * threshold / highest))
    edges = width * np.arange(np.floor(highest / width) + 2)
    for axes, (name, values) in zip(axes_of, distances.items(), strict=True):
        values = np.asarray(values, float)
        for kept, colour, hatch in (
            (values < threshold, _LEAK, None),
            (values >= threshold, _APART, "////"),
        ):
            axes.hist(values[kept], edges, color=colour, edgecolor=INK, linewidth=0.4, hatch=hatch)
        axes.axvline(threshold, **_LINE)
        count = int((values < threshold).sum())
        axes.set_title(name, loc="left")
        axes.set_title(
            f"{count:,} of {len(values):,} nearer than the threshold",
            loc="right",
            fontweight="normal",
        )
        axes.set(ylabel="test images", xlim=(0, edges[-1]))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(False, axis="x")
        sns.despine(ax=axes)
    axes_of[-1].set_xlabel(f"{measure} to the nearest training image")
    frame.legend(
        [
            Patch(fc=_LEAK, ec=INK, lw=0.4, label="nearer: counted as copies of one thing"),
            Patch(fc=_APART, ec=INK, lw=0.4, hatch="////", label="farther"),
            Line2D([], [], label=f"threshold {short(threshold)}", **_LINE),
        ],
        3,
    )
    return frame.figure
