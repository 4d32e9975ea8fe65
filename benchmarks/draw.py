"""Draw the figures and write the table of the benchmark."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ganlib.figures import STYLE, Frame
from ganlib.figures import save as save
from ganlib.files import write_safely

BLUE, PINK = "#0072B2", "#CC79A7"


def ratios(table: pd.DataFrame, caption: str) -> plt.Figure:
    """Draw how many times faster than the published loop ours is, where a bound was set.

    Of each kind, show the first row whose final objective is not higher than the loop's.

    Args:
        table: `results.csv`.
        caption: images and machine of the measurement.

    Returns:
        The figure.
    """
    shown = table[table["ratio"].notna() & table["bound"].notna()]
    shown = shown[~(shown["objective"] > shown["published_objective"])]
    kind = shown["what"].str.replace(r"\d+ steps|, rate.*|, mixed.*", "", regex=True)
    shown = shown[~kind.duplicated()]
    with plt.rc_context(STYLE):
        frame = Frame(
            0.62 * len(shown) + 0.5,
            "How many times faster than the published loops?",
            f"{caption} · one run, medians; black line: what was asked for",
        )
        (axes,) = frame.grid(1, 1).ravel()
        places = np.arange(len(shown))[::-1]
        axes.barh(places, shown["ratio"], color=BLUE, height=0.6)
        for place, row in zip(places, shown.itertuples(), strict=True):
            axes.plot([row.bound] * 2, [place - 0.42, place + 0.42], color="black", lw=2)
            end = 1.12 * max(row.ratio, row.bound)
            times = f"{_number(row.published)} s to {_number(row.ours)} {row.unit}"
            times += f", asked for: {_number(row.bound)} times"
            axes.text(end, place + 0.14, f"{_number(row.ratio)} times", va="center", weight="bold")
            axes.text(end, place - 0.18, times, va="center", size=8)
        axes.set(xscale="log", xlim=(1, shown["ratio"].max() * 12))
        axes.set_xlabel("times faster (log scale)")
        words = (
            shown["what"]
            .str.replace(", networks of quick", "")
            .str.replace("x1:", ":")
            .str.replace("x1,", ",")
        )
        words = words.str.replace(", published networks", "").str.replace(", batch 32", "")
        axes.set_yticks(
            places, words.str.replace(r", rate [0-9.]+", "", regex=True).str.replace(": ", "\n")
        )
        axes.grid(axis="y", visible=False)
    return frame.figure


def steps(table: pd.DataFrame, caption: str) -> plt.Figure:
    """Draw objective and AUROC against steps for the search from the prior and the encoder.

    Args:
        table: `steps.csv`.
        caption: images and machine of the measurement.

    Returns:
        The figure.
    """
    with plt.rc_context(STYLE):
        frame = Frame(
            2.9,
            "AnoGAN on castings: what each step of the search gains, from either start",
            f"{caption} · 64x64, networks of quick; all test images of the paper's split, one seed",
        )
        left, right = frame.grid(1, 2).ravel()
        for start, colour in (("prior", BLUE), ("encoder", PINK)):
            course = table[table["start"] == start]
            name = {"prior": "from the prior (AnoGAN)", "encoder": "from the encoder"}[start]
            for kind, line in (("normal", "-"), ("anomaly", "--")):
                values = course[f"objective_{kind}"]
                left.plot(course["steps"], values, line, color=colour, label=f"{name}, {kind}")
            right.plot(course["steps"], course["auroc"], color=colour, label=name)
        left.set(xlabel="steps", ylabel="objective L(z), mean", yscale="log")
        right.set(xlabel="steps", ylabel="AUROC")
        for axes in (left, right):
            axes.legend(fontsize=7.5)
    return frame.figure


def fill(path: Path, table: pd.DataFrame, seconds: float) -> None:
    """Write the table, and where it was measured, between the marks of a page.

    Args:
        path: the page.
        table: `results.csv`.
        seconds: duration of the whole run.
    """
    lines = ["| what | published | ours | unit | times | asked for | note |", "|" + "---|" * 7]
    for row in table.itertuples():
        numbers = [row.published, row.ours]
        cells = [row.what, *(_number(each) for each in numbers), row.unit]
        lines.append("| " + " | ".join([*cells, _number(row.ratio), _number(row.bound), row.note]))
        lines[-1] += " |"
    first = table.iloc[0]
    lines += ["", f"{first.images}; {first.device}; {first.versions}; {seconds / 60:.0f} minutes."]
    page = path.read_text()
    before, rest = page.split("<!--table-->\n")
    after = rest.split("<!--/table-->")[1]
    page = f"{before}<!--table-->\n" + "\n".join(lines) + f"\n<!--/table-->{after}"
    write_safely(path, lambda place: place.write_text(page))


def _number(value: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
