"""Write a report of scored images: one HTML file that needs no network and no other file."""

import base64
import hashlib
import io
import json
import math
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.ticker import LogLocator, MaxNLocator
from PIL import Image, ImageOps

from ganlib.detector.detector import Detector
from ganlib.files import write_safely

BINS = 40
LONGEST = 86  # pixels, of the chart's longest bar
GAP = 4  # pixels between the parts of a strip


class Entry(NamedTuple):
    """One image of a report.

    Attributes:
        file: its name, which may hold any character.
        score: None if there is none.
        above: share of held-out normal images with a lower score, 0..1; None: unknown.
        is_anomaly: the verdict; None if there is none.
        error: why the image could not be scored; empty if it was.
        picture: a WebP file, see `strip`; may be empty.
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
    """Draw image, reconstruction and heat map side by side.

    Args:
        image: uint8 `(h, w, 1 or 3)`, like the other two.
        reconstruction: of any size.
        heat_overlay: of any size.
        size: pixels of the longer side of each part.

    Returns:
        A WebP file of 3 to 4 kB.
    """
    picture = Image.new("RGBA", (3 * size + 2 * GAP, size))
    for place, part in enumerate((image, reconstruction, heat_overlay)):
        drawn = Image.fromarray(part[..., 0] if part.shape[-1] == 1 else part).convert("RGBA")
        drawn = ImageOps.pad(drawn, (size, size), Image.Resampling.BILINEAR)
        picture.paste(drawn, (place * (size + GAP), 0))
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=75, method=2)  # 4, the default, takes half as long again
    return file.getvalue()


def write_report(
    path: str | Path, entries: Iterable[Entry], detector: Detector, name: str, scored: str
) -> Path:
    """Write a report, whole or not at all.

    Entries are written one by one, so they may be more than fit into memory.

    Args:
        path: the HTML file.
        entries: the images in any order; the page sorts them.
        detector: that scored them.
        name: of the detector's file.
        scored: what was scored, for instance a folder.

    Returns:
        The path.
    """
    page = Environment(
        loader=PackageLoader("ganlib.detector", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    page.filters |= {"csp": _csp, "images": _images, "short": _short, "plain": _plain}
    scores, verdicts = array("d"), Counter()  # filled while the page is written
    normal = np.asarray(detector.normal_scores, "float64")
    card, threshold = dict(detector.card), detector.threshold
    facts = {"Detector": name, "Scored": scored, "When": time.strftime("%Y-%m-%d %H:%M")}
    if threshold is not None:
        facts["Threshold"] = _short(threshold)
    pieces = page.get_template("report.html").generate(
        title=f"{card.get('images', name)}: scored images",
        facts=facts,
        threshold=threshold,
        rate=card.get("false_alarm_rate"),
        held_out=len(normal),
        notes=card.pop("notes", []),
        card=card,
        entries=_data(entries, scores, verdicts),
        verdicts=verdicts,
        chart=lambda: _chart(normal, np.asarray(scores), threshold),
    )

    def write(unfinished: Path) -> None:
        # File names that are not UTF-8 have half characters, which become references.
        with unfinished.open("w", encoding="utf-8", errors="xmlcharrefreplace") as file:
            file.writelines(pieces)

    return write_safely(path, write)


def _data(entries: Iterable[Entry], scores: array, verdicts: Counter) -> Iterator[dict]:
    """Yield what the page knows of each entry, and collect scores and verdicts."""
    for entry in entries:
        data = {"file": entry.file, "error": entry.error, "score": None, "above": None}
        if entry.error or entry.score is None or not math.isfinite(entry.score):
            data["verdict"] = "unreadable"
            data["error"] = entry.error or f"its score is {entry.score}"
        else:
            names = {None: "none", True: "anomaly", False: "normal"}
            data["verdict"] = names[entry.is_anomaly]
            data["score"] = float(entry.score)
            data["above"] = None if entry.above is None else float(entry.above)
            scores.append(entry.score)
        verdicts[data["verdict"]] += 1
        yield {"data": data, "picture": base64.b64encode(entry.picture).decode()}


def _chart(normal: np.ndarray, scores: np.ndarray, threshold: float | None) -> dict | None:
    """Compute two histograms, in shares of their images; places across are percentages."""
    values = np.concatenate([normal, scores, [] if threshold is None else [threshold]])
    if not len(values):
        return None
    # A few very high scores would squeeze all others into one bar.
    log = bool(values.min() > 0 and values.max() > 10 * np.median(values))
    axis = np.log10 if log else np.asarray
    low, high = float(axis(values.min())), float(axis(values.max()))
    if low == high:
        low, high = low - abs(low) / 2 - 1e-9, high + abs(high) / 2 + 1e-9
    step = (high - low) / BINS
    origin = float(axis(values[-1]))  # the threshold: no bar crosses it
    first, last = np.floor((np.array([low, high]) - origin) / step).tolist()

    def across(place: float) -> float:
        return 100 * (place - first) / (last - first + 1)

    bars = []  # kind, left edge, share, count
    for held_out, of in ((True, normal), (False, scores)):
        places, counts = np.unique(np.floor((axis(of) - origin) / step), return_counts=True)
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            verdict = "anomaly" if threshold is not None and place >= 0 else "normal"
            kind = "good" if held_out else verdict
            bars.append((kind, across(place), count / len(of), count))
    highest = max((share for _, _, share, _ in bars), default=1)
    if log:
        subs = (1, 2, 5) if high - low < 2 else (1,)
        ticks = LogLocator(subs=subs, numticks=9).tick_values(10**low, 10**high)
    else:
        ticks = MaxNLocator(6).tick_values(low, high)
    ticks = [(tick, across((axis(tick) - origin) / step)) for tick in ticks]
    return {
        # A single image of thousands is seen too.
        "bars": [(*bar[:2], max(2, LONGEST * bar[2] / highest), bar[3]) for bar in bars],
        "width": across(first + 1),
        "ticks": [(tick, place) for tick, place in ticks if 3 < place < 97],
        "threshold": across(0),
        "axis": "score, logarithmic" if log else "score",
        "held_out": _images(len(normal), "held-out good"),
        "scored": _images(len(scores), "scored"),
    }


def _csp(text: str) -> str:
    """Name a script or a style in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _images(n: int, kind: str = "") -> str:
    return f"{n:,} {kind} {'image' if n == 1 else 'images'}".replace("  ", " ")


def _short(value: float, digits: int = 4) -> str:
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def _plain(value: object) -> str:
    nested = isinstance(value, list | tuple | dict)
    return json.dumps(value, ensure_ascii=False, default=str) if nested else str(value)
