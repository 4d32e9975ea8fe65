"""Draw tables of images: pairs, residuals, samples over epochs, leaks, worst errors, galleries.

Images are uint8 `(n, h, w, channels)`, residuals float32 grey levels, with one scale per method.
"""

import itertools
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch
from matplotlib.ticker import MaxNLocator
from scipy import ndimage

from ganlib.figures import style
from ganlib.figures.style import INK, KIND_COLOURS, MARGIN, RED, STYLE, WIDTH, Frame, short

Panels = Mapping[str, Mapping[str, Sequence]]  # method to kind to arrays, one entry per image
_HEADING = {"weight": "bold", "size": 10}
_RINGS = {
    True: ("ring: the defect, as outlined", "-"),
    False: ("ring: the highest residual (no outline is known)", (0, (2, 1))),
}


class _Table:
    """Columns of images in groups. Sizes are in inches; `between` is the gap between groups."""

    def __init__(
        self, images, groups, left=MARGIN, right=WIDTH - MARGIN, gap=0.06, between=0.0, widest=1.2
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

    def write(self, frame: Frame, top: float, words: Sequence, group=0, shift=0.0, **look) -> None:
        for left, each in zip(self.groups[group] + shift, words, strict=False):
            frame.text(left + self.width / 2, top, each, ha="center", **look)

    def draw(self, frame: Frame, top: float, images, name="", group=0, shift=0.0, highest=0.0):
        """Draw a named row of images (residuals have no channels); return their axes."""
        middle = top + self.height / 2
        frame.text(self.left + shift - 0.1, middle, name, ha="right", va="center")
        drawn = []
        for left, image in zip(self.groups[group] + shift, images, strict=False):
            axes = frame.figure.add_axes(frame.box(left, top, self.width, self.height))
            scale = {"cmap": "gray", "vmax": 255}
            if image.ndim == 2:
                scale = {"cmap": "magma", "vmax": highest or 1.0}
            elif image.shape[-1] == 1:
                image = image[..., 0]
            axes.imshow(image, vmin=0, aspect="auto", **scale)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color="#999999", linewidth=0.6)
            drawn.append(axes)
        return drawn


def _wrap(words: str, inches: float, letter: float = 0.068) -> str:
    return textwrap.fill(str(words), max(6, int(inches / letter)))


def _lines(words: Iterable[str]) -> int:
    return max((each.count("\n") + 1 for each in words if each), default=0)


def _first(panels: Panels) -> np.ndarray:
    return next(iter(next(iter(panels.values())).values()))[0]


