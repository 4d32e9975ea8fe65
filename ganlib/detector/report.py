"""A report of scored images: one HTML file that needs no network, no server and no other file."""

import base64
import hashlib
import html
import importlib.resources
import io
import json
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ganlib.files import write_safely

_BINS = 40
_GAP = 4  # pixels between the parts of a strip
# Of the chart, in pixels from its top: where bars of held-out images stand, where those of scored
# images hang from, and how long the longest is.
_STAND, _HANG, _LONGEST = 136, 158, 86


class Summary(NamedTuple):
    """What a reader must know of the whole.

    Attributes:
        title: of the page.
        detector: the name of its file.
        when: the images were scored.
        scored: what was scored, a folder say.
        threshold: an image is called an anomaly if its score is at or above it; None if the
            detector has none.
        false_alarm_rate: share of good images that the threshold was chosen to call anomalies,
            0..1; None without a threshold.
        normal_scores: `(n,)`, scores of held-out normal images.
        notes: sentences: what the reader must bear in mind, and what cannot be known.
        card: of the detector: what it was trained on and with.
    """

    title: str
    detector: str
    when: str
    scored: str
    threshold: float | None
    false_alarm_rate: float | None
    normal_scores: np.ndarray
    notes: Sequence[str] = ()
    card: Mapping[str, object] = {}


class Entry(NamedTuple):
    """One image.

    Attributes:
        file: its name, whatever is in it.
        score: None if there is none.
        above: share of held-out normal images with a lower score, 0..1; None if unknown.
        is_anomaly: the verdict; None if there is none.
        error: why it could not be scored, empty if it was.
        picture: WebP or JPEG of image, reconstruction and heat map, see `strip`; may be empty.
    """

    file: str
    score: float | None = None
    above: float | None = None
    is_anomaly: bool | None = None
    error: str = ""
    picture: bytes = b""


