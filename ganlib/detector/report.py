"""Write a report on scored images: one HTML file that needs no network or other files."""

import base64
import hashlib
import io
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from ganlib import figures
from ganlib.detector.choose import LEAD
from ganlib.detector.detector import Detector
from ganlib.files import write_safely

CLIP = 4  # times the threshold; higher scores would squeeze all others into one bar
GAP = 4  # pixels between the parts of a strip
SENTENCES = {
    "auroc": "AUROC on the test images {auroc:.3f} [{auroc_low:.3f}, {auroc_high:.3f}].",
    "detection_rate": "{detection_rate:.1%} of {n_anomaly} test anomalies were found"
    " at a requested false-alarm rate of {asked:.1%}.",
    "false_alarm_rate": "{false_alarm_rate:.1%} of {n_normal} good test images were flagged.",
    "pixel_auroc": "Heat maps versus masks: pixel AUROC {pixel_auroc:.3f}, PRO {pro:.3f}.",
    "masks": "{masks}",
}


class Entry(NamedTuple):
    """One image of a report; with an error it has no score, verdict or picture."""

    file: str
    score: float | None = None
    above: float | None = None  # share of held-out normal images with a lower score, 0..1
    is_anomaly: bool | None = None
    error: str = ""
    picture: bytes = b""  # see `strip`
    remarks: tuple[str, ...] = ()  # on parts of the file that the image does not show
    heat_map: str = ""  # path of the drawn heat map


def headline(anomalies: int, scored: int, rate: float | None) -> str:
    """Report how many images are flagged, and how many would be if all were good."""
    found = f"{anomalies:,} of {scored:,} images flagged"
    if not scored or rate is None:
        return f"{found}."
    alarms = f"about {scored * rate:,.0f}" if scored * rate >= 1 else "less than one"
    return f"{found}; {alarms} ({100 * rate:.3g} %) false alarms are expected even if all are good."


def chosen_from(card: dict) -> list[str]:
    """Report which candidates a detector's method was chosen from, and why."""
    if not (rows := card.get("chosen")):
        return []
    names = ("method", "auroc", "train_seconds", "ms_per_image")
    table = pd.DataFrame(rows)[list(names)].to_string(index=False)
    why = "was chosen by AUROC: held-out good images against copies with synthetic defects."
    rule = "All but GRDNet, which trains on such defects, are combined unless others lead by"
    rule = [f"{rule} {LEAD:g}."] * (len(rows) > 1)
    return [*table.splitlines(), f"{card['method']} {why}", *rule]


def findings(card: dict) -> list[str]:
    """Summarize a detector's test results, with a warning if it finds few defects."""
    test = {"asked": card.get("false_alarm_rate"), **(card.get("test") or {})}
    lines = [text.format(**test) for name, text in SENTENCES.items() if name in test]
    if "detection_rate" not in test:
        lines.append("Not tested on defects: how many it finds is unknown.")
    elif test["detection_rate"] <= test.get("false_alarm_high", test["asked"]):
        lines.append("Warning: it may flag defects no more often than good images.")
    return lines


def strip(*squares: np.ndarray, size: int = 96) -> bytes:
    """Draw squares, uint8 `(h, h, 1 or 3)`, side by side at height `size`, as a WebP file."""
    picture = Image.new("RGBA", (len(squares) * (size + GAP) - GAP, size))
    for place, square in enumerate(squares):
        drawn = Image.fromarray(square[..., 0] if square.shape[-1] == 1 else square)
        drawn = drawn.convert("RGBA").resize((size, size), Image.Resampling.BILINEAR)
        picture.paste(drawn, (place * (size + GAP), 0))
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=75, method=2)  # the default, 4, takes 50 % longer
    return file.getvalue()


def write_report(
    path: str | Path, entries: Iterable[Entry], detector: Detector, name: str, scored: str
) -> Path:
    """Write a report on the places `scored` by the detector `name`, completely or not at all.

    The entries need not fit into memory.
    """
    options = {"autoescape": True, "trim_blocks": True, "undefined": StrictUndefined}
    page = Environment(loader=PackageLoader("ganlib.detector", "."), **options)
    page.filters["csp"] = lambda text: f"sha256-{_base64(hashlib.sha256(text.encode()).digest())}"
    scores, verdicts = array("d"), Counter()  # filled while the page is written
    normal, card = detector.normal_scores, detector.card
    pieces = page.get_template("report.html").generate(
        title=f"{card.get('images', name)}: scored images",
        facts={"Detector": name, "Scored": scored, "When": time.strftime("%Y-%m-%d %H:%M")},
        threshold=detector.threshold,
        headline=headline,
        rate=card.get("false_alarm_rate"),
        findings=" ".join(findings(card)),
        held_out=len(normal),
        notes=card.get("notes", []),
        entries=_data(entries, scores, verdicts),
        verdicts=verdicts,
        chart=lambda: _chart(normal, np.asarray(scores), detector.threshold),
    )

    def write(unfinished: Path) -> None:
        # File names that are not UTF-8 have lone surrogates, which become references.
        with unfinished.open("w", encoding="utf-8", errors="xmlcharrefreplace") as file:
            file.writelines(pieces)

    return write_safely(path, write)


def _data(entries: Iterable[Entry], scores: array, verdicts: Counter) -> Iterator[dict]:
    for entry in entries:
        verdict = "anomaly" if entry.is_anomaly else "unreadable" if entry.error else "normal"
        scores.extend([] if entry.error else [entry.score])
        verdicts[verdict] += 1
        data = entry._asdict() | {"picture": "", "verdict": verdict}
        yield {"data": data, "picture": _base64(entry.picture)}


def _chart(normal: np.ndarray, scores: np.ndarray, threshold: float) -> str:
    groups = {"held-out good pictures": normal, "scored images": scores}
    most = CLIP * max(threshold, *normal)
    caption = f"Scores above {most:.4g} are drawn at {most:.4g}." if (scores > most).any() else ""
    groups = {name: np.minimum(values, most) for name, values in groups.items() if len(values)}
    figure, file = figures.score_histogram(groups, threshold, "", caption), io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return _base64(file.getvalue())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