def spots(residuals: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the rings to draw in images, float32 `(n, 4)`: x, y, radius, and 1 if from a mask.

    `masks` are bool `(n, h, w)`. Without an outlined defect, the ring is where the residuals
    `(n, h, w, channels)`, averaged over the channels and smoothed, are highest.
    """
    side, found = residuals.shape[1], []
    heat = ndimage.gaussian_filter(residuals.mean(axis=-1), (0, side / 24, side / 24))
    for mask, each in zip(masks, heat, strict=True):
        place = np.argwhere(mask) if mask.any() else np.argwhere(each == each.max())[:1]
        low, high = place.min(axis=0), place.max(axis=0)
        radius = max(np.hypot(*(high - low)) / 2 + side / 32, side / 10)
        found.append([*(low + high)[::-1] / 2, radius, mask.any()])
    return np.array(found, "float32").reshape(-1, 4)


def _ring(axes, spot: np.ndarray) -> None:
    *middle, radius, outlined = spot
    look = {"fill": False, "ls": _RINGS[bool(outlined)][1], "gid": "ring"}
    for colour, width in ((INK, 3), ("#ffe600", 1.6)):
        axes.add_patch(Circle(middle, radius, color=colour, lw=width, **look))


def _ring_handles(spots: Iterable[np.ndarray]) -> list[Patch]:
    known = {bool(outlined) for each in spots for *_, outlined in each}
    look = {"fill": False, "ec": "#c9b400", "lw": 1.6}
    return [Patch(label=_RINGS[each][0], ls=_RINGS[each][1], **look) for each in sorted(known)]


def _alike(images: np.ndarray) -> float:
    """Return the mean pairwise correlation of images: 1 if they differ in brightness alone."""
    pixels = images.astype(float) - images.mean(axis=(1, 2), keepdims=True)
    pixels = pixels.reshape(len(images), -1)
    pixels /= np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1e-9)
    return float((pixels @ pixels.T)[np.triu_indices(len(images), 1)].mean())


def _collapsed(made: np.ndarray, real: np.ndarray) -> bool:
    """Return whether generated images are much more alike than real ones: mode collapse."""
    return _alike(made) > max(0.5, _alike(real) + 0.2)


def _kind_handles(**anomaly) -> list[Patch]:
    looks, edge = {"normal": {}, "anomaly": anomaly}, {"ec": INK, "lw": 0.5}
    return [Patch(fc=KIND_COLOURS[k], label=f"test {k}", **edge, **looks[k]) for k in looks]


@plt.rc_context(STYLE)
def reconstructions(panels: Panels, title: str, caption: str) -> Figure:
    """Draw "normal" and "anomaly" images, reconstructions and scores `(n,)`: figures 4 and 6.

    With `spots` as a fourth array, anomalies are ringed. If reconstructions are much more alike
    than the images, the heading says "mode collapse".
    """
    counts = [len(kind[0]) for method in panels.values() for kind in method.values()]
    pairs = max(1, min(5, max(counts)))
    table = _Table(_first(panels), [2] * pairs, 0.86, gap=0.015, between=0.16, widest=1.5)
    heading, pitch = 0.5, table.height + 0.27
    rows = sum(math.ceil(count / pairs) for count in counts)
    frame = Frame(len(panels) * heading + rows * pitch, title, caption, legend_rows=1)
    top = 0.0
    for method, kinds in panels.items():
        images, made = (np.concatenate([parts[i] for parts in kinds.values()]) for i in (0, 1))
        words = style.panel_heading(panels, method)
        if len(images) > 2 and _collapsed(made, images):
            words += ": nearly one picture for every image (mode collapse)"
        frame.text(MARGIN, top + 0.22, words, **_HEADING)
        table.write(frame, top + 0.43, ("image", "reconstruction"), size=7.5, color="#555555")
        top += heading - pitch
        for kind, parts in kinds.items():
            look = {"fc": KIND_COLOURS[kind], "ls": "-" if kind == "normal" else "--"}
            for i, (*pair, score) in enumerate(zip(*parts[:3], strict=True)):
                group = i % pairs
                top += 0 if group else pitch
                left, width = table.span(group)
                frame.rectangle(left - 0.03, top - 0.03, width + 0.06, table.height + 0.06, **look)
                for axes in table.draw(frame, top, pair, "" if group else kind, group):
                    axes.spines[:].set_visible(False)
                    if kind == "anomaly" and len(parts) > 3:
                        _ring(axes, parts[3][i])
                below = top + table.height + 0.17
                frame.text(left + width / 2, below, f"score {short(score)}", ha="center")
        top += pitch
    ringed = [each["anomaly"][3] for each in panels.values() if len(each["anomaly"]) > 3]
    frame.legend([*_kind_handles(ls="--"), *_ring_handles(ringed)])
    return frame.figure


def _residual_tables(
    panels, kinds, rows, meaning, title, caption, across=1, own_maps=False, rings=None
) -> Figure:
    """Draw rows of images, the last one with their residuals averaged over the channels.

    A panel's entries, by key of `kinds`, may end with scores and words for each column. `rings`
    maps a panel to the spots to ring in its anomalies.
    """
    kinds = {key: kinds[key] for key in kinds if any(key in panel for panel in panels.values())}
    counts = [max(len(p[key][0]) for p in panels.values() if key in p) for key in kinds]
    block, left = (WIDTH - MARGIN) / across, MARGIN + (0.9 if across == 1 else 0.0)
    table, depth = _Table(_first(panels), counts, left, block - 0.6, between=0.2), len(rows)
    above = [_wrap(words, table.span(i)[1], 0.064) for i, (_, words) in enumerate(kinds.values())]
    below = {
        (method, key): [_wrap(words, table.width + 0.06) for words in parts[-1]]
        for method, panel in panels.items()
        for key, parts in panel.items()
        if len(parts) > depth
    }
    heading = 0.45 + 0.15 * _lines(above)
    pitch = heading + depth * table.pitch + 0.2 + 0.135 * _lines(itertools.chain(*below.values()))
    frame = Frame(math.ceil(len(panels) / across) * pitch, title, caption, legend_rows=1)
    for index, (method, panel) in enumerate(panels.items()):
        shift, top = index % across * block, index // across * pitch + heading
        place = shift + MARGIN, top - heading + 0.2
        frame.text(*place, style.panel_heading(panels, method), **_HEADING)
        means = {key: parts[depth - 1].mean(axis=-1) for key, parts in panel.items()}
        highest = float(np.percentile(np.concatenate([m.ravel() for m in means.values()]), 99.5))
        end = top + depth * table.pitch
        if below:
            frame.text(table.left - 0.1, end + 0.13, "score", ha="right")
        for group, (key, (kind, _)) in enumerate(kinds.items()):
            if key not in panel:
                continue
            start, width = table.span(group)
            frame.text(start + shift, top - 0.17, above[group])
            look = {"fc": KIND_COLOURS[kind], "hatch": "////" if kind == "anomaly" else None}
            frame.rectangle(start + shift, top - 0.11, width, 0.06, **look)
            for row, images in enumerate((*panel[key][: depth - 1], means[key])):
                name = rows[row] if across == 1 and group == 0 else ""
                y = top + row * table.pitch
                drawn = table.draw(frame, y, images, name, group, shift, highest)
                if rings and kind == "anomaly":
                    for axes, spot in zip(drawn, rings[method], strict=True):
                        _ring(axes, spot)
            if below:
                table.write(frame, end + 0.13, [short(each) for each in panel[key][-2]], group)
                small = {"va": "top", "size": 7.2, "color": "#444444"}
                table.write(frame, end + 0.18, below[method, key], group, **small)
        box = frame.box(table.right + shift + 0.06, end - table.pitch, 0.1, table.height)
        scale = frame.figure.add_axes(box)
        look = {"extend": "max", "ticks": MaxNLocator(4)}
        bar = frame.figure.colorbar(drawn[0].images[0], cax=scale, **look)
        bar.outline.set_linewidth(0.5)
        scale.tick_params(labelsize=8, length=2)
        bar.set_label("" if own_maps else "grey levels", fontsize=8.5)
    what = "how unusual each place is" if own_maps else "|image \N{MINUS SIGN} reconstruction|"
    words = f"{meaning}: {what}"
    handles = [*_kind_handles(hatch="////"), *_ring_handles((rings or {}).values())]
    frame.legend([*handles, Patch(fc="none", ec="none", label=words)])
    return frame.figure


@plt.rc_context(STYLE)
def residual_images(panels: Panels, title: str, caption: str, own_maps=False) -> Figure:
    """Draw "normal" and "anomaly" images above their residuals: figure 7 of the paper.

    With `own_maps`, the residuals are each method's own anomaly maps instead of grey levels. With
    `spots` as a third array, anomalies are ringed.
    """
    kinds, rows = {kind: (kind, kind) for kind in KIND_COLOURS}, ("image", "residual")
    across = min(len(panels), 2)
    rings = {name: p["anomaly"][2] for name, p in panels.items() if len(p["anomaly"]) > 2}
    panels = {name: {k: each[:2] for k, each in panel.items()} for name, panel in panels.items()}
    about = (panels, kinds, rows, "lower row", title, caption, across, own_maps, rings)
    return _residual_tables(*about)


@plt.rc_context(STYLE)
def worst_errors(panels: Panels, title: str, caption: str) -> Figure:
    """Draw the normal images with the highest scores and the anomalies with the lowest.

    The kinds are "false alarms" and "misses" (either may be absent). Each has images,
    reconstructions, residuals, scores `(n,)` and a few words per image.
    """
    kinds = {
        "false alarms": ("normal", "worst false alarms: normal images with high scores"),
        "misses": ("anomaly", "worst misses: anomalies with low scores"),
    }
    rows = ("image", "reconstruction", "residual")
    return _residual_tables(panels, kinds, rows, "residual", title, caption)


@plt.rc_context(STYLE)
def leaks(
    strips: Mapping[str, tuple], title: str, caption: str, shares: Mapping, threshold: float
) -> Figure:
    """Draw test images above their nearest training images, from nearest to farthest.

    `strips` maps a protocol to test images, the nearest training image of each, and distances
    `(n,)`; `shares` maps it to a few words. Images nearer than `threshold` count as copies.
    """
    images, *_ = next(iter(strips.values()))
    table = _Table(images, [max(len(each) for *_, each in strips.values())], 0.92, gap=0.1)
    pitch = 0.42 + 2 * table.pitch + 0.36
    frame = Frame(len(strips) * pitch, title, caption, legend_rows=1)
    identical, far = {"color": RED, "linewidth": 3.0}, {"color": "#999999", "linewidth": 0.8}
    near = {"color": RED, "linewidth": 1.6, "linestyle": (0, (3, 1.5))}
    nearer = f"nearer than the threshold {short(threshold)}"
    legend = {"identical": identical, nearer: near, "farther": far}
    for index, (name, (images, nearest, distances)) in enumerate(strips.items()):
        top = index * pitch + 0.42
        frame.text(MARGIN, top - 0.2, name, **_HEADING)
        frame.text(WIDTH - MARGIN, top - 0.2, shares.get(name, ""), ha="right", size=9)
        order = np.argsort(distances, kind="stable")
        above = table.draw(frame, top, images[order], "test")
        below = table.draw(frame, top + table.pitch, nearest[order], "nearest in\ntraining")
        top += 2 * table.pitch + 0.13
        frame.text(table.left - 0.1, top, "distance", ha="right")
        for i, left, *pair in zip(order, table.groups[0], above, below, strict=False):
            words, look, edge = f"{distances[i]:#.3g}", {}, near if distances[i] < threshold else {}
            if np.array_equal(images[i], nearest[i]):
                words, look, edge = "identical", {"color": RED, "weight": "bold"}, identical
            for axes in pair:
                axes.spines[:].set(**edge)
            frame.text(left + table.width / 2, top, words, ha="center", **look)
    frame.legend([Patch(label=name, fill=False, **look) for name, look in legend.items()])
    return frame.figure


@plt.rc_context(STYLE)
def samples_over_epochs(
    samples, epochs: Sequence[int], title: str, caption: str, real: np.ndarray | None = None
) -> Figure:
    """Draw `samples[epoch, latent vector]`, one row per epoch, with `real` images below.

    If the last samples are much more alike than the real images, the title says "mode collapse".
    """
    table = _Table(samples[0], [samples.shape[1]], 0.98, gap=0.05)
    if real is not None and _collapsed(samples[-1], real):
        title += ". Mode collapse: nearly one picture for every z"
    count = len(samples) + (real is not None)
    frame = Frame(0.3 + count * table.pitch, title, caption)
    frame.text(MARGIN, 0.22, "latent vector")
    names = [f"$z_{{{column}}}$" for column in range(1, samples.shape[1] + 1)]
    table.write(frame, 0.22, names, size=9)
    for row, (epoch, images) in enumerate(zip(epochs, samples, strict=True)):
        table.draw(frame, 0.3 + row * table.pitch, images, f"epoch {epoch}")
    if real is not None:
        table.draw(frame, 0.3 + len(samples) * table.pitch, real, "training\nimages")
    return frame.figure


@plt.rc_context(STYLE)
def image_grid(
    images: np.ndarray, titles: Sequence[str] | None, title: str, caption: str
) -> Figure:
    """Draw at least one image, up to eight per row, each under its title."""
    columns = min(len(images), 8)
    table = _Table(images, [columns], gap=0.08, widest=2.0)
    words = [_wrap(each, table.width, 0.075) for each in titles or [""] * len(images)]
    label = 0.06 + 0.14 * _lines(words)
    pitch = table.pitch + label
    frame = Frame(math.ceil(len(images) / columns) * pitch, title, caption)
    for start in range(0, len(images), columns):
        top, part = start // columns * pitch + label, slice(start, start + columns)
        table.draw(frame, top, images[part])
        table.write(frame, top - 0.05, words[part], va="bottom", size=8)
    return frame.figure