def strip(
    image: np.ndarray, reconstruction: np.ndarray, heat_overlay: np.ndarray, size: int = 96
) -> bytes:
    """Put image, reconstruction and heat map side by side in one small picture.

    Args:
        image: uint8 `(h, w, 1 or 3)`, 0..255.
        reconstruction: the same, of any size.
        heat_overlay: the same, of any size.
        size: pixels of the longer side of each part.

    Returns:
        A WebP file of 3 to 4 kB. Parts are as wide as they are high; what a part that is not square
        leaves free is transparent.
    """
    picture = Image.new("RGBA", (3 * size + 2 * _GAP, size))
    for place, part in enumerate((image, reconstruction, heat_overlay)):
        drawn = Image.fromarray(part[..., 0] if part.shape[-1] == 1 else part)
        drawn = ImageOps.contain(drawn, (size, size), Image.Resampling.BILINEAR)
        left = place * (size + _GAP) + (size - drawn.width) // 2
        picture.paste(drawn.convert("RGBA"), (left, (size - drawn.height) // 2))
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=75, method=2)  # 4, the default, takes half as long again
    return file.getvalue()


def write_report(path: str | Path, summary: Summary, entries: Iterable[Entry]) -> Path:
    """Write a report, whole or not at all.

    Entries are written as they come and only their scores are kept, so that there may be more than
    fit into memory. An entry whose score is not finite is shown as one that could not be scored.

    Args:
        path: the HTML file.
        summary: what holds for all images.
        entries: the images, in any order: the page sorts them.

    Returns:
        The path.
    """
    template = (
        importlib.resources.files("ganlib.detector").joinpath("report.html").read_text("utf-8")
    )
    before, after = template.split("<!--entries-->")

    def write(unfinished: Path) -> None:
        # Half a character, as names of files that are not UTF-8 have, becomes a reference.
        with unfinished.open(
            "w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n"
        ) as file:
            file.write(_filled(before, _head(summary, template)))
            scores, verdicts = _write_entries(file, entries)
            file.write(_filled(after, _body(summary, np.asarray(scores), verdicts)))

    return write_safely(path, write)


def _write_entries(file: IO[str], entries: Iterable[Entry]) -> tuple[array, Counter]:
    """Write entries as data; return their scores and the number of each verdict."""
    scores, verdicts = array("d"), Counter()
    for entry in entries:
        score, error = entry.score, entry.error
        if score is not None and not math.isfinite(score):
            error = error or f"its score is {score}"
        if error or score is None:
            score = None
            verdict = "unreadable"
        elif entry.is_anomaly is None:
            verdict = "none"
        else:
            verdict = "anomaly" if entry.is_anomaly else "normal"
        verdicts[verdict] += 1
        if score is not None:
            scores.append(score)
        said = {
            "file": entry.file,
            "score": None if score is None else float(score),
            "above": None if score is None or entry.above is None else float(entry.above),
            "verdict": verdict,
            "error": error,
        }
        # A script of this type is never run, and without "<" nothing ends it before its time.
        data = json.dumps(said).replace("<", "\\u003c")
        picture = base64.b64encode(entry.picture).decode()
        kind = "webp" if entry.picture.startswith(b"RIFF") else "jpeg"
        source = picture and f' data-picture="data:image/{kind};base64,{picture}"'
        file.write(f'<script type="application/json" class="entry"{source}>{data}</script>\n')
    return scores, verdicts


def _filled(template: str, parts: Mapping[str, str]) -> str:
    return re.sub(r"<!--(\w+)-->", lambda found: parts[found[1]], template)


def _head(summary: Summary, template: str) -> dict[str, str]:
    """Write what comes before the entries: only this style and this script may work."""
    hashes = {}
    for tag in ("style", "script"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[f"{tag}_hash"] = f"sha256-{digest}"
    return {"title": html.escape(summary.title), **hashes}


def _body(summary: Summary, scores: np.ndarray, verdicts: Counter) -> dict[str, str]:
    """Write what comes after the entries."""
    unreadable = verdicts["unreadable"]
    normal_scores = np.asarray(summary.normal_scores, dtype="float64").ravel()
    facts = {"Detector": summary.detector, "Scored": summary.scored, "When": summary.when}
    if summary.threshold is not None:
        facts["Threshold"] = _short(summary.threshold)
    return {
        "title": html.escape(summary.title),
        "held_out": str(len(normal_scores)),
        "headline": html.escape(_headline(summary, verdicts)),
        "unreadable_note": f'<p class="unreadable-note">✕ {_images(unreadable)} could not be '
        "scored.</p>"
        if unreadable
        else "",
        "facts": "".join(
            f"<div><dt>{name}</dt><dd>{html.escape(fact)}</dd></div>"
            for name, fact in facts.items()
        ),
        "reading": _items(_reading(summary)),
        "notes": f"<h2>What to bear in mind</h2><ul>{_items(summary.notes)}</ul>"
        if summary.notes
        else "",
        "chart": _chart(normal_scores, scores, summary.threshold),
        "card": _card(summary.card),
        "all": f"{verdicts.total():,}",
        **{verdict: f"{verdicts[verdict]:,}" for verdict in ("anomaly", "normal", "unreadable")},
    }


def _headline(summary: Summary, verdicts: Counter) -> str:
    found, n = verdicts["anomaly"], verdicts["anomaly"] + verdicts["normal"]
    if not n:
        scored = verdicts["none"]
        if not scored:
            return "No image was scored."
        return f"{_images(scored)} scored; the detector has no threshold to judge by."
    verb = "is called an anomaly" if found < 2 else "are called anomalies"
    headline = f"{f'{found:,}' if found else 'None'} of {_images(n)} {verb}"
    if summary.false_alarm_rate is None:
        return f"{headline}."
    expected = n * summary.false_alarm_rate
    about = f"about {expected:,.0f}" if expected >= 1 else "less than one"
    percent = _percent(summary.false_alarm_rate)
    return f"{headline}; {about} ({percent}) would be if all were good."


def _reading(summary: Summary) -> list[str]:
    sentences = [
        "The higher the score, the less an image is like the good images that the detector "
        "learnt from."
    ]
    if summary.threshold is not None:
        percent = (
            ""
            if summary.false_alarm_rate is None
            else f"; about {_percent(summary.false_alarm_rate)} of good images come that high too"
        )
        sentences.append(
            f"At or above the threshold, {_short(summary.threshold)}, an image is called an "
            f"anomaly{percent}."
        )
    return [
        *sentences,
        "Each card shows the image, the image as the detector rebuilds it, and in bright colours "
        "where the two differ more than they do in good images: look there first.",
    ]


def _card(card: Mapping[str, object]) -> str:
    if not card:
        return ""
    rows = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(_plain(value))}</td></tr>"
        for name, value in card.items()
    )
    return f"<details><summary>About the detector</summary><table>{rows}</table></details>"


def _plain(value: object) -> str:
    nested = isinstance(value, list | tuple | dict)
    return json.dumps(value, ensure_ascii=False, default=str) if nested else str(value)


