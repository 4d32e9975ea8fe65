"""Draw figures 1 and 2, AnoGAN and GANomaly, from the Keras models that are actually trained."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Polygon
from matplotlib.path import Path

from ganlib.figures.style import INK, RED, STYLE, WIDTH, Frame

_COLOURS = {"conv": "#8fbbe0", "convT": "#f2b76b", "other": "#dddddd"}
_NAMES = {"conv": "Conv2D", "convT": "Conv2DTranspose", "other": "other"}
_EXTRAS = {"BatchNormalization": "BN", "LeakyReLU": "LeakyReLU", "ReLU": "ReLU"}
_GOLD, _GREY, _DARK, _MADE = "#a07800", "#7a8896", "#444444", "#fdeed7"


class Block(NamedTuple):
    """A convolution, or another layer that changes the size, with normalization and activation."""

    shape: tuple[int, ...]
    kind: str  # a key of _COLOURS
    operation: str
    extras: tuple[str, ...]  # the normalization and activation after it
    is_feature: bool  # the first of several outputs: the f of a discriminator


def _times(shape: Sequence[int]) -> str:
    return "\N{MULTIPLICATION SIGN}".join(str(size) for size in shape)


def _shape(model) -> str:
    return _times(model.inputs[0].shape[1:])


def read_blocks(model) -> list[Block]:
    """Return the blocks of a Keras model whose layers form a chain."""
    blocks: list[Block] = []
    enlarged = ""
    for layer in model.layers:
        name, shape = type(layer).__name__, layer.output.shape[1:]
        extra = layer.activation.__name__ if name == "Activation" else _EXTRAS.get(name)
        if name == "UpSampling2D":  # drawn together with the next convolution
            enlarged = "up, "
        elif "Conv2D" in name:
            kind = "convT" if "Transpose" in name else "conv"
            stride = f" /{layer.strides[0]}" if max(layer.strides) > 1 else ""
            operation = f"{enlarged}{kind} {_times(layer.kernel_size)}{stride}"
            blocks.append(Block(shape, kind, operation, (), False))
            enlarged = ""
        elif blocks and np.prod(shape) != np.prod(blocks[-1].shape):
            blocks.append(Block(shape, "other", name, (), False))
        elif blocks and extra:
            blocks[-1] = blocks[-1]._replace(extras=(*blocks[-1].extras, extra))
        if len(model.outputs) > 1 and layer.output is model.outputs[0]:
            blocks[-1] = blocks[-1]._replace(is_feature=True)
    return blocks


class _Drawing:
    """A drawing on one axes of `WIDTH` by `height` units of an inch, with y pointing up."""

    def __init__(self, height: float, title: str, caption: str, models: Sequence):
        self.frame = Frame(height, title, caption)
        self.axes = self.frame.figure.add_axes(self.frame.box(0, 0, WIDTH, height))
        self.axes.set(xlim=(0, WIDTH), ylim=(0, height))
        self.axes.axis("off")
        self.models, self.networks = models, [read_blocks(model) for model in models]
        self.largest = np.log2(max(b.shape[0] for blocks in self.networks for b in blocks))

    def text(self, x: float, y: float, words: str, size: float = 8.5, **look) -> None:
        look = {"ha": "center", "va": "center", "zorder": 6, "linespacing": 1.12} | look
        self.axes.text(x, y, words, size=size, **look)

    def under(self, x: float, y: float, shape: str, words: str = "") -> None:
        self.text(x, y - 0.43, shape, 7.8, va="top", weight="bold")
        self.text(x, y - 0.565, words, 7.2, va="top", color=_DARK)

    def arrow(self, *points: tuple[float, float], colour: str = INK, **look) -> None:
        look = {"lw": 1.1, "arrowstyle": "-|>", "mutation_scale": 9, "zorder": 2} | look
        self.axes.add_patch(FancyArrowPatch(path=Path(points), color=colour, **look))

    def box(self, x, y, words="", width=0.56, height=0.56, size=11.0, round=0.0, **look) -> None:
        look = {"fc": "white", "ec": INK, "lw": 1.2, "zorder": 4} | look
        style = f"round,pad=0,rounding_size={round}" if round else "square,pad=0"
        corner = x - width / 2, y - height / 2
        self.axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, **look))
        self.text(x, y, words, size)

    def loss(self, x: float, y: float, words: str, width: float, height: float = 0.44) -> None:
        look = {"fc": "#fff3c4", "ec": _GOLD, "lw": 1, "zorder": 5, "round": 0.08}
        self.box(x, y, words, width, height, 8.5, **look)

    def vector(self, x: float, y: float, words: str = "") -> None:
        self.text(x - 0.12, y, words, 11, ha="right")
        for i in range(5):
            fill = "#f7d9e3" if i % 2 else "white"
            self.box(x, y - 0.24 + 0.12 * i, width=0.12, height=0.12, fc=fill, lw=0.8)

    def cuboid(self, x: float, y: float, block: Block, size: float, pale: bool = False) -> float:
        """Draw a block (height: image side, width: channels, both log); return half its width."""
        height = size * (0.16 + 0.84 * np.log2(block.shape[0]) / self.largest)
        width = size * (0.10 + 0.035 * np.log2(block.shape[-1]))
        depth = np.array([0.24, 0.144]) * height
        right, up = np.array([width, 0]), np.array([0, height])
        low = np.array([x, y]) - (right + up + depth) / 2
        colour = np.array(to_rgb("#eef1f4" if pale else _COLOURS[block.kind]))
        hatch = "///" if block.kind == "convT" and not pale else None
        look = {"ec": _GREY if pale else INK, "lw": 0.7, "zorder": 3, "joinstyle": "round"}
        for corner, one, other, front in (
            (low, right, up, {"fc": colour, "hatch": hatch}),
            (low + up, right, depth, {"fc": 0.45 * colour + 0.55}),
            (low + right, depth, up, {"fc": 0.84 * colour}),
        ):
            corners = [corner, corner + one, corner + one + other, corner + other]
            self.axes.add_patch(Polygon(corners, **front, **look))
        return (width + depth[0]) / 2 + 0.03

    def network(self, index, y, left, right, name, backwards=False) -> np.ndarray:
        """Draw a network; return the x of each block's entry, center and exit."""
        blocks = self.networks[index]
        step = (right - left) / len(blocks)
        words = f"{name}, {self.models[index].count_params():,} parameters"
        self.text(left + 0.1, y + 0.55, words, ha="left", weight="bold")
        places = []
        for i, block in enumerate(blocks):
            x = right - (i + 0.5) * step if backwards else left + (i + 0.5) * step
            half = self.cuboid(x, y, block, 0.62) * (-1 if backwards else 1)
            if places:
                self.arrow((places[-1][2], y), (x - half, y), lw=0.8)
            places.append((x - half, x, x + half))
            glue = ", " if len(", ".join(block.extras)) * 0.056 < step else "\n"  # inch per letter
            extras = glue.join(block.extras)
            self.under(x, y, _times(block.shape), f"{block.operation}\n{extras}".strip())
        return np.array(places)

    def small_network(self, blocks, left: float, right: float, y: float, name: str, side=1) -> None:
        look = {"ec": _GREY, "lw": 1.1, "ls": "--", "zorder": 1, "round": 0.06}
        self.box((left + right) / 2, y, "", right - left, 0.84, **look)
        step = (right - left - 0.16) / len(blocks)
        for i, block in enumerate(blocks):
            self.cuboid(left + 0.08 + (i + 0.5) * step, y, block, min(0.5, 1.6 * step), pale=True)
        self.text((left + right) / 2, y + 0.53 * side, name, weight="bold", color="#4d5a67")

    def legend(self, y: float, **lines: str) -> Figure:
        present, handles = {block.kind for blocks in self.networks for block in blocks}, []
        for kind in filter(present.__contains__, _COLOURS):
            look = {"hatch": "////" * (kind == "convT"), "fc": _COLOURS[kind], "ec": INK}
            handles.append(Patch(lw=0.7, label=_NAMES[kind], **look))
        for name, colour in lines.items():
            line = {"lw": 1.1, "ls": "--" if colour == RED else "-", "marker": ">", "ms": 4}
            handles.append(Line2D([], [], color=colour, label=name, **line))
        note = "block height: image side, width: channels (log)"
        handles.append(Patch(fc="none", ec="none", label=note))
        look = {"ncols": len(handles), "columnspacing": 1.3, "handletextpad": 0.5, "fontsize": 8}
        place = {"loc": "center", "bbox_to_anchor": (0.5, y / self.frame.height)}
        self.axes.legend(handles=handles, **place, **look)
        return self.frame.figure


