"""How a training went: losses, samples, and the search for z."""

import itertools
import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ganlib.figures.frame import (
    GROUP_COLOURS,
    GROUP_MARKERS,
    INK,
    MARGIN,
    STYLE,
    WIDTH,
    Frame,
    hide_unused,
    show_image,
)


def _loss_panels(curves: Mapping[str, np.ndarray]) -> list[list[str]]:
    """Choose which losses share a panel: a GAN's two players, and a loss with its validation."""
    panels: list[list[str]] = []
    for name in curves:
        base = name.removeprefix("val_")
        shared = next((p for p in panels if base in [n.removeprefix("val_") for n in p]), None)
        if shared is None and base == "discriminator_loss":
            rival = next((p for p in panels if "generator_loss" in p), None)
            if rival is not None:
                sizes = [np.nanmedian(np.abs(curves[n])) for n in (name, "generator_loss")]
                # A generator's loss with weights of 50 would flatten the discriminator's.
                shared = rival if max(sizes) <= 10 * min(sizes) else None
        if shared is None:
            panels.append([name])
        else:
            shared.append(name)
    return panels


@plt.rc_context(STYLE)
def training_curves(
    history: Mapping[str, Sequence[float]] | pd.DataFrame, title: str, caption: str
) -> Figure:
    """Draw every loss of a training over its epochs, each on a scale of its own.

    Args:
        history: loss to its value per epoch, as in `keras.callbacks.History.history`; a column
            `epoch`, where there is one, numbers the epochs, else they count from 1.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: a small panel per loss. The generator's and the discriminator's share one where
        they are of one size, and so do a loss and its `val_` twin.
    """
    table = {name: np.asarray(history[name], float) for name in history}
    epochs = table.pop("epoch", None)
    # The generator first, so that the discriminator finds it.
    curves = dict(sorted(table.items(), key=lambda item: item[0] != "generator_loss"))
    panels = _loss_panels(curves)
    columns = min(len(panels), 3 if len(panels) != 4 else 2)
    rows = math.ceil(len(panels) / columns)
    frame = Frame(2.45 * rows + 0.1, title, caption)
    axes_of = frame.grid(rows, columns).ravel()
    colours = [GROUP_COLOURS["train normal"], "#1b6fa8", "#444444", "#b07aa1"]
    for axes, names in zip(axes_of, panels, strict=False):
        for name, colour, dash in zip(
            names,
            itertools.cycle(colours),
            itertools.cycle(["-", (0, (4, 1.5)), ":"]),
            strict=False,
        ):
            x = epochs if epochs is not None else np.arange(1, len(curves[name]) + 1)
            axes.plot(
                x,
                curves[name],
                color=colour,
                linestyle=dash,
                linewidth=1.6,
                marker="o" if len(x) <= 3 else None,
                label=name.replace("_", " "),
            )
        values = np.concatenate([curves[name] for name in names])
        values = values[np.isfinite(values)]
        if len(values) and values.min() > 0 and values.max() > 100 * values.min():
            axes.set_yscale("log")
        words = [name.replace("_", " ") for name in names]
        if len(names) > 1:
            words = [name.removesuffix(" loss") for name in words]
            for line, word in zip(axes.get_lines(), words, strict=True):
                line.set_label(word)
            axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
            axes.set_title(" and ".join(words) if len(words) == 2 else words[0], loc="left")
        else:
            axes.set_title(words[0], loc="left")
        logarithmic = axes.get_yscale() == "log"
        axes.set(
            xlabel="epoch",
            ylabel=("loss" if "loss" in names[0] else "value")
            + (" (log scale)" if logarithmic else ""),
        )
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        sns.despine(ax=axes)
    hide_unused(axes_of, len(panels))
    return frame.figure


@plt.rc_context(STYLE)
def samples_over_epochs(
    samples: np.ndarray, epochs: Sequence[int], title: str, caption: str
) -> Figure:
    """Draw what a generator makes of the same latent vectors as its training goes on.

    Args:
        samples: uint8 `(n_epochs, n_samples, height, width, channels)`, 0..255, column j always
            from the same latent vector.
        epochs: the epoch of each row.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: one row per epoch.
    """
    rows, columns = samples.shape[:2]
    left, gap = 0.98, 0.05
    side = min((WIDTH - left - MARGIN - gap * (columns - 1)) / columns, 1.2)
    height = side * samples.shape[2] / samples.shape[3]
    frame = Frame(0.3 + rows * (height + gap), title, caption)
    for column in range(columns):
        x = left + column * (side + gap) + side / 2
        frame.text(x, 0.22, f"$z_{{{column + 1}}}$", ha="center", size=9)
    frame.text(MARGIN, 0.22, "latent vector", size=8.5)
    for row, epoch in enumerate(epochs):
        top = 0.3 + row * (height + gap)
        frame.text(left - 0.1, top + height / 2, f"epoch {epoch}", ha="right", va="center")
        for column in range(columns):
            axes = frame.axes(left + column * (side + gap), top, side, height)
            show_image(axes, samples[row, column])
    return frame.figure


@plt.rc_context(STYLE)
def search_loss(
    losses: np.ndarray,
    groups: Sequence[str],
    title: str,
    caption: str,
    steps: Sequence[int] | None = None,
) -> Figure:
    """Draw how AnoGAN's search for z comes to rest.

    Args:
        losses: `(n_steps_recorded, n_images)`, the loss L(z) of each image, > 0.
        groups: the group of each image, for instance "test normal" and "test anomaly".
        title: the title of the figure.
        caption: the small print.
        steps: the step of each row of `losses`; by default they count from 0.

    Returns:
        The figure: per group the median over its images, and the band that holds the middle 80 %.

    Reference:
        Step 2 of figure 1.
    """
    frame = Frame(3.6, title, caption)
    axes = frame.grid(1, 1)[0, 0]
    x = np.arange(len(losses)) if steps is None else np.asarray(steps)
    names = np.asarray(groups)
    for group in sorted(set(names), key=lambda g: [*GROUP_COLOURS, g].index(g)):
        low, middle, high = np.percentile(losses[:, names == group], [10, 50, 90], axis=1)
        colour = GROUP_COLOURS.get(group, "#777777")
        axes.fill_between(
            x,
            low,
            high,
            facecolor=colour,
            alpha=0.3,
            edgecolor=colour,
            hatch="///" if group == "test anomaly" else None,
            linewidth=0.6,
        )
        # A dark line beneath the coloured one: pale pink alone is lost on white.
        axes.plot(x, middle, color=INK, linewidth=3.2, zorder=3)
        axes.plot(
            x,
            middle,
            color=colour,
            linewidth=1.9,
            zorder=4,
            marker=GROUP_MARKERS.get(group, "o"),
            markeredgecolor=INK,
            markeredgewidth=0.5,
            markersize=6,
            markevery=max(1, len(x) // 8),
            label=f"{group} ({int((names == group).sum()):,} images)",
        )
    axes.set_yscale("log")
    axes.set(xlabel="step of the search for z", ylabel="loss L(z) (no unit, log scale)")
    axes.margins(x=0.01)
    axes.legend(title="median; band: 10th to 90th percentile", loc="best", frameon=True)
    sns.despine(ax=axes)
    return frame.figure
