"""Measure speed and memory of scoring thousands of files, compared with the bare model.

A detector of the size that `python -m ganlib train` makes scores images from memory and, in turns,
files to a table. Both run in one process, whose peak memory is measured. Results go to
`scoring.csv`.

    python -m benchmarks.scoring
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.memory import PROJECT, resident

HERE = Path(__file__).parent
SHARE = 0.7  # of the bare model's rate, at least
GROWTH = 1.05  # highest allowed ratio of the memory of all files to that of the fewer
BARE = 1280  # images in memory


def main() -> None:
    """Measure everything and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__)
    parser.add_argument("--counts", type=int, nargs=2, default=(2_000, 10_000))
    given = parser.parse_args()
    from ganlib.files import write_csv
    from ganlib.models.environment import environment

    found = [_in_a_process(count) for count in given.counts]
    few, many = found
    count = given.counts[1]
    share = many["files_rate"] / many["bare_rate"]
    grown = many["peak"] / few["peak"]
    rows = [
        ("bare model, images in memory", many["bare_rate"], "images/s", f"median of {BARE} images"),
        (f"{count:,} files to a table", many["files_rate"], "images/s", many["note"]),
        ("share of the bare model's rate", share, "1", f"at least {SHARE}"),
        (f"peak memory, {given.counts[0]:,} files", few["peak"], "MiB", "VmHWM"),
        (f"peak memory, {count:,} files", many["peak"], "MiB", "VmHWM"),
        ("memory of all relative to the fewer", grown, "1", f"at most {GROWTH}"),
    ]
    table = pd.DataFrame(rows, columns=["what", "value", "unit", "note"])
    table = table.assign(images="GENERATED images (casting-like)", **environment())
    write_csv(HERE / "scoring.csv", table)
    print(table.iloc[:, :4].to_string(index=False))


def _in_a_process(count: int) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", f"from benchmarks.scoring import work; work({count})"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"Scoring {count} files failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def work(count: int) -> None:
    """Score from memory and from files, in turns; print the results as JSON."""
    from ganlib.data.images import decode
    from ganlib.detector import score as scoring
    from ganlib.detector.detector import Detector
    from ganlib.models.ganomaly import GANomaly

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_files(folder / "images", count)
        detector = Detector(GANomaly(64, 1, filters=16), {"resize": "letterbox"})
        first = np.stack([decode(file, 64, 1, "letterbox") for file in files[:64]])
        seen = detector.model.detect(first)
        detector.calibrate_on(seen, 0.05, seen)
        images = np.resize(first, (BARE, *first.shape[1:]))
        detector.examine(images)  # compiles
        bare, seconds = [], []
        parts = np.array_split(np.array(files), 4)
        for number, part in enumerate(parts):
            bare.append(_timed(detector.examine, images))
            outputs = scoring.Outputs(csv=folder / f"{number}.csv")
            asked = (detector, part.tolist(), outputs, "detector", "files")
            seconds.append(_timed(scoring.score_files, *asked))
        rows = sum(len(pd.read_csv(folder / f"{number}.csv")) for number in range(len(parts)))
        assert rows == count, f"{rows} rows of {count} files"
        decoding = _timed(lambda: [decode(file, 64, 1, "letterbox") for file in files[:500]])
    found = {
        "bare_rate": BARE / float(np.median(bare)),
        "files_rate": count / sum(seconds),
        "peak": resident()["VmHWM"],
        "note": f"300x300 JPEG; decoding alone {500 / decoding:.0f} images/s on one core",
    }
    print(json.dumps(found))


def write_files(folder: Path, count: int) -> list[str]:
    """Write JPEG files of the size of the castings', as copies of a few images."""
    from PIL import Image

    from ganlib.data.synthetic import casting_images

    folder.mkdir()
    for number, pixels in enumerate(casting_images(["normal"] * 20, 0, 300)):
        Image.fromarray(pixels.squeeze()).save(folder / f"{number:06}.jpg", quality=90)
    files = [str(folder / f"{number:06}.jpg") for number in range(count)]
    for number in range(20, count):
        Path(files[number]).write_bytes(Path(files[number % 20]).read_bytes())
    return files


def _timed(function, *arguments) -> float:
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
