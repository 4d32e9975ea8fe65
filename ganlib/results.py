"""Results as files: what a run found, on what, with what."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from ganlib.data import Dataset, Split
from ganlib.errors import GanlibError
from ganlib.files import only_one, slug, write_safely
from ganlib.models.detection import Detection
from ganlib.settings import Settings

PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "numpy", "scikit-learn")


def write_csv(path: str | Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV without its index.

    Args:
        path: the file.
        table: any table.

    Returns:
        The path.
    """
    return write_safely(path, lambda p: table.to_csv(p, index=False))


def write_examples(
    path: str | Path, images: np.ndarray, detection: Detection, examples: pd.DataFrame
) -> Path:
    """Write a few images with reconstruction, residual and score, for the figures.

    Args:
        path: the .npz file.
        images: uint8 `(n, height, width, channels)`.
        detection: what a detector said of them.
        examples: the images to keep: the index holds their row numbers, the column `group` what
            they were used for.

    Returns:
        The path.
    """
    rows = examples.index.to_numpy()
    arrays = {name: values[rows] for name, values in detection._asdict().items()}
    arrays |= {"images": images[rows], "groups": examples["group"].to_numpy(str)}
    return write_safely(path, lambda p: np.savez_compressed(p, **arrays))


def write_json(path: str | Path, values: dict) -> Path:
    """Write a dictionary as JSON.

    Args:
        path: the file.
        values: plain numbers, strings, lists and dictionaries; NumPy's scalars are made plain.

    Returns:
        The path.
    """
    text = json.dumps(values, indent=1, default=lambda value: value.item())
    return write_safely(path, lambda p: p.write_text(text + "\n"))


def run_folder(
    runs_dir: str | Path, profile: str, dataset: str, protocol: str, seed: int, method: str
) -> Path:
    """Name the folder of one run: what trains, scores or compares finds it under the same name.

    Args:
        runs_dir: the folder of all runs.
        profile: name of the profile.
        dataset: name of the data set.
        protocol: "paper" or "grouped".
        seed: seed of the run.
        method: name of the method.

    Returns:
        The folder; it need not exist.
    """
    return Path(runs_dir, profile, dataset, protocol, f"seed-{seed}", slug(method))


def run_row(
    dataset: Dataset,
    split: Split,
    method: str,
    family: str,
    protocol: str,
    seed: int,
    profile: str,
    settings: Settings,
    train_seconds: float,
    score_ms_per_image: float,
) -> dict:
    """Put together what tells one run: the row of `results.csv` but for the figures of merit.

    Args:
        dataset: what was opened.
        split: how it was split.
        method: name of the method.
        family: "GAN" or "baseline".
        protocol: "paper" or "grouped".
        seed: seed of the run.
        profile: name of the profile.
        settings: the profile's values as used.
        train_seconds: time of training, seconds.
        score_ms_per_image: time of scoring, milliseconds per image.

    Returns:
        The row: data, method, settings, times and `environment`. Its `preset` is "corrected", none
        of the published notebooks' defects; `04_errata` puts others in its place.
    """
    return {
        "dataset": dataset.name,
        "source": dataset.source,
        "caption": dataset.caption,
        "digest": dataset.digest,
        "n_skipped": len(dataset.skipped),
        "profile": profile,
        "protocol": protocol,
        "family": family,
        "method": method,
        "preset": "corrected",
        "seed": seed,
        "n_train": len(split.train),
        "n_calibration": len(split.calibration),
        **asdict(settings),
        "train_seconds": train_seconds,
        "score_ms_per_image": score_ms_per_image,
        **environment(),
    }


def write_run(
    folder: str | Path, row: dict, table: pd.DataFrame, images: np.ndarray, detection: Detection
) -> None:
    """Write what a run found: `scores.csv`, `examples.npz` and, last, `result.json`.

    Args:
        folder: from `run_folder`.
        row: from `run_row`.
        table: the images scored, as `ganlib.data.add_truth` returns them, with a column `score`.
        images: uint8 `(n, height, width, channels)`, the images of the table's lines.
        detection: what the detector said of them.
    """
    folder = Path(folder)
    with only_one(folder, "writing results"):
        write_csv(folder / "scores.csv", table)
        write_examples(folder / "examples.npz", images, detection, pick_examples(table))
        write_json(folder / "result.json", row)


def pick_examples(table: pd.DataFrame, each: int = 4) -> pd.DataFrame:
    """Choose the images that figures show: the first of each group, and the worst errors.

    Args:
        table: with the columns `group`, `label` and `score`.
        each: how many of each group, of the false alarms (test normals with the highest scores) and
            of the misses (anomalies with the lowest).

    Returns:
        Lines of the table with their index; `group` is "false alarm" and "miss" for the errors.
    """
    test = table[table["group"].str.startswith("test")]
    false_alarms = test[test["label"] == 0].nlargest(each, "score").assign(group="false alarm")
    misses = test[test["label"] == 1].nsmallest(each, "score").assign(group="miss")
    return pd.concat([table.groupby("group").head(each), false_alarms, misses])


def read_rows(folders: Iterable[str | Path]) -> pd.DataFrame:
    """Read the rows of runs.

    Args:
        folders: folders of runs, each with a `result.json`.

    Returns:
        A line per run; the column `folder` says where it was read.

    Raises:
        GanlibError: a folder has no result.
    """
    rows = []
    for folder in map(Path, folders):
        path = folder / "result.json"
        if not path.is_file():
            raise GanlibError(
                f"{path} is not there: run the notebook that trains this model first, with the "
                "same data set, profile, protocol and seed, or run make figures."
            )
        rows.append({**json.loads(path.read_text()), "folder": str(folder)})
    return pd.DataFrame(rows)


def environment() -> dict[str, str]:
    """Describe what a run ran on.

    Returns:
        `keras_backend`, `device` (the graphics card, or the processor and its cores), `versions` of
        Python and the packages that compute, and the `commit` of ganlib ("unknown" outside git,
        with "+changes" if files differ from it).
    """
    versions = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return {
        "keras_backend": keras.backend.backend(),
        "device": device(),
        "versions": ", ".join(versions),
        "commit": _commit(),
    }


def device() -> str:
    """Name the device that Keras computes on.

    Returns:
        The graphics card's name, or "CPU: " with the processor's name and number of cores.
    """
    if _backend_sees_gpu():
        return _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or "GPU"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU: {_processor()}, {cores} cores"


def _backend_sees_gpu() -> bool:
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow

            return bool(tensorflow.config.list_physical_devices("GPU"))
        case "jax":
            import jax

            return jax.default_backend() == "gpu"
        case "torch":
            import torch

            return torch.cuda.is_available()
    return False


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    here = Path(__file__).parent
    commit = _output("git", "-C", str(here), "rev-parse", "--short", "HEAD")
    if not commit:
        return "unknown"
    # Figures and results are what a run writes, so only what they come from counts as a change.
    changed = _output(
        "git",
        "-C",
        str(here),
        "status",
        "--porcelain",
        "--",
        ".",
        "../notebooks",
        "../requirements.txt",
    )
    return f"{commit}+changes" if changed else commit


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