@plt.rc_context(STYLE)
def anogan_architecture(generator, discriminator, title: str, caption: str) -> Figure:
    """Draw figure 1 of the paper: AnoGAN's training and its search for the z of a new image."""
    draw = _Drawing(7.86, title, caption, (generator, discriminator))
    grey = {"size": 8, "color": _DARK}
    panel = {"fc": "#fafafa", "ec": "#cccccc", "lw": 0.8, "zorder": 0, "round": 0.1}
    for y, height, words in (
        (5.94, 3.8, "Step 1   Train G and D on normal images"),
        (2.14, 3.56, "Step 2   Find z for each new image x, with G and D frozen"),
    ):
        draw.box(WIDTH / 2, y, width=WIDTH - 0.2, height=height, **panel)
        draw.text(0.24, y + height / 2 - 0.18, words, 10, ha="left", weight="bold")
    z, out, g, d, left, right = 0.62, WIDTH - 0.6, 6.86, 5.3, 1.0, WIDTH - 1.12
    draw.vector(z, g, "z")
    draw.under(z, g, _shape(generator), "random")
    ways = draw.network(0, g, left, right, "G  generator")
    draw.arrow((z + 0.09, g), (ways[0, 0], g))
    draw.arrow((ways[-1, 2], g), (out - 0.3, g))
    draw.box(out, g, "$G(z)$", fc=_MADE)
    draw.text(out, g + 0.37, "fake", **grey)
    ways = draw.network(1, d, left, right, "D  discriminator", backwards=True)
    draw.arrow((out, g - 0.3), (out, d + 0.07), (ways[0, 0], d + 0.07))
    draw.arrow((out, d - 0.48), (out, d - 0.07), (ways[0, 0], d - 0.07))
    draw.box(out, d - 0.78, "$x$")
    draw.text(out, d - 1.15, "real, " + _shape(discriminator), 7.2, color=_DARK)
    draw.arrow((ways[-1, 2], d), (z + 0.4, d))
    draw.loss(z, d, "real\nor fake?", 0.76, 0.42)
    draw.text(z, d - 0.28, "trains D, and\nG against it", 7.8, va="top", color=RED)
    end = next(i for i, block in enumerate(draw.networks[1]) if block.is_feature)
    draw.text(ways[end, 1], d + 0.3, "features $f$", **grey)

    up, middle, down, lane, image, feature, total = 2.82, 2.14, 1.46, 0.66, 3.72, 6.9, 7.42
    draw.vector(z, up, "z")
    draw.small_network(draw.networks[0], 1.05, 2.85, up, "G, frozen")
    draw.arrow((z + 0.09, up), (1.03, up))
    draw.arrow((2.87, up), (image - 0.3, up))
    draw.box(image, up, "$G(z)$", fc=_MADE)
    draw.box(image, down, "$x$")
    draw.text(image, down - 0.38, "new image")
    for y, name, side in ((up, "D up to f, frozen", 1), (down, "the same", -1)):
        draw.small_network(draw.networks[1][: end + 1], 4.5, 5.85, y, name, side)
        draw.arrow((image + 0.3, y), (4.48, y))
        draw.arrow((5.87, y), (feature - 0.4, y))
        for x, gap in ((image, 0.3), (feature, 0.14)):
            draw.arrow((x, middle), (x, y - side * gap), colour=_GOLD)
    draw.text(feature, up, "$f(G(z))$", 11)
    draw.text(feature, down, "$f(x)$", 11)
    draw.loss(image, middle, "residual loss\n$L_R=\\Sigma|x-G(z)|$", 1.36, 0.4)
    draw.loss(feature, middle, "discrimination loss\n$L_D=\\Sigma|f(x)-f(G(z))|$", 1.7, 0.4)
    draw.loss(total, lane, "$L(z)=(1-\\lambda)\\,L_R+\\lambda\\,L_D$", 1.9, 0.3)
    note = "after the last step: anomaly score A(x) = L(z)"
    draw.text(total - 1.05, lane - 0.14, note, ha="right", **grey)
    corner, side, edge, roof = image - 0.82, total + 0.6, WIDTH - 0.3, 3.56
    path = (image - 0.68, middle), (corner, middle), (corner, lane), (total - 0.96, lane)
    draw.arrow(*path, colour=_GOLD)
    draw.arrow((feature + 0.86, middle), (side, middle), (side, lane + 0.16), colour=_GOLD)
    path = (total + 0.96, lane), (edge, lane), (edge, roof), (z, roof), (z, up + 0.33)
    draw.arrow(*path, colour=RED, ls="--", lw=1.5)
    draw.text(edge, 3.73, "gradient step: changes z alone", ha="right", color=RED, weight="bold")
    return draw.legend(0.17, data=INK, loss=_GOLD, gradient=RED)


