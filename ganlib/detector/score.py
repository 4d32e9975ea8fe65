"""Scoring image files, thousands of them: what is done stays done, and memory stays flat."""

import csv
import hashlib
import json
import os
import re
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from keras import ops

from ganlib.data.folder import SUFFIXES, list_folders, list_images
from ganlib.data.images import try_decode
from ganlib.detector.detector import Detector
from ganlib.detector.heat import draw_heat, overlay
from ganlib.detector.report import Entry, Summary, strip, write_report
from ganlib.errors import GanlibError
from ganlib.files import only_one, remove_unfinished, shown, write_safely

CHUNK = 128  # images: what is in memory at a time, twice
COLUMNS = ("file", "score", "above_normals", "is_anomaly", "error")


class Counts(NamedTuple):
    """How many images were scored, called anomalies, and could not be read."""

    scored: int
    anomalies: int
    unreadable: int


class Outputs(NamedTuple):
    """What is to be written of the images scored; None is not written.

    Attributes:
        csv: a table, one row per image in their order: `file`, `score`, `above_normals` (share of
            held-out normal images with a lower score), `is_anomaly`, and `error` (why an image
            could not be read).
        report: an HTML page, see `ganlib.detector.report`.
        heat_maps: a folder for a picture per image, see `ganlib.detector.heat`.
    """

    csv: Path | None = None
    report: Path | None = None
    heat_maps: Path | None = None


def find_images(places: Iterable[str | Path]) -> list[str]:
    """List image files.

    Args:
        places: files, taken whatever their names end in; and folders, of which all images are
            taken, those in folders in them too, but nothing hidden.

    Returns:
        Paths as given or below those given, sorted within a folder, each once.

    Raises:
        GanlibError: a place is not there, or a folder holds no image.
    """
    found: dict[str, None] = {}
    for place in map(Path, places):
        if place.is_dir():
            below = list(_below(place))
            if not below:
                raise GanlibError(
                    f"{shown(place)} holds no image ({', '.join(sorted(SUFFIXES))}). Give a folder "
                    "with images, or image files."
                )
            found |= dict.fromkeys(below)
        elif place.exists() or place.is_symlink():  # a broken link is an image that cannot be read
            found[str(place)] = None
        else:
            raise GanlibError(f"{shown(place)} is not there. Give image files or folders of them.")
    return list(found)


def _below(folder: Path) -> Iterator[str]:
    yield from (str(folder / name) for name in list_images(folder))
    for name in list_folders(folder):
        if not (folder / name).is_symlink():  # it may lead back to here
            yield from _below(folder / name)


class Scored(NamedTuple):
    """What the detector says of one file.

    Attributes:
        file: its path.
        error: why it could not be read, or None; then all else is None.
        score: float32.
        image: uint8 `(image_size, image_size, channels)`, as the detector saw it.
        reconstruction: the same, as rebuilt.
        heat_map: float32 `(image_size, image_size)`.
    """

    file: str
    error: str | None = None
    score: np.float32 | None = None
    image: np.ndarray | None = None
    reconstruction: np.ndarray | None = None
    heat_map: np.ndarray | None = None


def score_images(
    detector: Detector, files: Sequence[str], on_error: str = "raise"
) -> Iterator[Scored]:
    """Score image files, decoding the next ones while the detector is at work.

    Args:
        detector: its card says how images become square.
        files: paths.
        on_error: "raise": a file that cannot be read is an error; "skip": it is yielded with one.

    Yields:
        A `Scored` per file, in their order.

    Raises:
        GanlibError: a file cannot be read and `on_error` is "raise"; what came before it has been
            yielded.
    """
    shape = (detector.image_size, detector.channels, detector.resize)
    waiting: deque = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool, ExitStack() as left:
        left.callback(pool.shutdown, cancel_futures=True)
        for start in range(0, len(files), CHUNK):
            part = files[start : start + CHUNK]
            waiting.append((part, [pool.submit(try_decode, Path(file), *shape) for file in part]))
            if len(waiting) > 1:
                yield from _answer(detector, *waiting.popleft(), on_error)
        for part, decoding in waiting:
            yield from _answer(detector, part, decoding, on_error)


