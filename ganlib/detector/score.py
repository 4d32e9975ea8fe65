"""Score thousands of image files: an interrupted run goes on, and memory stays flat."""

import csv
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from keras import ops

from ganlib.data.folder import SUFFIXES, list_folders, list_images
from ganlib.data.images import try_decode
from ganlib.detector.detector import Detector
from ganlib.detector.heat import draw_heat, overlay
from ganlib.detector.report import Entry, strip, write_report
from ganlib.errors import GanlibError
from ganlib.files import only_one, remove_unfinished, shown, write_safely

CHUNK = 128  # images; two chunks are in memory at a time
COLUMNS = ("file", "score", "above_normals", "is_anomaly", "error")


class Counts(NamedTuple):
    """Numbers of images."""

    scored: int
    anomalies: int
    unreadable: int


class Outputs(NamedTuple):
    """Where to write what; None is not written.

    Attributes:
        csv: a table with a row per image, in their order: `file`, `score`, `above_normals` (share
            of held-out normal images with a lower score), `is_anomaly` and `error`.
        report: an HTML page, see `ganlib.detector.report`.
        heat_maps: a folder for a picture per image, see `ganlib.detector.heat`.
    """

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
    """List image files.

    Args:
        places: files with any suffix, and folders, which are searched with all folders in them.

    Returns:
        Paths that begin as those given, sorted within a folder, each once.

    Raises:
        GanlibError: a place does not exist, or has no image.
    """
    found: list[str] = []
    for place in map(Path, places):
        inside = list(_below(place)) if place.is_dir() else [str(place)]
        # A broken link is an image that cannot be read.
        if not inside or not (place.exists() or place.is_symlink()):
            what = "has no image" if place.exists() else "does not exist"
            raise GanlibError(
                f"{shown(place)} {what}: give image files or folders of them "
                f"({', '.join(sorted(SUFFIXES))})."
            )
        found += inside
    return list(dict.fromkeys(found))


def _below(folder: Path) -> Iterator[str]:
    yield from (str(folder / name) for name in list_images(folder))
    for name in list_folders(folder):
        if not (folder / name).is_symlink():  # which may lead back here
            yield from _below(folder / name)


def score_images(
    detector: Detector, files: Sequence[str], on_error: str = "raise"
) -> Iterator[Scored]:
    """Score image files; the next ones are decoded meanwhile.

    Args:
        detector: its card says how images become square.
        files: paths.
        on_error: an image that cannot be read: "raise" an error, or "skip" and yield the reason.

    Yields:
        A `Scored` per file, in their order.

    Raises:
        GanlibError: an image cannot be read, after those before it were yielded.
    """
    shape = (detector.image_size, detector.channels, detector.resize)
    pool = ThreadPoolExecutor()

    def decode(start: int) -> list:
        return [
            pool.submit(try_decode, Path(file), *shape) for file in files[start : start + CHUNK]
        ]

    try:
        following = decode(0)
        for start in range(0, len(files), CHUNK):
            decoding, following = following, decode(start + CHUNK)
            images = [future.result() for future in decoding]
            readable = [image for image in images if not isinstance(image, GanlibError)]
            answers = iter(())
            if readable:
                detection, heat = detector.examine(np.stack(readable))
                answers = zip(
                    detection.scores, readable, detection.reconstructions, heat, strict=True
                )
            for file, image in zip(files[start : start + CHUNK], images, strict=True):
                if not isinstance(image, GanlibError):
                    yield Scored(file, "", *next(answers))
                elif on_error == "raise":
                    raise image
                else:
                    yield Scored(file, " ".join(str(image).split("\n")[0].split()))
    finally:
        pool.shutdown(cancel_futures=True)


def score_files(
    detector: Detector,
    files: Sequence[str],
    outputs: Outputs,
    detector_name: str,
    scored: str,
    on_error: str = "raise",
    on_scored: Callable[[Entry], object] = lambda entry: None,
) -> Counts:
    """Score image files and write the outputs.

    A journal beside the first output keeps all answers, so the same call continues an interrupted
    one. Files that have changed since are scored again, and all are with another detector. At the
    end each output is written, whole or not at all, and the journal is deleted.

    Args:
        detector: a detector.
        files: paths, each once, from `find_images`.
        outputs: what to write.
        detector_name: name of the detector's file, for the report.
        scored: what was scored, for the report.
        on_error: "raise" or "skip", see `score_images`.
        on_scored: called with every answer; those of the journal come first.

    Raises:
        GanlibError: an image cannot be read, or another process writes to the same place.
    """
    if on_error not in ("raise", "skip"):
        raise GanlibError(f"on_error is {on_error!r}: choose raise | skip.")
    first = next((path for path in outputs if path is not None), None)
    scores = anomalies = 0
    with ExitStack() as stack:
        if first is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            folder = Path(first).parent / f".{Path(first).name}.unfinished"
            stack.enter_context(only_one(folder, f"scoring to {shown(first)}", wait=0))
            for path in filter(None, outputs[:2]):
                remove_unfinished(Path(path).parent, Path(path).name)
            if outputs.heat_maps is not None:
                remove_unfinished(outputs.heat_maps)
        with closing(_Journal(folder / f"{_digest(detector, outputs)}.journal")) as journal:
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


