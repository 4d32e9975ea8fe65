"""Score thousands of image files: interrupted runs continue, and memory stays flat."""

import csv
import functools
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import sqlite3
from collections import Counter, namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganlib.data.folder import HEAT_MAPS, SUFFIXES, folders_below, list_images
from ganlib.data.images import size_of, try_decode
from ganlib.data.loading import in_parallel
from ganlib.detector.detector import Detector
from ganlib.detector.heat import draw_heat, overlay
from ganlib.detector.report import Entry, strip, write_report
from ganlib.errors import GanlibError
from ganlib.files import only_one, remove_unfinished, shown, write_safely

CHUNK = 128  # images scored at a time
UNLIKE = "a shape or size unlike any training image"

Counts = namedtuple("Counts", "scored anomalies unreadable remarks")  # of images; remarks: Counter


class Outputs(NamedTuple):
    """Paths of a table, an HTML page, and a folder of one picture per image; None skips one."""

    csv: Path | None = None
    report: Path | None = None
    heat_maps: Path | None = None


class Scored(NamedTuple):
    """One image file: an error, or score, square image, reconstruction and heat map."""

    file: str
    error: str = ""
    remarks: tuple[str, ...] = ()  # on parts of the file that the image does not show
    score: np.float32 | None = None
    image: np.ndarray | None = None
    reconstruction: np.ndarray | None = None
    heat_map: np.ndarray | None = None


def find_images(places: Iterable[str | Path]) -> list[str]:
    """List files (with any suffix) and the images in folders, recursively, each once."""
    found: list[str] = []
    for place in map(Path, places):
        inside = [str(place)]
        if place.is_dir():
            inside = [str(below / n) for below in folders_below(place) for n in list_images(below)]
        # A broken link counts as an unreadable image.
        if not inside or not (place.exists() or place.is_symlink()):
            what = "has no images" if place.exists() else "does not exist"
            known = ", ".join(sorted(SUFFIXES))
            raise GanlibError(f"{shown(place)} {what}: give images or folders of images ({known}).")
        found += inside
    return list(dict.fromkeys(found))


def score_images(detector: Detector, files: Sequence[str], on_error="raise") -> Iterator[Scored]:
    """Score image files while decoding the next ones.

    If an image cannot be read, "raise" a `GanlibError`, or "skip" it and yield the reason.
    """
    with closing(in_parallel(functools.partial(_read, detector), files)) as decoded:
        while images := list(itertools.islice(decoded, CHUNK)):
            readable = [image for _, image, _ in images if not isinstance(image, GanlibError)]
            answers = iter(())
            if readable:
                (scores, reconstructions, _), heat = detector.examine(np.stack(readable))
                answers = zip(scores, readable, reconstructions, heat, strict=True)
            for file, image, remarks in images:
                if not isinstance(image, GanlibError):
                    yield Scored(file, "", remarks, *next(answers))
                elif on_error == "raise":
                    raise image
                else:
                    yield Scored(file, " ".join(str(image).split("\n")[0].split()))


def _read(detector: Detector, file: str) -> tuple[str, np.ndarray | GanlibError, tuple[str, ...]]:
    remarks: list[str] = []
    shape = (detector.image_size, detector.channels, detector.resize, detector.white)
    image = try_decode(file, *shape, remarks=remarks)
    if not isinstance(image, GanlibError):
        remarks += [UNLIKE] * _is_unlike(size_of(file), **detector.card.get("pictures", {}))
    return file, image, tuple(remarks)


def _is_unlike(size: tuple[int, int], aspect=(0, math.inf), longest=(0, math.inf)) -> bool:
    found, side = size[0] / size[1], max(size)
    return not (
        0.98 * aspect[0] <= found <= 1.02 * aspect[1] and longest[0] / 2 <= side <= 2 * longest[1]
    )