@plt.rc_context(STYLE)
def ganomaly_architecture(
    encoder, decoder, encoder2, discriminator, title: str, caption: str, weights=(1, 50, 1)
) -> Figure:
    """Draw figure 2: GANomaly with its loss weights (adversarial, contextual, encoder)."""
    draw = _Drawing(7.1, title, caption, (encoder, decoder, encoder2, discriminator))
    down, up, again, judge = rows = 6.38, 4.8, 3.22, 1.54
    names = "$G_E$  encoder of the generator", "$G_D$  decoder of the generator"
    names += "$E$  second encoder", "$D$  discriminator"
    ways = [draw.network(i, rows[i], 1.3, WIDTH - 1.2, names[i], i == 1) for i in range(4)]
    first, last = [each[0, 0] for each in ways], [each[-1, 2] for each in ways]
    image, vector, lane, side = 0.86, WIDTH - 0.8, 0.3, WIDTH - 0.42
    between, middle, above = (down + up) / 2, (down + up + 2 * again) / 4, judge + 0.62
    draw.box(image, down, "$x$")
    draw.text(image, down + 0.38, "image, " + _shape(encoder), 7.2, color=_DARK)
    draw.arrow((image + 0.3, down), (first[0], down))
    draw.vector(vector, between, "$z$")
    draw.text(vector - 0.12, between - 0.2, _shape(decoder), 7.8, ha="right", weight="bold")
    draw.arrow((last[0], down), (vector, down), (vector, between + 0.33))
    draw.arrow((vector, between - 0.33), (vector, up), (first[1], up))
    draw.box(image, up, r"$\hat{x}$", fc=_MADE)
    draw.arrow((last[1], up), (image + 0.3, up))
    draw.arrow((image, up - 0.3), (image, again), (first[2], again))
    draw.vector(vector, again)
    draw.text(vector, again + 0.44, r"$\hat{z}$", 11)
    draw.under(vector, again, _shape(decoder))
    draw.arrow((last[2], again), (vector - 0.09, again))

    low, high = judge - 0.08, judge + 0.08
    draw.arrow((image - 0.3, down), (lane, down), (lane, low), (first[3], low))
    draw.arrow((image, again), (image, high), (first[3], high))
    draw.text(lane + 0.1, judge - 0.2, "$x$", 9)
    draw.text(image - 0.1, judge + 0.22, r"$\hat{x}$", 9)
    draw.arrow((last[3], judge), (vector - 0.4, judge))
    draw.text(vector, judge, "real\nor fake?")
    draw.text(vector, judge - 0.28, "trains D", 7.8, color=RED)

    losses = zip(weights, ("adv", "con", "enc"), strict=True)
    adv, con, enc = (f"{weight:g}\\cdot L_{{{name}}}" for weight, name in losses)
    for y in (down - 0.3, up + 0.3):
        draw.arrow((image, between), (image, y), colour=_GOLD)
    draw.loss(image, between, f"${con}$\n" + r"$\|x-\hat{x}\|_1$", 0.86)
    for y in (between, again):
        draw.arrow((side, middle), (side, y), (vector + 0.09, y), colour=_GOLD)
    draw.loss(side - 0.12, middle, f"${enc}$\n" + r"$\|z-\hat{z}\|_2$", 0.86)
    tap = next(x for (_, x, _), b in zip(ways[3], draw.networks[3], strict=True) if b.is_feature)
    draw.arrow((tap, judge + 0.2), (tap, above), (vector - 0.62, above), colour=_GOLD)
    draw.text(tap - 0.06, above + 0.02, r"$f(x),\ f(\hat{x})$", ha="right")
    draw.loss(vector - 0.05, above, f"${adv}$\n" + r"$\|f(x)-f(\hat{x})\|_2$", 1.12)
    words = f"Training on normal images lowers  $L={adv}+{con}+{enc}$.   A new image passes once: "
    draw.text(WIDTH / 2, judge - 1.05, words + r"its anomaly score is  $A(x)=\|z-\hat{z}\|_1$.", 9)
    return draw.legend(judge - 1.31, data=INK, loss=_GOLD)
