"""The figures of the paper and of the notebooks: every function draws what it is given, only that.

Each takes a title and a caption (small print: where the data come from, profile, seed) and returns
a `matplotlib.figure.Figure` made with pyplot, which a notebook displays. Whoever called closes it.
"""

import functools
import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from ganlib.files import write_safely

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

_TITLE_LINE, _CAPTION_LINE, _MARGIN = 0.25, 0.15, 0.12  # inches

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
        above = _MARGIN + _TITLE_LINE * (title.count("\n") + 1) + 0.06 + legend
        self.bottom = _MARGIN + _CAPTION_LINE * (caption.count("\n") + 1) + 0.08
        self.height = height
        self.top = self.bottom + height
        self.total = self.top + above
        self.figure = plt.figure(figsize=(WIDTH, self.total))
        self.figure.suptitle(
            title,
            x=_MARGIN / WIDTH,
            y=1 - _MARGIN / self.total,
            ha="left",
            va="top",
            size=12,
            weight="bold",
            linespacing=1.15,
        ).set_in_layout(False)
        self.figure.text(
            _MARGIN / WIDTH,
            _MARGIN / self.total,
            caption,
            ha="left",
            va="bottom",
            size=7.5,
            color="#555555",
            linespacing=1.15,
            gid="caption",
        ).set_in_layout(False)

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


def _short(score: float) -> str:
    """Write a score with three digits, or with all of a whole number that has more."""
    return f"{score:,.0f}" if abs(score) >= 100 else f"{score:.3g}"


def _heading(panels: Mapping, method: str) -> str:
    """Letter a panel, as the paper does, where there are several."""
    letter = chr(ord("a") + list(panels).index(method))
    return f"({letter}) {method}" if len(panels) > 1 else method


def _hide_unused(axes: Sequence[plt.Axes], used: int) -> None:
    for unused in axes[used:]:
        unused.set_visible(False)


def _show(axes: plt.Axes, image: np.ndarray, edge: str = "#999999", line: float = 0.6) -> None:
    """Draw one uint8 image `(h, w, c)`; grey levels are never stretched."""
    if image.shape[-1] == 1:
        axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=255, aspect="auto")
    else:
        axes.imshow(image, aspect="auto")
    _bare(axes, edge, line)


def _bare(axes: plt.Axes, edge: str = "#999999", line: float = 0.6) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=edge, linewidth=line)


def _clip_at(panel: pd.DataFrame) -> float:
    """Find where to end the y axis: far above each group's bulk, or at the highest score."""
    fences = []
    for _, scores in panel.groupby("group")["score"]:
        lower, upper = np.percentile(scores, [25, 75])
        most = np.percentile(scores, 95, method="lower")
        # A twentieth of a group is no outlier: it stays, even if it flattens the rest.
        fences.append(max(upper + 4 * (upper - lower), most))
    # Less than a third more is not worth hiding points for.
    highest = panel["score"].max()
    return float(max(fences)) if highest > 1.33 * max(fences) > 0 else float(highest)


@plt.rc_context(STYLE)
def score_scatter(
    panels: Mapping[str, pd.DataFrame],
    title: str,
    caption: str,
    auroc: Mapping[str, float],
) -> Figure:
    """Draw the anomaly score of every image, group after group.

    Each group gets a third of the x axis, whatever its size: in the paper's figure the hundred test
    images of a group lie beside thousands of training images. A score far above all the others is
    drawn above a dashed line at the upper edge and counted there, so that it does not flatten the
    rest.

    Args:
        panels: method to a table of its images with the columns `group` ("train normal",
            "test normal" or "test anomaly") and `score` (the method's own scale).
        title: the title of the figure.
        caption: the small print.
        auroc: method to the AUROC over its test images, 0..1, written as given.

    Returns:
        The figure.

    Reference:
        Figures 3 (cloud) and 5 (casting).
    """
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    frame = Frame(3.3 * rows, title, caption, legend=0.28)
    axes_of = frame.grid(rows, columns).ravel()
    for index, (method, panel) in enumerate(panels.items()):
        _score_panel(axes_of[index], panel)
        # Wrapped, so as not to run into the AUROC.
        axes_of[index].set_title(textwrap.fill(_heading(panels, method), 30), loc="left")
        axes_of[index].set_title(
            f"AUROC {auroc[method]:.3f}", loc="right", fontweight="normal", fontsize=10
        )
    _hide_unused(axes_of, len(panels))
    present = [g for g in GROUP_COLOURS if any((p["group"] == g).any() for p in panels.values())]
    handles = [
        Line2D([], [], linestyle="", label=group, **_marker(group), markersize=6)
        for group in present
    ]
    handles.append(Line2D([], [], color=INK, linewidth=1.8, label="median of the group"))
    frame.legend(handles, len(handles))
    return frame.figure