def score_files(
    detector: Detector,
    files: Sequence[str],
    outputs: Outputs,
    detector_name: str,
    places: Sequence[str | Path],
    on_error: str = "raise",
    on_scored: Callable[[Entry], object] = lambda entry: None,
) -> Counts:
    """Score each image file once, and write each output completely or not at all.

    A journal next to the first output keeps all results, so the same call continues an interrupted
    one. Files that have changed since are scored again; with another detector, all files are.

    `places` are where the files were found: heat maps are named by the paths below them.
    `detector_name` is for the report; `on_scored` gets all entries, stored ones first.
    """
    if detector.threshold is None:
        raise GanlibError("This detector has no threshold yet: call calibrate_on.")
    first = next(map(Path, filter(None, outputs)), None)
    scores, anomalies, remarks = 0, 0, Counter()
    place = ""  # SQLite's name for a temporary file
    with ExitStack() as stack:
        if first is not None:
            folder = first.with_name(f".{first.name}.unfinished")
            place = folder / f"{_digest(detector, outputs)}.journal"
            stack.enter_context(only_one(folder, f"scoring to {shown(first)}", wait=0))
            for path in map(Path, filter(None, outputs[:2])):
                remove_unfinished(path.parent, path.name)
            if outputs.heat_maps is not None:
                _prepare(Path(outputs.heat_maps))
        with closing(_Journal(place)) as journal:
            for entry in _answers(detector, files, places, outputs, on_error, journal):
                on_scored(entry)
                scores += not entry.error
                anomalies += bool(entry.is_anomaly)
                remarks.update(entry.remarks)
            if outputs.csv is not None:
                write_safely(outputs.csv, lambda path: _write_csv(path, map(journal.entry, files)))
            if outputs.report is not None:
                entries, scored = map(journal.entry, files), ", ".join(map(str, places))
                write_report(outputs.report, entries, detector, detector_name, scored)
        if first is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return Counts(scores, anomalies, len(files) - scores, remarks)


def _prepare(heat_maps: Path) -> None:
    """Mark a folder of heat maps, so they are never scored as images."""
    if not (mark := heat_maps / HEAT_MAPS).exists():
        if heat_maps.is_dir() and (others := list_images(heat_maps)):
            found = f"{shown(heat_maps)} holds other images, such as {shown(others[0])}"
            raise GanlibError(f"{found}: give a new or empty folder for heat maps.")
        about = "Heat maps drawn by ganlib, which never scores them as images.\n"
        write_safely(mark, lambda path: path.write_text(about))
    remove_unfinished(heat_maps)


def _answers(detector, files, places, outputs: Outputs, on_error: str, journal) -> Iterator[Entry]:
    stamps, pictures = {file: _stamp(file) for file in files}, {}
    if outputs.heat_maps is not None:
        names = _picture_names(files, places).items()
        pictures = {file: Path(outputs.heat_maps, name) for file, name in names}
    done = [file for file in files if journal.has(file, stamps[file])]
    done = [file for file in done if not pictures or pictures[file].exists()]
    yield from map(journal.entry, done)
    known = set(done)
    missing = [file for file in files if file not in known]
    for number, one in enumerate(score_images(detector, missing, on_error), 1):
        entry = _entry(detector, one, with_picture=outputs.report is not None)
        if pictures and not entry.error:
            entry = entry._replace(heat_map=str(pictures[one.file]))
            about = (_caption(entry, detector), entry.is_anomaly, detector.white)
            picture = draw_heat(one.file, one.heat_map, detector.resize, *about)
            save = functools.partial(picture.save, compress_level=1)
            write_safely(pictures[one.file], save)
        journal.add(entry, stamps[one.file])
        if number % CHUNK == 0:
            journal.database.commit()
        yield entry


def _entry(detector: Detector, one: Scored, with_picture: bool) -> Entry:
    if one.error or not np.isfinite(one.score):
        return Entry(one.file, error=one.error or f"its score is {one.score}")
    score = float(str(one.score))  # with the digits of a float32, as the table shows them
    above, is_anomaly = float(detector.above(one.score)), float(one.score) >= detector.threshold
    picture = b""
    if with_picture:
        hot = overlay(one.image, one.heat_map, is_anomaly)
        picture = strip(one.image, one.reconstruction, hot)
    return Entry(one.file, score, above, is_anomaly, "", picture, one.remarks)