def _chart(normal_scores: np.ndarray, scores: np.ndarray, threshold: float | None) -> str:
    """Draw two histograms, back to back, in shares of their images.

    Positions across are percentages and those down are pixels: the chart is as wide as the page
    lets it be, and its letters stay as they are.
    """
    drawn = np.concatenate([normal_scores, scores, [] if threshold is None else [threshold]])
    if not len(drawn):
        return "<p>There is no score to draw.</p>"
    # Few scores far above the others would leave these a single bar.
    log = drawn.min() > 0 and drawn.max() > 10 * np.median(drawn)
    axis = np.log10 if log else np.asarray
    low, high = float(axis(drawn.min())), float(axis(drawn.max()))
    if low == high:
        low, high = low - abs(low) / 2 - 1e-9, high + abs(high) / 2 + 1e-9
    step = (high - low) / _BINS
    # Bars are counted from the threshold, so that each is on one side of it.
    origin = low if threshold is None else axis(threshold)
    start = np.floor((low - origin) / step)
    n_bins = np.floor((high - origin) / step) - start + 1

    def across(position: float) -> float:
        return 100 * ((position - origin) / step - start) / n_bins

    halves = []
    for values, kind in ((normal_scores, "held-out good"), (scores, "scored")):
        bins, counts = np.unique(np.floor((axis(values) - origin) / step), return_counts=True)
        halves.append((bins, counts, len(values), kind))
    highest = max(((counts / n).max() for _, counts, n, _ in halves if n), default=1)
    pieces = []
    for bins, counts, n, kind in halves:
        for place, count in zip(bins, counts, strict=True):
            height = max(2.0, _LONGEST * count / n / highest)  # one image of thousands is seen too
            if kind == "scored":
                top = _HANG
                look = "anomaly" if threshold is not None and place >= 0 else "normal"
            else:
                top, look = _STAND - height, "good"
            ends = [origin + step * place, origin + step * (place + 1)]
            left, right = (_short(10**end if log else end) for end in ends)
            pieces.append(
                f'<rect class="{look}" x="{across(ends[0]) + 0.1:.2f}%" y="{top:.1f}" '
                f'width="{100 / n_bins - 0.2:.2f}%" height="{height:.1f}">'
                f"<title>{left} to {right}: {count:,} of {_images(n, kind)}</title></rect>"
            )
    for tick in _ticks(low, high, log):
        x = across(axis(tick))
        if 3 < x < 97:
            pieces.append(f'<text x="{x:.2f}%" y="152" text-anchor="middle">{_short(tick)}</text>')
    for y in (_STAND, _HANG):
        pieces.append(f'<line class="axis" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
    if threshold is not None:
        x = across(origin)
        side, dx = ("start", 6) if x < 60 else ("end", -6)
        for top, bottom in ((26, _STAND), (_HANG, _HANG + 92)):
            pieces.append(
                f'<line class="threshold" x1="{x:.2f}%" x2="{x:.2f}%" y1="{top}" y2="{bottom}"/>'
            )
        pieces.append(
            f'<text class="said" x="{x:.2f}%" dx="{dx}" y="38" text-anchor="{side}">'
            f"threshold {_short(threshold)}</text>"
        )
    scale = "score, logarithmic" if log else "score"
    above, below = _images(len(normal_scores), "held-out good"), _images(len(scores), "scored")
    return (
        f'<svg role="img" aria-label="Distribution of scores: {above} above, {below} below">'
        f'<text y="14">▲ {above}: share at each score</text>{"".join(pieces)}'
        f'<text y="266">▼ {below}</text>'
        f'<text x="100%" y="266" text-anchor="end">{scale} →</text></svg>'
    )


def _ticks(low: float, high: float, log: bool) -> list[float]:
    """Choose a few round numbers about two ends, which are exponents if `log`."""
    if log:
        decades = range(math.floor(low), math.ceil(high) + 1)
        digits = (1, 2, 5) if high - low < 2 else (1,)
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        return ticks[:: math.ceil(len(ticks) / 9)]
    third = (high - low) / 3
    unit = 10.0 ** math.floor(math.log10(third))
    step = max(unit * digit for digit in (1, 2, 5) if unit * digit <= third)
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _items(sentences: Iterable[str]) -> str:
    return "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)


def _images(n: int, kind: str = "") -> str:
    return f"{n:,} {kind} {'image' if n == 1 else 'images'}".replace("  ", " ")


def _percent(share: float) -> str:
    return f"{100 * share:.3g}\N{NO-BREAK SPACE}%"


def _short(score: float) -> str:
    """Write a score with four digits."""
    return f"{float(f'{score:.4g}'):,.10g}"
