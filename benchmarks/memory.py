"""Measure the peak memory of training from disk, and whether it grows with the number of images.

Every measurement runs in a separate process, which reports at its end the `VmHWM` of
`/proc/self/status`: its peak resident memory, including libraries and mapped files.
(`ru_maxrss` is unsuitable: it starts at the parent process's value.)

    python -m benchmarks.memory
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LIMIT = 4 * 1024  # MiB, for training at 256x256x1
GROWTH = 1.05  # highest allowed ratio of the memory of 100,000 images to that of 3,000


def measure(
    counts: tuple[int, int] = (3_000, 100_000), steps: int = 20, data: str | Path = "auto"
) -> list[dict]:
    """Measure `training` and `growth`.

    Args:
        counts: numbers of images to compare.
        steps: training steps in each process.
        data: source of the casting images, as for `ganlib.data.open_dataset`.

    Returns:
        One row per measurement: `name`, `value`, `unit`, `note`.
    """
    return training(steps=steps, data=data) + growth(counts)


def training(
    steps: int = 20,
    data: str | Path = "auto",
    image_size: int = 256,
    filters: int = 16,
    batch_size: int = 32,
) -> list[dict]:
    """Train GANomaly and DCGAN on all casting images and measure the memory.

    Args:
        steps: training steps; memory levels off after about ten.
        data: source of the images, as for `ganlib.data.open_dataset`.
        image_size: height and width in pixels.
        filters: width of the networks; the profile `quick` uses 16.
        batch_size: images per step.

    Returns:
        Rows as `measure`'s.
    """
    rows = []
    size = f"{image_size}x{image_size}x1, batch {batch_size}, {filters} filters"
    common = {"dataset": "casting", "image_size": image_size, "filters": filters, "steps": steps}
    common |= {"data": str(data), "batch_size": batch_size}
    with tempfile.TemporaryDirectory() as folder:
        data_dir = folder
        if data == "auto" and not os.environ.get("GANLIB_DATA"):
            data_dir = PROJECT / "data"  # to generate images only once
        for model in ("GANomaly", "DCGAN"):
            # The first model decodes the images, the second reads them from the cache.
            found = _run(**common, model=model, data_dir=str(data_dir), cache_dir=folder)
            name = f"{model} {size}"
            note = (
                f"VmHWM; limit {LIMIT} MiB; at the end {found['anonymous']:.0f} anonymous + "
                f"{found['file']:.0f} of files, {found['grown']:+.0f} in the last half of {steps} "
                f"steps; {found['caption']}"
            )
            rows += [
                _row(f"peak memory, training {name}", found["peak"], "MiB", note),
                _row(f"peak memory before training {name}", found["before"], "MiB", "VmHWM"),
                _row(f"reading a batch {size}", found["read_ms"], "ms", "median of 20"),
                _row(f"training step {name}", found["step_ms"], "ms", "median"),
            ]
            if model == "GANomaly":
                note = f"{found['images']} files to {size[: size.index(',')]}"
                rows.append(_row("decode casting", found["decode_rate"], "images/s", note))
        note = f"{found['images']} images, listing and digesting them"
        rows.append(_row("open casting", 1000 * found["open_s"], "ms", note))
        note = "mapped, not read"
        rows.append(_row("load decoded casting", 1000 * found["load_s"], "ms", note))
    return rows


def growth(counts: tuple[int, ...] = (3_000, 100_000)) -> list[dict]:
    """Open, decode and train on few and many images for one epoch, and compare the memory.

    Args:
        counts: numbers of images, at least 120 each; they are written and deleted again.

    Returns:
        Rows as `measure`'s; the last is the peak memory relative to that of the first count.
    """
    rows, peaks = [], []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            root = write_images(Path(folder) / "images", count)
            written = time.perf_counter() - started
            found = _run(
                dataset="cloud", data=str(root), data_dir=folder, cache_dir=folder,
                model="GANomaly", image_size=32, filters=8, batch_size=128, steps=None,
            )  # fmt: skip
        peaks.append(found["peak"])
        note = (
            f"VmHWM of opening, decoding and an epoch of GANomaly 32x32x1, batch 128, 8 filters; "
            f"{found['before']:.0f} MiB before the training; files written in {written:.0f} s"
        )
        rows += [
            _row(f"peak memory, {count:,} images", found["peak"], "MiB", note),
            _row(f"open {count:,} images", 1000 * found["open_s"], "ms", "32x32 PNG"),
            _row(f"decode {count:,} images", found["decode_rate"], "images/s", "32x32 PNG"),
            _row(f"load {count:,} decoded images", 1000 * found["load_s"], "ms", "mapped"),
        ]
    if len(counts) > 1:
        name = f"memory of {counts[-1]:,} images relative to {counts[0]:,}"
        rows.append(_row(name, peaks[-1] / peaks[0], "1", f"limit {GROWTH}"))
    return rows


def write_images(root: Path, count: int) -> Path:
    """Write small, distinct images like Kaggle's cloud archive, a layout that allows any number.

    Args:
        root: folder to create.
        count: number of images, 10 of them anomalies.

    Returns:
        The root.
    """
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for part, n in {"noncloud": count - 10, "cloud": 10}.items():
        folder = root / part / part
        folder.mkdir(parents=True)
        for i in range(n):
            pixels = random.integers(0, 256, (32, 32), dtype="uint8")
            Image.fromarray(pixels).save(folder / f"{part}_{i:06}.png", compress_level=1)
    return root


def _row(name: str, value: float, unit: str, note: str) -> dict:
    return {"name": name, "value": value, "unit": unit, "note": note}


def _run(**job) -> dict:
    """Run a job in a new process and return its results."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", json.dumps(job)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"Measuring {job} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _work(
    dataset: str,
    data: str,
    data_dir: str,
    cache_dir: str,
    model: str,
    image_size: int,
    filters: int,
    batch_size: int,
    steps: int | None,
) -> dict:
    """Open, decode and train; return MiB, seconds and milliseconds."""
    import keras
    import numpy as np

    from ganlib import data as images_of
    from ganlib.data.batches import Batches
    from ganlib.models import DCGAN, GANomaly
    from ganlib.models.base import feed

    open_s, opened = _timed(images_of.open_dataset, dataset, data, data_dir)
    shape = (image_size, 1, cache_dir)
    decode_s, images = _timed(images_of.load_images, opened, *shape)
    load_s, images = _timed(images_of.load_images, opened, *shape)
    batches = Batches(images, images_of.paper_split(opened).train, batch_size)
    read = [_timed(batches.__getitem__, i % len(batches))[0] for i in range(20)]
    before = resident()["VmHWM"]

    network = {"DCGAN": DCGAN, "GANomaly": GANomaly}[model](image_size, 1, filters=filters)
    network.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
    grown, ends = [], []

    def note(batch, logs):
        grown.append(resident()["VmRSS"])
        ends.append(time.perf_counter())

    network.fit(
        feed(batches),
        steps_per_epoch=steps and min(steps, len(batches)),
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=note)],
    )
    memory = resident()
    return {
        "peak": memory["VmHWM"],
        "anonymous": memory["RssAnon"],
        "file": memory["RssFile"],
        "before": before,
        "grown": grown[-1] - grown[len(grown) // 2],
        "read_ms": 1000 * float(np.median(read)),
        "step_ms": 1000 * float(np.median(np.diff(ends))),
        "open_s": open_s,
        "decode_rate": len(images) / decode_s,
        "load_s": load_s,
        "images": len(images),
        "caption": opened.caption,
    }


def _timed(function, *arguments):
    started = time.perf_counter()
    answer = function(*arguments)
    return time.perf_counter() - started, answer


def resident() -> dict[str, float]:
    """Return the memory of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    names = ("VmHWM", "VmRSS", "RssAnon", "RssFile")
    return {name: int(values[name].split()[0]) / 1024 for name in names}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_work(**json.loads(sys.argv[1]))))
    else:
        for row in measure():
            print(f"{row['value']:10.2f} {row['unit']:9} {row['name']} ({row['note']})")