def _answer(detector: Detector, files: Sequence[str], decoding: list, on_error: str):
    decoded = [each.result() for each in decoding]
    good = [image for image in decoded if not isinstance(image, GanlibError)]
    answers = iter(())
    if good:
        detection, heat = detector.examine(np.stack(good))
        answers = zip(detection.scores, good, detection.reconstructions, heat, strict=True)
    for file, image in zip(files, decoded, strict=True):
        if not isinstance(image, GanlibError):
            yield Scored(file, None, *next(answers))
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
    """Score image files and write what is asked for.

    Every chunk's answers are kept in a journal beside what is written, so that after an
    interruption the same call goes on with what is left. A file that has changed since is scored
    anew, and so are all if the detector has. When all is done the files are written, whole or not
    at all, and the journal is removed.

    Args:
        detector: the detector.
        files: paths, each once, from `find_images`.
        outputs: what to write.
        detector_name: of its file, for the report.
        scored: what was scored, for the report.
        on_error: "raise" or "skip", see `score_images`.
        on_scored: called with every answer, those from before an interruption too, in their order.

    Returns:
        The counts.

    Raises:
        GanlibError: a file cannot be read, or another process writes the same.
    """
    if on_error not in ("raise", "skip"):
        raise GanlibError(f"on_error is {on_error!r}: choose raise | skip.")
    first = next((path for path in outputs if path is not None), None)
    with ExitStack() as stack:
        if first is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            folder = Path(first).parent / f".{Path(first).name}.unfinished"
            stack.enter_context(only_one(folder, f"scoring to {shown(first)}", wait=0))
            _remove_unfinished(outputs)
        journal = stack.enter_context(_Journal(folder / "journal", _about(detector, outputs)))
        entries = _with_journal(detector, files, outputs, on_error, journal)
        counts = Counts(0, 0, 0)
        for entry in entries:
            on_scored(entry)
            counts = Counts(
                counts.scored + (not entry.error),
                counts.anomalies + bool(entry.is_anomaly),
                counts.unreadable + bool(entry.error),
            )
        _write(detector, files, outputs, detector_name, scored, journal)
        if first is not None:
            journal.close()
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
    return counts


def _remove_unfinished(outputs: Outputs) -> None:
    """Remove what a run that was killed had begun to write."""
    for path in (outputs.csv, outputs.report):
        if path is not None:
            remove_unfinished(Path(path).parent, Path(path).name)
    if outputs.heat_maps is not None:
        remove_unfinished(outputs.heat_maps)


def _with_journal(
    detector: Detector,
    files: Sequence[str],
    outputs: Outputs,
    on_error: str,
    journal: "_Journal",
) -> Iterator[Entry]:
    """Yield the answers of the journal, then those that it lacks, which it is given."""
    stamps = {file: _stamp(file) for file in files}
    left = [file for file in files if not journal.has(file, stamps[file])]
    missing = set(left)
    yield from (journal.entry(file) for file in files if file not in missing)
    names = _picture_names(files)
    for number, one in enumerate(score_images(detector, left, on_error), 1):
        entry = _entry(detector, one, with_picture=outputs.report is not None)
        if outputs.heat_maps is not None and not entry.error:
            caption = caption_of(entry, detector.threshold, len(detector.normal_scores))
            drawn = draw_heat(one.file, one.heat_map, detector.resize, caption)
            path = Path(outputs.heat_maps) / names[one.file]
            write_safely(path, lambda at, drawn=drawn: drawn.save(at, compress_level=1))
        journal.add(entry, stamps[one.file], flush=number % CHUNK == 0)
        yield entry


def _entry(detector: Detector, one: Scored, with_picture: bool) -> Entry:
    if one.error:
        return Entry(one.file, error=one.error)
    threshold = detector.threshold
    picture = b""
    if with_picture:
        picture = strip(one.image, one.reconstruction, overlay(one.image, one.heat_map))
    return Entry(
        file=one.file,
        # Its own digits and no more, as they are written in the table.
        score=float(str(one.score)),
        above=float(detector.above(one.score)) if len(detector.normal_scores) else None,
        # A float32 against a threshold that was made one, as in `is_anomaly`.
        is_anomaly=None if threshold is None else bool(float(one.score) >= threshold),
        picture=picture,
    )