def _marker(group: str) -> dict:
    return {
        "marker": GROUP_MARKERS[group],
        "markerfacecolor": GROUP_COLOURS[group],
        "markeredgecolor": INK,
        "markeredgewidth": 0.3,
    }


def _score_panel(axes: plt.Axes, panel: pd.DataFrame) -> None:
    groups = [group for group in GROUP_COLOURS if (panel["group"] == group).any()]
    limit, lowest = _clip_at(panel), min(0.0, float(panel["score"].min()))
    span = (limit - lowest) or 1.0
    for start, group in enumerate(groups):
        scores = panel.loc[panel["group"] == group, "score"].to_numpy(float)
        x = start + 0.04 + 0.92 * (np.arange(len(scores)) + 0.5) / len(scores)
        inside = scores <= limit
        style = {"color": GROUP_COLOURS[group], "edgecolors": INK, "zorder": 3}
        axes.scatter(
            x[inside],
            scores[inside],
            s=16 if len(scores) <= 400 else 7,
            marker=GROUP_MARKERS[group],
            linewidths=0.3 if len(scores) <= 400 else 0.1,
            label=group,
            gid=group,
            **style,
        )
        axes.plot(
            [start + 0.04, start + 0.96], [np.median(scores)] * 2, color=INK, lw=1.8, zorder=4
        )
        if not inside.all():
            count, highest = int((~inside).sum()), scores.max()
            axes.scatter(
                x[~inside],
                np.full(count, limit + 0.05 * span),
                s=26,
                marker=GROUP_MARKERS[group],
                linewidths=0.3,
                gid=f"{group} above",
                **style,
            )
            axes.text(
                start + 0.5,
                limit + 0.09 * span,
                f"{count} above,\nup to {_short(highest)}",
                ha="center",
                va="bottom",
                fontsize=7.5,
            )
        if start:
            axes.axvline(start, color="#bbbbbb", linewidth=0.8)
    clipped = (panel["score"] > limit).any()
    axes.set_xlim(0, len(groups))
    axes.set_ylim(lowest - 0.03 * span, limit + span * (0.27 if clipped else 0.06))
    if clipped:
        axes.axhline(limit + 0.02 * span, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_yticks([tick for tick in axes.get_yticks() if lowest <= tick <= limit])
    sizes = [int((panel["group"] == group).sum()) for group in groups]
    axes.set_xticks(
        np.arange(len(groups)) + 0.5,
        [f"{group}\n1 to {size:,}" for group, size in zip(groups, sizes, strict=True)],
    )
    axes.grid(False, axis="x")
    axes.set(xlabel="image (number within its group)", ylabel="anomaly score (no unit)")
    sns.despine(ax=axes)


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
    pair = min((WIDTH - left - _MARGIN - gap * (columns - 1)) / columns, 3.0)
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
            frame.text(_MARGIN, top + 0.22, _heading(panels, method), weight="bold", size=10)
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
                _show(axes, image, line=0)
            frame.text(
                x + pair / 2,
                top + height + 0.17,
                f"score {_short(scores[i])}",
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
    block = (WIDTH - 2 * _MARGIN - (across - 1) * between) / across
    columns = max(sum(len(kind[0]) for kind in method.values()) for method in panels.values())
    first = next(iter(next(iter(panels.values())).values()))[0]
    label = 0.78 if across == 1 else 0.0
    side = min((block - bar - label - gap * columns) / columns, 1.6)
    height = side * first.shape[1] / first.shape[2]
    block_height = heading + 2 * height + gap + 0.2
    frame = Frame(math.ceil(len(panels) / across) * block_height, title, caption, legend=0.28)
    for index, (method, kinds) in enumerate(panels.items()):
        left = _MARGIN + (index % across) * (block + between)
        top = (index // across) * block_height
        frame.text(left, top + 0.22, _heading(panels, method), weight="bold", size=10)
        means = {kind: residuals.mean(axis=-1) for kind, (_, residuals) in kinds.items()}
        highest = float(np.percentile(np.concatenate([m.ravel() for m in means.values()]), 99.5))
        if label:
            for row, words in enumerate(("image", "residual")):
                y = top + heading + row * (height + gap) + height / 2
                frame.text(left + label - 0.1, y, words, ha="right", va="center")
        x = left + label
        for kind, (images, _) in kinds.items():
            start = x
            for i, image in enumerate(images):
                _show(frame.axes(x, top + heading, side, height), image)
                axes = frame.axes(x, top + heading + height + gap, side, height)
                shown = axes.imshow(
                    means[kind][i], cmap="magma", vmin=0, vmax=highest or 1.0, aspect="auto"
                )
                _bare(axes)
                x += side + gap
            frame.text((start + x - gap) / 2, top + 0.43, kind, ha="center", size=9)
            strip = frame.axes(start, top + 0.48, x - gap - start, 0.05)
            strip.set_facecolor(KIND_COLOURS[kind])
            _bare(strip, INK, 0.4)
            if kind == "anomaly":
                strip.patch.set_hatch("////")
            x += gap
        scale = frame.axes(x + 0.02, top + heading + height + gap, 0.12, height)
        bar_of = frame.figure.colorbar(shown, cax=scale, extend="max")
        bar_of.outline.set_linewidth(0.5)
        bar_of.ax.tick_params(labelsize=8, length=2)
        bar_of.locator = MaxNLocator(4)
        bar_of.set_label("grey levels", fontsize=8.5)
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
def roc_and_precision_recall(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str, caption: str
) -> Figure:
    """Draw how well the scores part anomalies from normal images, at every threshold.

    Args:
        curves: method to its labels `(n,)`, 1 for an anomaly and 0 for a normal image, and its
            scores `(n,)`, higher is more anomalous.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: the ROC on the left, precision over recall on the right, AUROC and average
        precision (AP) in the legend.
    """
    legend_columns = 2 if len(curves) > 2 else 3
    legend_rows = math.ceil((len(curves) + 1) / legend_columns)
    frame = Frame(4.0, title, caption, legend=0.1 + 0.2 * legend_rows)
    roc, precision = frame.grid(1, 2)[0]
    dashes = ["-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1))]
    looks = zip(
        # Not the palette's grey, which is chance's, nor its yellow, which is lost on white.
        itertools.cycle([*sns.color_palette("colorblind", 7), INK, "#56b4e9"]),
        itertools.cycle(dashes),
        itertools.cycle("osD^vPX*hd"),
        strict=False,
    )
    handles, chances = [], set()
    for index, ((method, (labels, scores)), (colour, dash, marker)) in enumerate(
        zip(curves.items(), looks, strict=False)
    ):
        style = {
            "color": colour,
            "linestyle": dash,
            "marker": marker,
            "linewidth": 1.7,
            "markersize": 5,
            "markeredgecolor": "white",
            "markeredgewidth": 0.5,
            # Each curve has its markers at other places, so that curves in one place still differ.
            "markevery": (0.02 + 0.013 * index, 0.17),
            "label": method,
        }
        false, true, _ = roc_curve(labels, scores)
        roc.plot(false, true, **style)
        precise, recall, _ = precision_recall_curve(labels, scores)
        precision.plot(recall, precise, drawstyle="steps-post", **style)
        chances.add(round(float(np.mean(labels)), 4))
        area, mean = roc_auc_score(labels, scores), average_precision_score(labels, scores)
        handles.append(
            Line2D([], [], **{**style, "label": f"{method}: AUROC {area:.3f}, AP {mean:.3f}"})
        )
    chance = {"color": "#888888", "linewidth": 1.1, "linestyle": (0, (2, 2)), "zorder": 1}
    roc.plot([0, 1], [0, 1], label="chance", **chance)
    for prevalence in sorted(chances):
        precision.axhline(prevalence, label="chance", **chance)
    handles.append(Line2D([], [], label="chance", **chance))
    roc.set_title("(a) ROC", loc="left")
    roc.set(
        xlabel="false positive rate (normal images flagged / all normal)",
        ylabel="true positive rate (anomalies found / all)",
    )
    precision.set_title("(b) precision and recall", loc="left")
    precision.set(
        xlabel="recall (anomalies found / all anomalies)",
        ylabel="precision (anomalies / images flagged)",
    )
    for axes in (roc, precision):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), box_aspect=0.8)
        sns.despine(ax=axes)
    frame.legend(handles, legend_columns)
    return frame.figure


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
    _hide_unused(axes_of, len(panels))
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
    side = min((WIDTH - left - _MARGIN - gap * (columns - 1)) / columns, 1.2)
    height = side * samples.shape[2] / samples.shape[3]
    frame = Frame(0.3 + rows * (height + gap), title, caption)
    for column in range(columns):
        x = left + column * (side + gap) + side / 2
        frame.text(x, 0.22, f"$z_{{{column + 1}}}$", ha="center", size=9)
    frame.text(_MARGIN, 0.22, "latent vector", size=8.5)
    for row, epoch in enumerate(epochs):
        top = 0.3 + row * (height + gap)
        frame.text(left - 0.1, top + height / 2, f"epoch {epoch}", ha="right", va="center")
        for column in range(columns):
            axes = frame.axes(left + column * (side + gap), top, side, height)
            _show(axes, samples[row, column])
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
    side = min((WIDTH - 2 * _MARGIN - gap * (columns - 1)) / columns, 2.0)
    height = side * images.shape[1] / images.shape[2]
    wrap = max(6, int(side / 0.075))
    words = [textwrap.fill(str(t), wrap) for t in titles] if titles is not None else None
    label = 0.06 + 0.14 * max(w.count("\n") + 1 for w in words) if words else 0.0
    frame = Frame(rows * (height + label + gap), title, caption)
    for i, image in enumerate(images):
        x = _MARGIN + (i % columns) * (side + gap)
        top = (i // columns) * (height + label + gap) + label
        _show(frame.axes(x, top, side, height), image)
        if words:
            frame.text(x + side / 2, top - 0.05, words[i], ha="center", va="bottom", size=8)
    return frame.figure


def _beside(axes: plt.Axes, column: int, y: float, words: str, weight: str) -> None:
    """Write into one of the columns to the right of the axes."""
    axes.annotate(
        words,
        (1, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(26 + 54 * column, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        weight=weight,
        annotation_clip=False,
    )


@plt.rc_context(STYLE)
def auroc_bars(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Draw our AUROC beside the published one, for each method on each data set.

    Args:
        table: the columns `dataset`, `method`, `ours` and `published`, AUROC 0..1, NaN where there
            is none.
        title: the title of the figure.
        caption: the small print.

    Returns:
        The figure: a line per method, grouped by data set, with the values written on the right.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    line, heading = 0.27, 0.34
    lines, y = [], 0.0
    for dataset in datasets:
        lines.append((y, dataset, None))
        y += heading / line
        for _, entry in table[table["dataset"] == dataset].iterrows():
            lines.append((y, entry["method"], entry))
            y += 1
        y += 0.25
    frame = Frame(y * line + 0.75, title, caption, legend=0.28)
    axes = frame.grid(1, 1)[0, 0]
    published, ours = {}, {}
    for y_at, words, entry in lines:
        if entry is None:
            axes.text(
                -0.01,
                y_at,
                words,
                ha="right",
                va="center",
                weight="bold",
                transform=axes.get_yaxis_transform(),
            )
            continue
        axes.text(-0.01, y_at, words, ha="right", va="center", transform=axes.get_yaxis_transform())
        pair = {"ours": float(entry["ours"]), "published": float(entry["published"])}
        axes.axhline(y_at, color="#e4e4e4", linewidth=0.8, zorder=1)
        if not any(math.isnan(value) for value in pair.values()):
            axes.plot(list(pair.values()), [y_at] * 2, color="#999999", linewidth=2, zorder=2)
        ours[y_at], published[y_at] = pair["ours"], pair["published"]
        for column, value in enumerate(pair.values()):
            written = "\N{EN DASH}" if math.isnan(value) else f"{value:.3f}"
            _beside(axes, column, y_at, written, "normal")
    for column, words in enumerate(("ours", "published")):
        _beside(axes, column, -0.05, words, "bold")
    looks = {
        "published": {"marker": "D", "mfc": "white", "mec": INK, "ms": 8, "mew": 1.4},
        "ours": {"marker": "o", "mfc": GROUP_COLOURS["train normal"], "mec": INK, "ms": 8},
    }
    for name, points in (("published", published), ("ours", ours)):
        axes.plot(list(points.values()), list(points), ls="", zorder=4, label=name, **looks[name])
    axes.axvline(0.5, color="#888888", linewidth=1.1, linestyle=(0, (2, 2)), zorder=1)
    values = table[["ours", "published"]].to_numpy(float)
    axes.set_xlim(min(0.45, np.nanmin(values, initial=0.5) - 0.04), 1.02)
    axes.set_ylim(y - 0.4, -0.7)
    axes.set_yticks([])
    axes.set_xlabel("AUROC (0.5 = chance, 1 = perfect)")
    axes.grid(False, axis="y")
    sns.despine(ax=axes, left=True)
    handles = [Line2D([], [], ls="", label=name, **looks[name]) for name in ("ours", "published")]
    handles.append(Line2D([], [], color="#888888", ls=(0, (2, 2)), label="chance"))
    frame.legend(handles, 3)
    return frame.figure
