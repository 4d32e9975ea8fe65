"""Score thousands of image files: an interrupted run goes on, and memory stays flat."""

import csv
import functools
import hashlib
import itertools
import json
import os
import re
import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganlib.data.folder import SUFFIXES, list_folders, list_images
from ganlib.data.loading import decode_in_parallel
from ganlib.detector.detector import Detector
from ganlib.detector.heat import draw_heat, overlay
from ganlib.detector.report import Entry, strip, write_report
from ganlib.errors import GanlibError
from ganlib.files import only_one, remove_unfinished, shown, write_safely

CHUNK = 128  # images that are scored at a time

Counts = namedtuple("Counts", "scored anomalies unreadable")  # of images


class Outputs(NamedTuple):
    """A table, an HTML page, and a folder for a picture per image; None is not written."""

    csv: Path | None = None
    report: Path | None = None
    heat_maps: Path | None = None


class Scored(NamedTuple):
    """One image file: an error, or score, square image, reconstruction and heat map."""

    file: str
    error: str = ""
    score: np.float32 | None = None
    image: np.ndarray | None = None
    reconstruction: np.ndarray | None = None
    heat_map: np.ndarray | None = None


def find_images(places: Iterable[str | Path]) -> list[str]:
    """List, each once, files with any suffix, and the images in folders and the folders in them."""
    found: list[str] = []
    for place in map(Path, places):
        inside = list(_below(place)) if place.is_dir() else [str(place)]
        # A broken link is an image that cannot be read.
        if not inside or not (place.exists() or place.is_symlink()):
            what = "has no image" if place.exists() else "does not exist"
            known = ", ".join(sorted(SUFFIXES))
            raise GanlibError(f"{shown(place)} {what}: give images or folders of them ({known}).")
        found += inside
    return list(dict.fromkeys(found))


def _below(folder: Path) -> Iterator[str]:
    yield from (str(folder / name) for name in list_images(folder))
    for name in list_folders(folder):
        if not (folder / name).is_symlink():  # which may lead back here
            yield from _below(folder / name)


def score_images(detector: Detector, files: Sequence[str], on_error="raise") -> Iterator[Scored]:
    """Score image files; the next ones are decoded meanwhile.

    At an image that cannot be read, "raise" a `GanlibError`, or "skip" it and yield the reason.
    """
    shape = (detector.image_size, detector.channels, detector.resize)
    with closing(decode_in_parallel(map(Path, files), *shape)) as decoded:
        pairs = zip(files, decoded, strict=True)
        while images := list(itertools.islice(pairs, CHUNK)):
            readable = [image for _, image in images if not isinstance(image, GanlibError)]
            answers = iter(())
            if readable:
                (scores, reconstructions, _), heat = detector.examine(np.stack(readable))
                answers = zip(scores, readable, reconstructions, heat, strict=True)
            for file, image in images:
                if not isinstance(image, GanlibError):
                    yield Scored(file, "", *next(answers))
                elif on_error == "raise":
                    raise image
                else:
                    yield Scored(file, " ".join(str(image).split("\n")[0].split()))


def score_files(
    detector: Detector,
    files: Sequence[str],
    outputs: Outputs,
    detector_name: str,
    scored: str,
    on_error: str = "raise",
    on_scored: Callable[[Entry], object] = lambda entry: None,
) -> Counts:
    """Score image files, each once, and write the outputs, whole or not at all.

    A journal beside the first output keeps all answers, so the same call continues an interrupted
    one. Files that have changed since are scored again, and all are with another detector.

    `detector_name` and `scored` are for the report; `on_scored` gets all answers, old ones first.
    """
    if detector.threshold is None:
        raise GanlibError("This detector has no threshold yet: call calibrate_on.")
    first = next(map(Path, filter(None, outputs)), None)
    scores = anomalies = 0
    place = ""  # SQLite's name for a temporary file
    with ExitStack() as stack:
        if first is not None:
            folder = first.with_name(f".{first.name}.unfinished")
            place = folder / f"{_digest(detector, outputs)}.journal"
            stack.enter_context(only_one(folder, f"scoring to {shown(first)}", wait=0))
            for path in map(Path, filter(None, outputs[:2])):
                remove_unfinished(path.parent, path.name)
            if outputs.heat_maps is not None:
                remove_unfinished(outputs.heat_maps)
        with closing(_Journal(place)) as journal:
            for entry in _answers(detector, files, outputs, on_error, journal):
                on_scored(entry)
                scores += not entry.error
                anomalies += bool(entry.is_anomaly)
            if outputs.csv is not None:
                write_safely(outputs.csv, lambda path: _write_csv(path, map(journal.entry, files)))
            if outputs.report is not None:
                entries = map(journal.entry, files)
                write_report(outputs.report, entries, detector, detector_name, scored)
        if first is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return Counts(scores, anomalies, len(files) - scores)


def _answers(detector, files, outputs: Outputs, on_error: str, journal) -> Iterator[Entry]:
    stamps = {file: _stamp(file) for file in files}
    missing = {file: None for file in files if not journal.has(file, stamps[file])}
    yield from (journal.entry(file) for file in files if file not in missing)
    names = _picture_names(files)
    for number, one in enumerate(score_images(detector, list(missing), on_error), 1):
        entry = _entry(detector, one, with_picture=outputs.report is not None)
        if outputs.heat_maps is not None and not entry.error:
            about = (detector.resize, _caption(entry, detector), entry.is_anomaly)
            picture = draw_heat(one.file, one.heat_map, *about)
            save = functools.partial(picture.save, compress_level=1)
            write_safely(Path(outputs.heat_maps) / names[one.file], save)
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
    return Entry(one.file, score, above, is_anomaly, picture=picture)


def _caption(entry: Entry, detector: Detector) -> str:
    normals, verdict = len(detector.normal_scores), "ANOMALY" if entry.is_anomaly else "normal"
    place = f"above {entry.above * normals:.0f} of {normals} held-out good pictures"
    return f"score {entry.score:.4g} · {place} · threshold {detector.threshold:.4g}: {verdict}"


def _picture_names(files: Sequence[str]) -> dict[str, str]:
    """Choose a different name for the heat map of every file, similar to the file's."""
    names, taken = {}, set()
    for file in files:
        stem = re.sub(r"[^\w.-]+", "_", Path(file).name)[-100:]
        tries = (f"{stem}{end}.png" for end in itertools.chain([""], itertools.count(-2, -1)))
        names[file] = next(name for name in tries if name.casefold() not in taken)
        taken.add(names[file].casefold())
    return names


def _write_csv(path: Path, entries: Iterable[Entry]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "score", "above_normals", "is_anomaly", "error"])
        for entry in entries:  # None becomes an empty cell
            table.writerow([entry.file, entry.score, entry.above, entry.is_anomaly, entry.error])


def _stamp(file: str) -> str | None:
    """Return what changes when a file is written; None if it cannot be opened."""
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
    """Answers on disk by the name of the file, with what `_stamp` said of it."""

    def __init__(self, path: str | Path):
        self.database = sqlite3.connect(path)
        columns = "file PRIMARY KEY, stamp, entry, picture"
        self.database.execute(f"CREATE TABLE IF NOT EXISTS entries ({columns})")

    def has(self, file: str, stamp: str | None) -> bool:
        query = "SELECT 1 FROM entries WHERE file = ? AND stamp = ?"  # which no None equals
        return bool(self.database.execute(query, [os.fsencode(file), stamp]).fetchone())

    def add(self, entry: Entry, stamp: str | None) -> None:
        # An error is tried again: rights to read may change, which leaves no trace.
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
