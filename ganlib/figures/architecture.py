"""The drawings of AnoGAN and GANomaly, read from the models that are really trained.

Coordinates are inches from the lower left corner of the figure, so that text, whose size is in
points, keeps its place beside the blocks whatever the size of the models.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Polygon, Rectangle

from ganlib.figures import INK, STYLE, WIDTH, Frame

KIND_FILLS = {"conv": "#8fbbe0", "convT": "#f2b76b", "dense": "#b9b9b9", "other": "#dddddd"}
GRADIENT = "#c8102e"
LOSS_FILL, GOLD = "#fff3c4", "#a07800"
FROZEN_FILL = "#eef1f4"

_LEFT, _RIGHT = 0.62, WIDTH - 0.72  # the columns of the images and of the vectors
_SMALL = 7.2  # points


class Block(NamedTuple):
    """One layer with weights, or one that changes the shape, and what follows it.

    Attributes:
        shape: the output without the batch axis: (height, width, channels) or (units,).
        kind: a key of `KIND_FILLS`.
        operation: what the layer does, for instance "conv 4\N{MULTIPLICATION SIGN}4 /2".
        extras: the normalisation and activation after it.
        is_feature: whether its output is the model's first output of several (the f of a
            discriminator).
    """

    shape: tuple[int, ...]
    kind: str
    operation: str
    extras: tuple[str, ...]
    is_feature: bool


def shape_label(shape: Sequence[int]) -> str:
    """Write a shape, for instance "32\N{MULTIPLICATION SIGN}32\N{MULTIPLICATION SIGN}64"."""
    return "\N{MULTIPLICATION SIGN}".join(str(size) for size in shape)


def _leaves(model: Any) -> list[Any]:
    """List the layers of a model, those of the models within it included."""
    leaves = []
    for layer in model.layers:
        leaves.extend(_leaves(layer) if hasattr(layer, "layers") else [layer])
    return leaves


def _activation(layer: Any) -> str:
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", "") or ""
    names = {"linear": "", "relu": "ReLU", "leaky_relu": "LeakyReLU"}
    return names.get(name, name)


def read_blocks(model: Any) -> list[Block]:
    """Read the blocks of a Keras model from its layers.

    Args:
        model: a `keras.Model` whose layers follow one another.

    Returns:
        One block per convolution, transposed convolution and dense layer, and per layer that
        changes the size otherwise; normalisations, activations and flattenings belong to the block
        before them.
    """
    outputs = model.outputs
    blocks: list[Block] = []
    for layer in _leaves(model):
        name = type(layer).__name__
        shape = tuple(int(size) for size in layer.output.shape[1:])
        feature = len(outputs) > 1 and layer.output is outputs[0]
        extra = _activation(layer)
        if name.removeprefix("Patch") in {"Conv2D", "Conv2DTranspose"}:
            kind = "convT" if name.endswith("Transpose") else "conv"
            size = shape_label(layer.kernel_size)
            stride = f" /{layer.strides[0]}" if max(layer.strides) > 1 else ""
            extras = (extra,) if extra else ()
            blocks.append(Block(shape, kind, f"{kind} {size}{stride}", extras, feature))
            continue
        if name == "Dense":
            blocks.append(Block(shape, "dense", "dense", (extra,) if extra else (), feature))
            continue
        if name == "InputLayer" or not blocks:
            continue
        last = blocks[-1]
        if name == "Reshape" and last.kind == "dense" and len(shape) == 3:
            last = last._replace(shape=shape)
        elif np.prod(shape) != np.prod(last.shape):
            blocks.append(Block(shape, "other", name, (), feature))
            continue
        elif name == "BatchNormalization":
            last = last._replace(extras=(*last.extras, "BN"))
        elif name in {"LeakyReLU", "ReLU", "PReLU", "ELU"}:
            last = last._replace(extras=(*last.extras, name))
        elif name == "Activation" and extra:
            last = last._replace(extras=(*last.extras, extra))
        blocks[-1] = last._replace(is_feature=last.is_feature or feature)
    return blocks


def _side(shape: Sequence[int]) -> int:
    return shape[0] if len(shape) == 3 else 1


class _Canvas:
    """One axes over the whole figure, in inches, and the shapes drawn on it."""

    def __init__(self, height: float, title: str, caption: str, largest: int):
        frame = Frame(height, title, caption)
        self.figure, self.bottom, self.top = frame.figure, frame.bottom, frame.top
        self.largest = largest
        self.axes = frame.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(0, frame.total))
        self.axes.axis("off")

    def text(self, x: float, y: float, words: str, size: float = 8.5, **options) -> None:
        options = {"ha": "center", "va": "center", "zorder": 6, "linespacing": 1.12, **options}
        self.axes.text(x, y, words, size=size, **options)

    def arrow(
        self,
        points: Sequence[tuple[float, float]],
        colour: str = INK,
        dash: str = "-",
        width: float = 1.1,
        head: str = "-|>",
    ) -> None:
        """Draw an arrow along a path of straight lines."""
        for start, end in itertools.pairwise(points[:-1]):
            self.axes.plot(
                *zip(start, end, strict=True),
                color=colour,
                ls=dash,
                lw=width,
                zorder=2,
                solid_capstyle="round",
            )
        self.axes.add_patch(
            FancyArrowPatch(
                points[-2],
                points[-1],
                arrowstyle=head,
                mutation_scale=9,
                color=colour,
                linestyle=dash,
                linewidth=width,
                shrinkA=0,
                shrinkB=0,
                zorder=2,
            )
        )

    def height_of(self, shape: Sequence[int], full: float) -> float:
        """Take a logarithm, for a block of 4 beside one of 256 must still be seen."""
        return full * (0.16 + 0.84 * np.log2(_side(shape)) / np.log2(max(2, self.largest)))

    def block(self, x: float, y: float, block: Block, full: float, frozen: bool = False) -> float:
        """Draw a cuboid centred on x and y, as high as its image, as wide as its channels.

        Returns its half width.
        """
        height = self.height_of(block.shape, full)
        width = full * (0.10 + 0.035 * np.log2(max(1, block.shape[-1])))
        depth = 0.24 * height
        fill = FROZEN_FILL if frozen else KIND_FILLS[block.kind]
        edge = {
            "edgecolor": "#7a8896" if frozen else INK,
            "linewidth": 0.7,
            "zorder": 3,
            "joinstyle": "round",
        }
        left, low = x - (width + depth) / 2, y - (height + depth * 0.6) / 2
        rise = depth * 0.6
        self.axes.add_patch(
            Rectangle(
                (left, low),
                width,
                height,
                facecolor=fill,
                hatch="///" if block.kind == "convT" and not frozen else None,
                **edge,
            )
        )
        top = [(0, height), (depth, height + rise), (width + depth, height + rise), (width, height)]
        right = [(width, 0), (width + depth, rise), (width + depth, height + rise), (width, height)]
        for corners, shade in ((top, 0.55), (right, -0.16)):
            self.axes.add_patch(
                Polygon(
                    [(left + dx, low + dy) for dx, dy in corners],
                    facecolor=_shade(fill, shade),
                    **edge,
                )
            )
        return (width + depth) / 2

    def image(self, x: float, y: float, words: str, side: float, fill: str = "white") -> None:
        self.axes.add_patch(
            Rectangle((x - side / 2, y - side / 2), side, side, fc=fill, ec=INK, lw=1.2, zorder=4)
        )
        self.text(x, y, words, 11)

    def vector(self, x: float, y: float, words: str, beside: str) -> None:
        """Draw a column of cells, named on its "left" or "above" it."""
        for i in range(5):
            self.axes.add_patch(
                Rectangle(
                    (x - 0.06, y - 0.3 + 0.12 * i),
                    0.12,
                    0.12,
                    fc="#f7d9e3" if i % 2 else "white",
                    ec=INK,
                    lw=0.8,
                    zorder=4,
                )
            )
        dx, dy, align = {"left": (-0.12, 0, "right"), "above": (0, 0.44, "center")}[beside]
        self.text(x + dx, y + dy, words, 11, ha=align)

    def loss(self, x: float, y: float, words: str, width: float, height: float = 0.36) -> None:
        self.axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                fc=LOSS_FILL,
                ec=GOLD,
                lw=1,
                boxstyle="round,pad=0,rounding_size=0.08",
                zorder=5,
            )
        )
        self.text(x, y, words, 8.5)

    def region(self, low: float, high: float, words: str) -> None:
        self.axes.add_patch(
            FancyBboxPatch(
                (0.1, low),
                WIDTH - 0.2,
                high - low,
                fc="#fafafa",
                ec="#cccccc",
                lw=0.8,
                boxstyle="round,pad=0,rounding_size=0.1",
                zorder=0,
            )
        )
        self.text(0.24, high - 0.19, words, 10, ha="left", weight="bold")

    def network(
        self, blocks: Sequence[Block], left: float, right: float, y: float, backwards: bool = False
    ) -> list[tuple[float, float]]:
        """Draw blocks from left to right, or from right to left, with arrows between them.

        Returns the centre of each block and half its width, in the order of the data.
        """
        step = (right - left) / len(blocks)
        places = []
        for i, block in enumerate(blocks):
            x = right - (i + 0.5) * step if backwards else left + (i + 0.5) * step
            places.append((x, self.block(x, y, block, 0.62)))
            lines = [block.operation]
            extras = ", ".join(block.extras)
            # 0.056 inch is what a letter of this size takes.
            lines += [extras] if len(extras) * 0.056 < step else list(block.extras)
            self.text(x, y - 0.43, shape_label(block.shape), 7.8, va="top", weight="bold")
            self.text(
                x,
                y - 0.565,
                "\n".join(line for line in lines if line),
                _SMALL,
                va="top",
                color="#444444",
            )
        sign = -1 if backwards else 1
        for (start, a), (end, b) in itertools.pairwise(places):
            self.arrow([(start + sign * (a + 0.02), y), (end - sign * (b + 0.02), y)], width=0.8)
        return places

    def small_network(
        self, blocks: Sequence[Block], left: float, right: float, y: float, words: str, above: bool
    ) -> None:
        """Draw a network whose weights rest: the same blocks, pale and without words."""
        step = (right - left - 0.16) / len(blocks)
        self.axes.add_patch(
            FancyBboxPatch(
                (left, y - 0.42),
                right - left,
                0.84,
                fc="white",
                ec="#7a8896",
                lw=1.1,
                ls="--",
                boxstyle="round,pad=0,rounding_size=0.06",
                zorder=1,
            )
        )
        for i, block in enumerate(blocks):
            x = left + 0.08 + (i + 0.5) * step
            self.block(x, y, block, min(0.5, 1.6 * step), frozen=True)
        self.text(
            (left + right) / 2,
            y + (0.53 if above else -0.53),
            words,
            8.5,
            weight="bold",
            color="#4d5a67",
        )

    def legend(self, handles: Sequence, y: float) -> None:
        self.figure.legend(
            handles=handles,
            loc="center",
            ncols=len(handles),
            columnspacing=1.3,
            handletextpad=0.5,
            fontsize=8,
            bbox_to_anchor=(WIDTH / 2, y),
            bbox_transform=self.axes.transData,
        )


def _shade(colour: str, amount: float) -> tuple[float, ...]:
    """Lighten for an amount above 0, darken below."""
    rgb = np.array(plt.matplotlib.colors.to_rgb(colour))
    return tuple(rgb + (1 - rgb) * amount if amount > 0 else rgb * (1 + amount))


def _name(symbol: str, words: str, model: Any) -> str:
    return f"{symbol}  {words}, {model.count_params():,} parameters"


def _handles(blocks: Sequence[Block], gradient: bool) -> list:
    labels = {"conv": "Conv2D", "convT": "Conv2DTranspose", "dense": "Dense", "other": "other"}
    kinds = {block.kind for block in blocks}
    handles = [
        Patch(
            fc=fill, ec=INK, lw=0.7, hatch="////" if kind == "convT" else None, label=labels[kind]
        )
        for kind, fill in KIND_FILLS.items()
        if kind in kinds
    ]
    handles.append(Line2D([], [], color=INK, lw=1.1, marker=">", ms=4, label="data"))
    handles.append(Line2D([], [], color=GOLD, lw=1.1, marker=">", ms=4, label="loss"))
    if gradient:
        handles.append(
            Line2D([], [], color=GRADIENT, lw=1.4, ls="--", marker=">", ms=4, label="gradient")
        )
    handles.append(
        Patch(fc="none", ec="none", label="block height: image side, width: channels (log)")
    )
    return handles


@plt.rc_context(STYLE)
def anogan_architecture(generator: Any, discriminator: Any, title: str, caption: str) -> Figure:
    """Draw AnoGAN: its training, and its search for the z of a new image.

    Args:
        generator: `keras.Model` from z `(latent,)` to an image `(height, width, channels)`.
        discriminator: `keras.Model` from an image to [features, logits] or to logits.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure. Shapes, kernels and numbers of parameters are those of the two models.

    Reference:
        Figure 1.
    """
    makes, judges = read_blocks(generator), read_blocks(discriminator)
    picture = shape_label(discriminator.inputs[0].shape[1:])
    latent = shape_label(generator.inputs[0].shape[1:])
    canvas = _Canvas(7.86, title, caption, int(discriminator.inputs[0].shape[1]))

    top = canvas.top
    canvas.region(top - 3.82, top, "Step 1   Train G and D on normal images")
    g, d = top - 1.0, top - 2.56
    left, right = 1.0, WIDTH - 1.12
    canvas.vector(_LEFT, g, "z", beside="left")
    canvas.text(_LEFT, g - 0.42, latent, 7.8, va="top", weight="bold")
    canvas.text(_LEFT, g - 0.565, "random", _SMALL, va="top", color="#444444")
    places = canvas.network(makes, left, right, g)
    canvas.text(left + 0.1, g + 0.55, _name("G", "generator", generator), ha="left", weight="bold")
    canvas.arrow([(_LEFT + 0.09, g), (places[0][0] - places[0][1] - 0.03, g)])
    x = WIDTH - 0.6
    canvas.arrow([(places[-1][0] + places[-1][1] + 0.03, g), (x - 0.3, g)])
    canvas.image(x, g, "$G(z)$", 0.56, "#fdeed7")
    canvas.text(x, g + 0.37, "fake", 8, color="#444444")

    places = canvas.network(judges, left, right, d, backwards=True)
    canvas.text(
        left + 0.1, d + 0.55, _name("D", "discriminator", discriminator), ha="left", weight="bold"
    )
    entry = places[0][0] + places[0][1] + 0.03
    real = d - 0.78
    canvas.arrow([(x, g - 0.3), (x, d + 0.07), (entry, d + 0.07)])
    canvas.image(x, real, "$x$", 0.56)
    canvas.text(x, real - 0.37, f"real, {picture}", _SMALL, color="#444444")
    canvas.arrow([(x, real + 0.3), (x, d - 0.07), (entry, d - 0.07)])
    end = places[-1][0] - places[-1][1] - 0.03
    canvas.arrow([(end, d), (_LEFT + 0.4, d)])
    canvas.loss(_LEFT, d, "real\nor fake?", 0.76, 0.42)
    canvas.text(_LEFT, d - 0.28, "trains D, and\nG against it", 7.8, va="top", color=GRADIENT)
    for place, block in zip(places, judges, strict=True):
        if block.is_feature:
            canvas.text(place[0], d + 0.3, "features $f$", 8, color="#444444")

    # What the search needs of D ends at its features.
    upto = next((i for i, block in enumerate(judges) if block.is_feature), max(0, len(judges) - 2))
    top -= 3.94
    canvas.region(top - 3.56, top, "Step 2   Find z for each new image x, with G and D frozen")
    up = top - 1.1
    middle, down = up - 0.68, up - 1.36
    lane, roof = down - 0.8, top - 0.36
    g_left, g_right, d_left, d_right = 1.05, 2.85, 4.5, 5.85
    image, feature, total = 3.72, 6.9, 7.42
    canvas.vector(_LEFT, up, "z", beside="left")
    canvas.small_network(makes, g_left, g_right, up, "G, frozen", above=True)
    canvas.arrow([(_LEFT + 0.09, up), (g_left - 0.02, up)])
    canvas.image(image, up, "$G(z)$", 0.56, "#fdeed7")
    canvas.arrow([(g_right + 0.02, up), (image - 0.3, up)])
    canvas.image(image, down, "$x$", 0.56)
    canvas.text(image, down - 0.38, "new image", 8.5)
    for y, words in ((up, "D up to f, frozen"), (down, "the same")):
        canvas.small_network(judges[: upto + 1], d_left, d_right, y, words, above=y == up)
        canvas.arrow([(image + 0.3, y), (d_left - 0.02, y)])
        canvas.arrow([(d_right + 0.02, y), (feature - 0.4, y)])
    canvas.text(feature, up, "$f(G(z))$", 11)
    canvas.text(feature, down, "$f(x)$", 11)
    for x, gap in ((image, 0.3), (feature, 0.14)):
        canvas.arrow([(x, middle), (x, up - gap)], colour=GOLD)
        canvas.arrow([(x, middle), (x, down + gap)], colour=GOLD)
    canvas.loss(image, middle, "residual loss\n$L_R=\\Sigma|x-G(z)|$", 1.36, 0.4)
    canvas.loss(feature, middle, "discrimination loss\n$L_D=\\Sigma|f(x)-f(G(z))|$", 1.7, 0.4)
    canvas.loss(total, lane, "$L(z)=(1-\\lambda)\\,L_R+\\lambda\\,L_D$", 1.9, 0.3)
    canvas.text(
        total - 1.05,
        lane - 0.14,
        "after the last step: anomaly score A(x) = L(z)",
        8,
        ha="right",
        color="#444444",
    )
    beside = image - 0.82
    canvas.arrow(
        [(image - 0.68, middle), (beside, middle), (beside, lane), (total - 0.96, lane)],
        colour=GOLD,
    )
    beside = total + 0.6
    canvas.arrow([(feature + 0.86, middle), (beside, middle), (beside, lane + 0.16)], colour=GOLD)
    canvas.arrow(
        [
            (total + 0.96, lane),
            (WIDTH - 0.3, lane),
            (WIDTH - 0.3, roof),
            (_LEFT, roof),
            (_LEFT, up + 0.33),
        ],
        colour=GRADIENT,
        dash="--",
        width=1.5,
    )
    canvas.text(
        WIDTH - 0.3,
        top - 0.19,
        "gradient step: changes z alone",
        8.5,
        ha="right",
        color=GRADIENT,
        weight="bold",
    )
    canvas.legend(_handles([*makes, *judges], gradient=True), top - 3.75)
    return canvas.figure


@plt.rc_context(STYLE)
def ganomaly_architecture(
    encoder: Any,
    decoder: Any,
    encoder2: Any,
    discriminator: Any,
    title: str,
    caption: str,
    weights: tuple[float, float, float] = (1, 50, 1),
) -> Figure:
    """Draw GANomaly: images on the left, latent vectors on the right, four networks between.

    Args:
        encoder: G_E, `keras.Model` from an image `(height, width, channels)` to z `(latent,)`.
        decoder: G_D, from z to an image.
        encoder2: E, from an image to a vector like z.
        discriminator: D, from an image to [features, logits] or to logits.
        title: the title of the figure.
        caption: the small print.
        weights: of the adversarial, the contextual and the encoder loss.

    Returns:
        The figure. Shapes, kernels and numbers of parameters are those of the four models.

    Reference:
        Figure 2.
    """
    networks = [read_blocks(model) for model in (encoder, decoder, encoder2, discriminator)]
    picture = shape_label(encoder.inputs[0].shape[1:])
    latent = shape_label(decoder.inputs[0].shape[1:])
    canvas = _Canvas(7.1, title, caption, int(encoder.inputs[0].shape[1]))
    rows = [canvas.top - 0.72 - 1.58 * i for i in range(4)]
    rows[3] -= 0.1
    left, right = 1.3, WIDTH - 1.2
    names = (
        ("$G_E$", "encoder of the generator", encoder),
        ("$G_D$", "decoder of the generator", decoder),
        ("$E$", "second encoder", encoder2),
        ("$D$", "discriminator", discriminator),
    )
    places = []
    for i, (blocks, y) in enumerate(zip(networks, rows, strict=True)):
        places.append(canvas.network(blocks, left, right, y, backwards=i == 1))
        canvas.text(left + 0.1, y + 0.55, _name(*names[i]), ha="left", weight="bold")

    def first(i: int) -> float:
        x, half = places[i][0]
        return x + half + 0.03 if i == 1 else x - half - 0.03

    def last(i: int) -> float:
        x, half = places[i][-1]
        return x - half - 0.03 if i == 1 else x + half + 0.03

    image, vector = 0.86, WIDTH - 0.8
    w_adv, w_con, w_enc = (f"{weight:g}" for weight in weights)
    canvas.image(image, rows[0], "$x$", 0.56)
    canvas.text(image, rows[0] + 0.38, f"image, {picture}", _SMALL, color="#444444")
    canvas.arrow([(image + 0.3, rows[0]), (first(0), rows[0])])
    z = (rows[0] + rows[1]) / 2
    canvas.vector(vector, z, "$z$", beside="left")
    canvas.arrow([(last(0), rows[0]), (vector, rows[0]), (vector, z + 0.33)])
    canvas.arrow([(vector, z - 0.33), (vector, rows[1]), (first(1), rows[1])])
    canvas.image(image, rows[1], r"$\hat{x}$", 0.56, "#fdeed7")
    canvas.arrow([(last(1), rows[1]), (image + 0.3, rows[1])])
    canvas.arrow([(image, rows[1] - 0.3), (image, rows[2]), (first(2), rows[2])])
    canvas.vector(vector, rows[2], r"$\hat{z}$", beside="above")
    canvas.arrow([(last(2), rows[2]), (vector - 0.09, rows[2])])
    canvas.text(vector, rows[2] - 0.43, latent, 7.8, weight="bold")
    canvas.text(vector - 0.12, z - 0.2, latent, 7.8, ha="right", weight="bold")

    # D sees both images: x comes down the outer lane, x_hat goes on below E's entry.
    lane = 0.3
    canvas.arrow(
        [
            (image - 0.3, rows[0]),
            (lane, rows[0]),
            (lane, rows[3] - 0.08),
            (first(3), rows[3] - 0.08),
        ]
    )
    canvas.arrow([(image, rows[2]), (image, rows[3] + 0.08), (first(3), rows[3] + 0.08)])
    canvas.text(lane + 0.1, rows[3] - 0.2, "$x$", 9)
    canvas.text(image - 0.1, rows[3] + 0.22, r"$\hat{x}$", 9)
    canvas.arrow([(last(3), rows[3]), (vector - 0.4, rows[3])])
    canvas.text(vector, rows[3], "real\nor fake?", 8.5)
    canvas.text(vector, rows[3] - 0.28, "trains D", 7.8, color=GRADIENT)

    con = (rows[0] + rows[1]) / 2
    canvas.arrow([(image, con), (image, rows[0] - 0.3)], colour=GOLD)
    canvas.arrow([(image, con), (image, rows[1] + 0.3)], colour=GOLD)
    canvas.loss(image, con, f"${w_con}\\cdot L_{{con}}$\n" + r"$\|x-\hat{x}\|_1$", 0.86, 0.44)
    enc = (z + rows[2]) / 2
    side = WIDTH - 0.42
    canvas.arrow([(side, enc), (side, z), (vector + 0.09, z)], colour=GOLD)
    canvas.arrow([(side, enc), (side, rows[2]), (vector + 0.09, rows[2])], colour=GOLD)
    canvas.loss(side - 0.12, enc, f"${w_enc}\\cdot L_{{enc}}$\n" + r"$\|z-\hat{z}\|_2$", 0.86, 0.44)
    features = [p for p, b in zip(places[3], networks[3], strict=True) if b.is_feature]
    tap, _ = (features or places[3][-2:])[0]
    adv = rows[3] + 0.62
    tap_top = rows[3] + 0.2
    canvas.arrow([(tap, tap_top), (tap, adv), (vector - 0.62, adv)], colour=GOLD)
    canvas.text(tap - 0.06, adv + 0.02, r"$f(x),\ f(\hat{x})$", 8.5, ha="right")
    canvas.loss(
        vector - 0.05, adv, f"${w_adv}\\cdot L_{{adv}}$\n" + r"$\|f(x)-f(\hat{x})\|_2$", 1.12, 0.44
    )

    y = rows[3] - 1.05
    canvas.text(
        WIDTH / 2,
        y,
        f"Training on normal images lowers  $L={w_adv}\\cdot L_{{adv}}+{w_con}\\cdot L_{{con}}"
        f"+{w_enc}\\cdot L_{{enc}}$.   "
        r"A new image passes once: its anomaly score is  $A(x)=\|z-\hat{z}\|_1$.",
        9,
    )
    canvas.legend(_handles([b for n in networks for b in n], gradient=False), y - 0.26)
    return canvas.figure
