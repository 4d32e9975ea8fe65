"""Write a report of scored images: one HTML file that needs no network and no other file."""

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
    " at {asked:.1%} false alarms asked for.",
    "false_alarm_rate": "{false_alarm_rate:.1%} of {n_normal} good test images were flagged.",
    "pixel_auroc": "Heat maps against the masks: pixel AUROC {pixel_auroc:.3f}, PRO {pro:.3f}.",
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
    remarks: tuple[str, ...] = ()  # on what of the file the image does not show
    heat_map: str = ""  # the file it was drawn to


def headline(anomalies: int, scored: int, rate: float | None) -> str:
    """Say how many images are flagged, and how many would be if all were good."""
    found = f"{anomalies:,} of {scored:,} images flagged"
    if not scored or rate is None:
        return f"{found}."
    alarms = f"about {scored * rate:,.0f}" if scored * rate >= 1 else "less than one"
    return f"{found}; {alarms} ({100 * rate:.3g} %) false alarms are expected even if all are good."


def chosen_from(card: dict) -> list[str]:
    """Say what a detector's method was chosen from, and why."""
    if not (rows := card.get("chosen")):
        return []
    names = ("method", "auroc", "train_seconds", "ms_per_image")
    table = pd.DataFrame(rows)[list(names)].to_string(index=False)
    why = "was chosen by the AUROC on held-out good images with defects forged into them."
    rule = "All but GRDNet, which has practised on such, are taken together unless others lead by"
    rule = [f"{rule} {LEAD:g}."] * (len(rows) > 1)
    return [*table.splitlines(), f"{card['method']} {why}", *rule]


def findings(card: dict) -> list[str]:
    """Say what a detector's test images have shown, with a warning if that is little."""
    test = {"asked": card.get("false_alarm_rate"), **(card.get("test") or {})}
    lines = [text.format(**test) for name, text in SENTENCES.items() if name in test]
    if "detection_rate" not in test:
        lines.append("Not tested on defects: how many it finds is unknown.")
    elif test["detection_rate"] <= test.get("false_alarm_high", test["asked"]):
        lines.append("Warning: it may flag defects no more often than good images.")
    return lines


def strip(*squares: np.ndarray, size: int = 96) -> bytes:
    """Draw squares, uint8 `(h, h, 1 or 3)`, side by side and `size` high: a WebP file."""
    picture = Image.new("RGBA", (len(squares) * (size + GAP) - GAP, size))
    for place, square in enumerate(squares):
        drawn = Image.fromarray(square[..., 0] if square.shape[-1] == 1 else square)
        drawn = drawn.convert("RGBA").resize((size, size), Image.Resampling.BILINEAR)
        picture.paste(drawn, (place * (size + GAP), 0))
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=75, method=2)  # 4, the default, takes half as long again
    return file.getvalue()


def write_report(
    path: str | Path, entries: Iterable[Entry], detector: Detector, name: str, scored: str
) -> Path:
    """Write a report on what was scored, by a detector of this name, whole or not at all.

    The entries may be more than fit into memory.
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
        # File names that are not UTF-8 have half characters, which become references.
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
    caption = f"Scores above {most:.4g} are drawn there." if (scores > most).any() else ""
    groups = {name: np.minimum(values, most) for name, values in groups.items() if len(values)}
    figure, file = figures.score_histogram(groups, threshold, "", caption), io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return _base64(file.getvalue())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