def _answers(
    detector: Detector, files: Sequence[str], outputs: Outputs, on_error: str, journal: "_Journal"
) -> Iterator[Entry]:
    """Yield the answers of the journal, then those that it lacks."""
    stamps = {file: _stamp(file) for file in files}
    missing = {file: None for file in files if not journal.has(file, stamps[file])}
    yield from (journal.entry(file) for file in files if file not in missing)
    names = _picture_names(files)
    for number, one in enumerate(score_images(detector, list(missing), on_error), 1):
        entry = _entry(detector, one, with_picture=outputs.report is not None)
        if outputs.heat_maps is not None and not entry.error:
            caption = _caption(entry, detector.threshold, len(detector.normal_scores))
            picture = draw_heat(one.file, one.heat_map, detector.resize, caption)
            path = Path(outputs.heat_maps) / names[one.file]
            write_safely(path, lambda at, picture=picture: picture.save(at, compress_level=1))
        journal.add(entry, stamps[one.file])
        if number % CHUNK == 0:
            journal.commit()
        yield entry


def _entry(detector: Detector, one: Scored, with_picture: bool) -> Entry:
    if one.error:
        return Entry(one.file, error=one.error)
    threshold = detector.threshold
    heat = overlay(one.image, one.heat_map) if with_picture else None
    return Entry(
        one.file,
        score=float(str(one.score)),  # with the digits of a float32, as the table shows them
        above=float(detector.above(one.score)) if len(detector.normal_scores) else None,
        is_anomaly=None if threshold is None else bool(float(one.score) >= threshold),
        picture=strip(one.image, one.reconstruction, heat) if with_picture else b"",
    )


def _caption(entry: Entry, threshold: float | None, normals: int) -> str:
    words = [f"score {entry.score:.4g}"]
    if entry.above is not None:
        share = "all" if entry.above == 1 else f"{entry.above:.0%} of"
        words.append(f"above {share} {normals} held-out good images")
    if threshold is not None:
        verdict = "ANOMALY" if entry.is_anomaly else "normal"
        words.append(f"threshold {threshold:.4g}: {verdict}")
    return " · ".join(words)


def _picture_names(files: Sequence[str]) -> dict[str, str]:
    """Choose a different name for the heat map of every file, similar to the file's."""
    names, taken = {}, set()
    for file in files:
        stem = re.sub(r"[^\w.-]+", "_", Path(file).name)[-100:]
        name, number = f"{stem}.png", 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}.png"
        taken.add(name.casefold())
        names[file] = name
    return names


def _write_csv(path: Path, entries: Iterable[Entry]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for entry in entries:  # None becomes an empty cell
            table.writerow([entry.file, entry.score, entry.above, entry.is_anomaly, entry.error])


def _stamp(file: str) -> str:
    """Return what changes when a file is written; "" if it cannot be opened."""
    try:
        status = Path(file).stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _digest(detector: Detector, outputs: Outputs) -> str:
    """Digest all that answers depend on but the images."""
    digest = hashlib.sha256()
    for variable in detector.variables:
        digest.update(ops.convert_to_numpy(variable.value).tobytes())
    about = [detector.get_config(), outputs.report is not None, str(outputs.heat_maps)]
    digest.update(json.dumps(about, default=str).encode())
    return digest.hexdigest()[:16]


class _Journal:
    """Answers on disk by the name of the file, with what `_stamp` said of it."""

    def __init__(self, path: Path):
        self._database = sqlite3.connect(path)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS entries (file PRIMARY KEY, stamp, entry, picture)"
        )

    def has(self, file: str, stamp: str) -> bool:
        query = "SELECT stamp FROM entries WHERE file = ?"
        row = self._database.execute(query, [os.fsencode(file)]).fetchone()
        return row == (stamp,) and stamp != ""

    def add(self, entry: Entry, stamp: str) -> None:
        # An error is tried again: rights to read may change, which leaves no trace.
        stamp, answer = "" if entry.error else stamp, json.dumps(entry._replace(picture=None))
        row = [os.fsencode(entry.file), stamp, answer, entry.picture]
        self._database.execute("REPLACE INTO entries VALUES (?, ?, ?, ?)", row)

    def entry(self, file: str) -> Entry:
        query = "SELECT entry, picture FROM entries WHERE file = ?"
        entry, picture = self._database.execute(query, [os.fsencode(file)]).fetchone()
        return Entry(*json.loads(entry))._replace(picture=picture)

    def commit(self) -> None:
        self._database.commit()

    def close(self) -> None:
        self._database.commit()
        self._database.close()