def caption_of(entry: Entry, threshold: float | None, normals: int) -> str:
    """Say in a line what a score means."""
    words = [f"score {entry.score:.4g}"]
    if entry.above is not None:
        share = "all" if entry.above == 1 else f"{entry.above:.0%} of"
        words.append(f"above {share} {normals} held-out good images")
    if threshold is not None:
        verdict = "ANOMALY" if entry.is_anomaly else "normal"
        words.append(f"threshold {threshold:.4g}: {verdict}")
    return " · ".join(words)


def _picture_names(files: Sequence[str]) -> dict[str, str]:
    """Name the heat map of every file: as the file, and apart from those of the same name."""
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


def _write(
    detector: Detector,
    files: Sequence[str],
    outputs: Outputs,
    detector_name: str,
    scored: str,
    journal: "_Journal",
) -> None:
    if outputs.csv is not None:
        write_safely(outputs.csv, lambda path: _write_csv(path, map(journal.entry, files)))
    if outputs.report is not None:
        summary = summary_of(detector, detector_name, scored)
        write_report(outputs.report, summary, map(journal.entry, files))


def _write_csv(path: Path, entries: Iterable[Entry]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for entry in entries:
            values = (entry.score, entry.above, entry.is_anomaly, entry.error)
            table.writerow([entry.file, *("" if value is None else value for value in values)])


def summary_of(detector: Detector, detector_name: str, scored: str) -> Summary:
    """Say what a reader of a report must know of the detector.

    Args:
        detector: the detector.
        detector_name: of its file.
        scored: what was scored.

    Returns:
        The `Summary`.
    """
    card = dict(detector.card)
    notes = list(card.pop("notes", []))
    return Summary(
        title=f"{card.get('images', detector_name)}: scored images",
        detector=detector_name,
        when=time.strftime("%Y-%m-%d %H:%M"),
        scored=scored,
        threshold=detector.threshold,
        false_alarm_rate=card.get("false_alarm_rate"),
        normal_scores=detector.normal_scores,
        notes=notes,
        card=card,
    )


def _stamp(file: str) -> list[int]:
    """Tell a file from what it was before; nothing if it cannot be looked at."""
    try:
        about = Path(file).stat()
    except OSError:
        return []
    return [about.st_size, about.st_mtime_ns]


def _about(detector: Detector, outputs: Outputs) -> str:
    """Digest all that the answers depend on, but for the images."""
    digest = hashlib.sha256()
    for variable in detector.variables:
        digest.update(ops.convert_to_numpy(variable.value).tobytes())
    asked = [outputs.report is not None, str(outputs.heat_maps)]
    about = [detector.thresholds, detector.resize, detector.normal_scores.tolist(), asked]
    digest.update(json.dumps(about).encode())
    return digest.hexdigest()


class _Journal:
    """Answers on disk, one line each, found again by the name of the file."""

    def __init__(self, path: Path, about: str):
        self._places: dict[str, tuple[int, list[int]]] = {}
        header = json.dumps({"about": about}).encode() + b"\n"
        self._file = path.open("a+b")
        self._file.seek(0)
        if self._file.readline() == header:
            self._read(len(header))
        else:
            self._file.truncate(0)
            self._file.write(header)

    def _read(self, place: int) -> None:
        for line in self._file:
            if not line.endswith(b"\n"):  # the process was killed while it wrote
                self._file.truncate(place)
                break
            said = json.loads(line)
            self._places[said["file"]] = place, said["stamp"]
            place += len(line)

    def __enter__(self) -> "_Journal":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def has(self, file: str, stamp: list[int]) -> bool:
        # What could not be read is tried again: its rights may have changed, which leaves no trace.
        return bool(stamp) and self._places.get(file, (0, None))[1] == stamp

    def add(self, entry: Entry, stamp: list[int], flush: bool) -> None:
        said = entry._asdict() | {
            "picture": entry.picture.hex(),
            "stamp": [] if entry.error else stamp,
        }
        self._file.seek(0, os.SEEK_END)
        self._places[entry.file] = self._file.tell(), said["stamp"]
        self._file.write(json.dumps(said).encode() + b"\n")
        if flush:
            self._file.flush()

    def entry(self, file: str) -> Entry:
        self._file.seek(self._places[file][0])
        said = json.loads(self._file.readline())
        del said["stamp"]
        return Entry(**{**said, "picture": bytes.fromhex(said["picture"])})
