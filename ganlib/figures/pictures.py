"""Tables of images: pairs, residuals, samples over epochs, leaks, worst errors, galleries.

Images are uint8 `(n, height, width, channels)`, 0..255.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ganlib.figures.style import (
    GROUP_COLOURS,
    INK,
    KIND_COLOURS,
    MARGIN,
    STYLE,
    WIDTH,
    Frame,
    panel_heading,
    short,
)

_LEAK = GROUP_COLOURS["train normal"]
_DASHES = (0, (3, 1.5))

Panels = Mapping[str, Mapping[str, Sequence]]  # method to kind to arrays, one entry an image


class _Table:
    """Columns of images, in groups; lengths in inches.

    There are `gap` between two images of a group, both ways, `between` two groups. Images fill what
    lies from `left` to `right`, but are no wider than `widest`.
    """

    def __init__(
        self,
        images: np.ndarray,
        groups: Sequence[int],
        left: float = MARGIN,
        right: float = WIDTH - MARGIN,
        gap: float = 0.06,
        between: float = 0.0,
        widest: float = 1.2,
    ):
        gaps = gap * (sum(groups) - len(groups)) + between * (len(groups) - 1)
        self.width = min((right - left - gaps) / sum(groups), widest)
        self.height = self.width * images.shape[1] / images.shape[2]
        self.pitch = self.height + gap
        self.left, self.groups = left, []
        for count in groups:
            self.groups.append(left + np.arange(count) * (self.width + gap))
            left = self.groups[-1][-1] + self.width + between
        self.right = left - between

    def span(self, group: int) -> tuple[float, float]:
        left = self.groups[group]
        return left[0], left[-1] + self.width - left[0]

    def name(self, frame: Frame, top: float, names: Sequence[str], size: float = 8.5) -> None:
        for row, name in enumerate(names):
            y = top + row * self.pitch + self.height / 2
            frame.text(self.left - 0.1, y, name, ha="right", va="center", size=size)

    def write(self, frame: Frame, top: float, words: Sequence[str], group: int = 0, **look) -> None:
        look = {"ha": "center", "size": 8.5} | look
        for left, each in zip(self.groups[group], words, strict=False):
            frame.text(left + self.width / 2, top, each, **look)

    def draw(
        self, frame: Frame, top: float, rows: Sequence, group: int = 0, highest: float = 0.0
    ) -> list[list[plt.Axes]]:
        drawn = []
        for row, images in enumerate(rows):
            drawn.append([])
            for left, image in zip(self.groups[group], images, strict=False):
                axes = frame.axes(left, top + row * self.pitch, self.width, self.height)
                scale = {"cmap": "gray", "vmax": 255}
                if image.ndim == 2:
                    scale = {"cmap": "magma", "vmax": highest or 1.0}
                elif image.shape[-1] == 1:
                    image = image[..., 0]
                axes.imshow(image, vmin=0, aspect="auto", **scale)
                axes.set(xticks=[], yticks=[])
                axes.grid(False)
                axes.spines[:].set(visible=True, color="#999999", linewidth=0.6)
                drawn[-1].append(axes)
        return drawn


def _first(panels: Mapping) -> np.ndarray:
    return next(iter(next(iter(panels.values())).values()))[0]


def _kind_handles(*words: str, **anomaly) -> list[Patch]:
    return [
        Patch(fc=KIND_COLOURS["normal"], ec=INK, lw=0.5, label="test normal"),
        Patch(fc=KIND_COLOURS["anomaly"], ec=INK, lw=0.5, label="test anomaly", **anomaly),
        *(Patch(fc="none", ec="none", label=each) for each in words),
    ]


@plt.rc_context(STYLE)
def reconstructions(panels: Panels, title: str, caption: str) -> Figure:
    """Draw images beside their reconstructions, up to five pairs in a row.

    Args:
        panels: method to "normal" and "anomaly", each the images, their reconstructions and their
            scores `(n,)`.

    Reference:
        Figures 4 (cloud) and 6 (casting).
    """
    counts = [len(kind[0]) for method in panels.values() for kind in method.values()]
    pairs = max(1, min(5, max(counts)))
    table = _Table(_first(panels), [2] * pairs, 0.86, gap=0.015, between=0.16, widest=1.5)
    heading, pitch = 0.5, table.height + 0.27
    rows = sum(math.ceil(count / pairs) for count in counts)
    frame = Frame(len(panels) * heading + rows * pitch, title, caption, legend_rows=1)
    top = 0.0
    for method, kinds in panels.items():
        frame.text(MARGIN, top + 0.22, panel_heading(panels, method), weight="bold", size=10)
        words = ("image", "reconstruction")
        table.write(frame, top + 0.43, words, size=7.5, color="#555555")
        top += heading
        for kind, (images, rebuilt, scores) in kinds.items():
            for i, pair in enumerate(zip(images, rebuilt, strict=True)):
                group = i % pairs
                if group == 0:
                    top += pitch if i else 0
                    table.name(frame, top, [kind], size=9.5)
                left, width = table.span(group)
                # One frame round the two: what belongs together is seen before it is read.
                look = {"fc": KIND_COLOURS[kind], "ls": "-" if kind == "normal" else "--"}
                frame.rectangle(left - 0.03, top - 0.03, width + 0.06, table.height + 0.06, **look)
                for axes in table.draw(frame, top, [pair], group)[0]:
                    axes.spines[:].set_visible(False)
                below = top + table.height + 0.17
                words = f"score {short(scores[i])}"
                frame.text(left + width / 2, below, words, ha="center", size=8.5)
            top += pitch
    frame.legend(_kind_handles(ls="--"))
    return frame.figure


def _residual_tables(
    panels: Panels,
    kinds: Mapping[str, tuple[str, str]],
    rows: Sequence[str],
    meaning: str,
    title: str,
    caption: str,
    across: int = 1,
) -> Figure:
    """Draw images under coloured strips, the mean of their residuals over the channels last.

    Each method has, by the key of `kinds` (its kind and the words above it), images row by row and
    perhaps scores and words for each column. Names of rows are written where one method fills the
    width.
    """
    kinds = {key: kinds[key] for key in kinds if any(key in panel for panel in panels.values())}
    counts = [max(len(p[key][0]) for p in panels.values() if key in p) for key in kinds]
    block, left = (WIDTH - MARGIN) / across, MARGIN + (0.9 if across == 1 else 0.0)
    places = [(i * block + left, (i + 1) * block - 0.6) for i in range(across)]
    tables = [_Table(_first(panels), counts, *place, between=0.2) for place in places]
    above = [
        textwrap.fill(words, max(10, int(tables[0].span(group)[1] / 0.064)))
        for group, (_, words) in enumerate(kinds.values())
    ]
    letters = max(6, int((tables[0].width + 0.06) / 0.068))
    below = {
        (method, key): [textwrap.fill(str(words), letters) for words in parts[-1]]
        for method, panel in panels.items()
        for key, parts in panel.items()
        if len(parts) > len(rows)
    }
    lines = max((words.count("\n") + 1 for each in below.values() for words in each), default=0)
    heading = 0.45 + 0.15 * max(words.count("\n") + 1 for words in above)
    pitch = heading + len(rows) * tables[0].pitch + 0.2 + 0.135 * lines
    frame = Frame(math.ceil(len(panels) / across) * pitch, title, caption, legend_rows=1)
    for index, (method, panel) in enumerate(panels.items()):
        table, top = tables[index % across], index // across * pitch + heading
        x, y = index % across * block + MARGIN, top - heading + 0.2
        frame.text(x, y, panel_heading(panels, method), weight="bold", size=10)
        if across == 1:
            table.name(frame, top, rows)
        means = {key: parts[len(rows) - 1].mean(axis=-1) for key, parts in panel.items()}
        highest = float(np.percentile(np.concatenate([m.ravel() for m in means.values()]), 99.5))
        end = top + len(rows) * table.pitch
        if below:
            frame.text(table.left - 0.1, end + 0.13, "score", ha="right", size=8.5)
        for group, (key, (kind, _)) in enumerate(kinds.items()):
            if key not in panel:
                continue
            start, width = table.span(group)
            frame.text(start, top - 0.17, above[group], size=8.5)
            hatch = "////" if kind == "anomaly" else None
            frame.rectangle(start, top - 0.11, width, 0.06, fc=KIND_COLOURS[kind], hatch=hatch)
            images = *panel[key][: len(rows) - 1], means[key]
            *_, drawn = table.draw(frame, top, images, group, highest)
            if below:
                table.write(frame, end + 0.13, [short(each) for each in panel[key][-2]], group)
                small = {"va": "top", "size": 7.2, "color": "#444444"}
                table.write(frame, end + 0.18, below[method, key], group, **small)
        scale = frame.axes(table.right + 0.06, end - table.pitch, 0.1, table.height)
        bar = frame.figure.colorbar(drawn[0].images[0], cax=scale, extend="max")
        bar.outline.set_linewidth(0.5)
        bar.ax.tick_params(labelsize=8, length=2)
        bar.locator = MaxNLocator(4)
        bar.set_label("grey levels", fontsize=8.5)
    frame.legend(_kind_handles(f"{meaning}: |image \N{MINUS SIGN} reconstruction|", hatch="////"))
    return frame.figure


@plt.rc_context(STYLE)
def residual_images(panels: Panels, title: str, caption: str) -> Figure:
    """Draw images above their residuals; a method's share a scale up to their 99.5th percentile.

    Args:
        panels: method to "normal" and "anomaly", each the images and their residuals, float32 of
            the same shape, grey levels 0..255. The paper shows two of each.

    Reference:
        Figure 7.
    """
    kinds = {kind: (kind, kind) for kind in KIND_COLOURS}
    rows = ("image", "residual")
    across = min(len(panels), 2)
    return _residual_tables(panels, kinds, rows, "lower row", title, caption, across)


@plt.rc_context(STYLE)
def worst_errors(panels: Panels, title: str, caption: str) -> Figure:
    """Draw the normal images with the highest scores and the anomalies with the lowest.

    Args:
        panels: method to "false alarms" and "misses" (either may be absent), each the images and
            their reconstructions, their residuals, float32 of the same shape, grey levels 0..255,
            their scores `(n,)` and a few words for each. Worst first.
    """
    kinds = {
        "false alarms": ("normal", "worst false alarms: normal images with high scores"),
        "misses": ("anomaly", "worst misses: anomalies with low scores"),
    }
    rows = ("image", "reconstruction", "residual")
    return _residual_tables(panels, kinds, rows, "residual", title, caption)


@plt.rc_context(STYLE)
def leaks(
    strips: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    title: str,
    caption: str,
    shares: Mapping[str, str] | None = None,
    threshold: float | None = None,
) -> Figure:
    """Draw test images above their nearest training images, from nearest to farthest.

    Identical images have a thick red frame, others nearer than the threshold a dashed one.

    Args:
        strips: name, for instance a protocol, to some test images, the nearest training image of
            each and the distances `(n,)`.
        shares: name to a few words, up to 90 letters, beside it.
        threshold: the distance below which two images count as copies; None marks only identical
            images.
    """
    first, *_ = next(iter(strips.values()))
    columns = max(len(distances) for *_, distances in strips.values())
    table = _Table(first, [columns], 0.92, gap=0.1)
    pitch = 0.42 + 2 * table.pitch + 0.36
    frame = Frame(len(strips) * pitch, title, caption, legend_rows=1)
    for index, (name, (images, nearest, distances)) in enumerate(strips.items()):
        top = index * pitch
        frame.text(MARGIN, top + 0.22, name, weight="bold", size=10)
        frame.text(WIDTH - MARGIN, top + 0.22, (shares or {}).get(name, ""), ha="right", size=9)
        top += 0.42
        table.name(frame, top, ("test", "nearest in\ntraining"))
        order = np.argsort(distances, kind="stable")
        drawn = table.draw(frame, top, (images[order], nearest[order]))
        top += 2 * table.pitch + 0.13
        frame.text(table.left - 0.1, top, "distance", ha="right", size=8.5)
        for place, i in enumerate(order):
            words, look, edge = f"{distances[i]:#.3g}", {}, {}
            if np.array_equal(images[i], nearest[i]):
                words, look = "identical", {"color": _LEAK, "weight": "bold"}
                edge = {"color": _LEAK, "linewidth": 3.0}
            elif threshold is not None and distances[i] < threshold:
                edge = {"color": _LEAK, "linewidth": 1.6, "linestyle": _DASHES}
            for row in drawn:
                row[place].spines[:].set(**edge)
            x = table.groups[0][place] + table.width / 2
            frame.text(x, top, words, ha="center", size=8.5, **look)
    handles = [Patch(fc="none", ec=_LEAK, lw=2.5, label="identical")]
    if threshold is not None:
        words = f"nearer than the threshold {short(threshold)}"
        handles.append(Patch(fc="none", ec=_LEAK, lw=1.4, ls=_DASHES, label=words))
    others = "not identical" if threshold is None else "farther"
    handles.append(Patch(fc="none", ec="#999999", lw=0.8, label=others))
    frame.legend(handles)
    return frame.figure


@plt.rc_context(STYLE)
def samples_over_epochs(
    samples: np.ndarray, epochs: Sequence[int], title: str, caption: str
) -> Figure:
    """Draw what a generator makes of the same latent vectors, a row per epoch.

    Args:
        samples: uint8 `(n_epochs, n_samples, height, width, channels)`, 0..255, column j always
            from the same latent vector.
    """
    table = _Table(samples[0], [samples.shape[1]], 0.98, gap=0.05)
    frame = Frame(0.3 + len(samples) * table.pitch, title, caption)
    frame.text(MARGIN, 0.22, "latent vector", size=8.5)
    names = [f"$z_{{{column}}}$" for column in range(1, samples.shape[1] + 1)]
    table.write(frame, 0.22, names, size=9)
    table.name(frame, 0.3, [f"epoch {epoch}" for epoch in epochs], size=9)
    table.draw(frame, 0.3, samples)
    return frame.figure


@plt.rc_context(STYLE)
def image_grid(
    images: np.ndarray, titles: Sequence[str] | None, title: str, caption: str
) -> Figure:
    """Draw a gallery of images, up to eight in a row.

    Args:
        images: at least one.
        titles: a few words above each image, or None.
    """
    columns = max(1, min(len(images), 8))
    table = _Table(images, [columns], gap=0.08, widest=2.0)
    letters = max(6, int(table.width / 0.075))
    words = [textwrap.fill(str(each), letters) for each in titles or []]
    label = 0.06 + 0.14 * max(each.count("\n") + 1 for each in words) if words else 0.0
    pitch = table.pitch + label
    frame = Frame(math.ceil(len(images) / columns) * pitch, title, caption)
    for start in range(0, len(images), columns):
        top = start // columns * pitch + label
        table.draw(frame, top, [images[start : start + columns]])
        table.write(frame, top - 0.05, words[start : start + columns], va="bottom", size=8)
    return frame.figure
