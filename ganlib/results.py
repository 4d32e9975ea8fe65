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
from ganlib.detection import Detection
from ganlib.errors import GanlibError
from ganlib.files import write_safely
from ganlib.profiles import Settings

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


def run_row(
    dataset: Dataset,
    split: Split,
    method: str,
    seed: int,
    profile: str,
    settings: Settings,
    metrics: dict[str, float],
    train_seconds: float,
    score_ms_per_image: float,
) -> dict:
    """Put together the row of `results.csv` that tells one run.

    Args:
        dataset: what was opened.
        split: how it was split.
        method: name of the method.
        seed: seed of the run.
        profile: name of the profile.
        settings: the profile's values as used.
        metrics: from `ganlib.evaluation.evaluate`.
        train_seconds: time of training, seconds.
        score_ms_per_image: time of scoring, milliseconds per image.

    Returns:
        The row: data, method, settings, metrics, times and `environment`.
    """
    return {
        "dataset": dataset.name,
        "source": dataset.source,
        "caption": dataset.caption,
        "digest": dataset.digest,
        "protocol": "paper",
        "profile": profile,
        "method": method,
        "seed": seed,
        "n_train": len(split.train),
        "n_test_normal": len(split.test_normal),
        "n_test_anomaly": len(split.test_anomaly),
        **asdict(settings),
        **metrics,
        "train_seconds": train_seconds,
        "score_ms_per_image": score_ms_per_image,
        **environment(),
    }


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
                "same data set, profile and seed, or run make figures."
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