def _caption(entry: Entry, detector: Detector) -> str:
    normals, verdict = len(detector.normal_scores), "ANOMALY" if entry.is_anomaly else "normal"
    place = f"above {entry.above * normals:.0f} of {normals} held-out good pictures"
    return f"score {entry.score:.4g} · {place} · threshold {detector.threshold:.4g}: {verdict}"


def _below(file: str, places: Sequence[str | Path]) -> str:
    for place in map(Path, places):
        if place in (path := Path(file)).parents:
            return str(path.relative_to(place if len(places) == 1 else place.parent))
    return Path(file).name


def _picture_names(files: Sequence[str], places: Sequence[str | Path]) -> dict[str, str]:
    """Give the heat map of each file a unique name, from its path below its place."""
    names = {file: re.sub(r"[^\w.-]+", "_", _below(file, places)).encode() for file in files}
    names = {file: name[-100:].decode(errors="ignore") for file, name in names.items()}
    shared = Counter(name.casefold() for name in names.values())
    for file, name in names.items():  # by a hash that does not depend on others
        if shared[name.casefold()] > 1:
            names[file] = f"{name}-{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}"
    return {file: f"{name}.png" for file, name in names.items()}


def _write_csv(path: Path, entries: Iterable[Entry]) -> None:
    # With the byte order mark by which Excel recognizes UTF-8.
    with path.open("w", newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
        table = csv.writer(file, lineterminator="\n")
        columns = ["file", "score", "above_normals", "is_anomaly", "error", "remarks", "heat_map"]
        table.writerow(columns)
        for one in entries:  # None becomes an empty cell
            remarks, verdict = "; ".join(one.remarks), [one.score, one.above, one.is_anomaly]
            words = [_harmless(words) for words in (one.file, one.error, remarks, one.heat_map)]
            table.writerow([words[0], *verdict, *words[1:]])


def _harmless(path: str) -> str:
    """Keep a spreadsheet from evaluating a name; it remains a path to the same file."""
    return f"./{path}" if path.startswith(("=", "+", "-", "@", "\t", "\r")) else path


def _stamp(file: str) -> str | None:
    """Return the size and modification time of a file; None if they cannot be read."""
    with suppress(OSError):
        status = Path(file).stat()
        return f"{status.st_size} {status.st_mtime_ns}"
    return None


def _digest(detector: Detector, outputs: Outputs) -> str:
    about = [detector.get_config(), outputs.report is not None, str(outputs.heat_maps)]
    digest = hashlib.sha256(json.dumps(about, default=str).encode())
    for weights in detector.get_weights():
        digest.update(weights.tobytes())
    return digest.hexdigest()[:16]


class _Journal:
    """Entries on disk by file name, each with the `_stamp` of its file."""

    def __init__(self, path: str | Path):
        self.database = sqlite3.connect(path)
        columns = "file PRIMARY KEY, stamp, entry, picture"
        self.database.execute(f"CREATE TABLE IF NOT EXISTS entries ({columns})")

    def has(self, file: str, stamp: str | None) -> bool:
        query = "SELECT 1 FROM entries WHERE file = ? AND stamp = ?"  # None never matches
        return bool(self.database.execute(query, [os.fsencode(file), stamp]).fetchone())

    def add(self, entry: Entry, stamp: str | None) -> None:
        # Errors are retried: permissions may change, which does not change the stamp.
        stamp, answer = None if entry.error else stamp, json.dumps(entry._replace(picture=None))
        row = [os.fsencode(entry.file), stamp, answer, entry.picture]
        self.database.execute("REPLACE INTO entries VALUES (?, ?, ?, ?)", row)

    def entry(self, file: str) -> Entry:
        query = "SELECT entry, picture FROM entries WHERE file = ?"
        entry, picture = self.database.execute(query, [os.fsencode(file)]).fetchone()
        return Entry(*json.loads(entry))._replace(picture=picture)

    def close(self) -> None:
        self.database.commit()
        self.database.close()
