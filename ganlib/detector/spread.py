"""Scoring a large folder on several processes or machines, with Dask.

Why Dask: it is pure Python, runs on the processes of one machine and on many machines with the same
call, does the work of a worker that was killed again on another, and needs no service beside it.
Ray does the same and is much heavier; tf.distribute is TensorFlow's alone. It is an extra:
`pip install ganlib[spread]`.

Start one worker per GPU, or on processors a few workers with one thread each, and let the workers
share the cores: a backend takes all of them for itself, so N workers would run N times as many
threads as there are cores. Set `TF_NUM_INTRAOP_THREADS` (TensorFlow) or `XLA_FLAGS` (JAX), and
`OMP_NUM_THREADS`, for the workers to cores / N; a `LocalCluster` takes them as
`env={"TF_NUM_INTRAOP_THREADS": "2"}`.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from ganlib.data.folder import SUFFIXES
from ganlib.data.images import decode
from ganlib.detector.detector import Detector
from ganlib.detector.load import load_model
from ganlib.errors import GanlibError
from ganlib.files import write_safely

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client


def score_folder(
    detector: str | Path,
    folder: str | Path,
    csv_path: str | Path,
    client: "Client",
    chunk_size: int = 128,
    rule: str = "quantile",
) -> "pd.DataFrame":
    """Score every image of a folder, and of the folders in it, and write one table.

    Images are handed out in chunks, and a chunk's scores are taken once, when all of it is done. If
    a worker is killed another one does its chunks again; how often one chunk may see that is Dask's
    setting `distributed.scheduler.allowed-failures`, 3. The table is written at the end, whole or
    not at all.

    Args:
        detector: a saved detector, a `.keras` file. Like `folder` it must have this name on every
            worker, so machines need a shared disk.
        folder: where the images are.
        csv_path: the table to write.
        client: `distributed.Client` of the workers.
        chunk_size: images per chunk, at least 1. A worker holds one chunk in memory.
        rule: which of the detector's thresholds decides, if it has any.

    Returns:
        What was written: `file`, its name within the folder, by which the table is sorted; `score`;
        and, with a calibrated detector, `is_anomaly`.

    Raises:
        GanlibError: there is no image in the folder or no such detector or it was refused, an image
            cannot be read, the detector has thresholds but not this one, or workers kept dying.

    Example:
        >>> from distributed import Client, LocalCluster
        >>> with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as it:
        ...     score_folder("ganomaly.keras", "parts/", "scores.csv", it)
    """
    import pandas as pd
    from distributed import KilledWorker

    folder, detector = Path(folder).resolve(), Path(detector).resolve()
    files = sorted(_images(folder))
    if not files:
        raise GanlibError(
            f"There is no image in {folder}: expected files that end in "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    if not detector.is_file():
        raise GanlibError(f"There is no detector {detector}: give a file that `save` has written.")
    if chunk_size < 1:
        raise GanlibError(f"chunk_size is {chunk_size}: choose at least 1.")
    chunks = [files[start : start + chunk_size] for start in range(0, len(files), chunk_size)]
    # The date tells a worker that remembers a detector of this name from the one there is now.
    saved = detector.stat().st_mtime_ns
    # Not pure: a call is to score what is there now, not to find what an earlier call left.
    tasks = client.map(
        _score, chunks, folder=folder, detector=detector, saved=saved, rule=rule, pure=False
    )
    try:
        answers = client.gather(tasks)
    except KilledWorker as error:
        raise GanlibError(
            f"Workers died again and again at the same images: {error}. Most often they have too "
            "little memory: take a smaller chunk_size or fewer workers."
        ) from error
    finally:
        client.cancel(tasks)
    table = pd.concat([pd.DataFrame(answer) for answer in answers], ignore_index=True)
    if table["file"].tolist() != files:
        raise GanlibError(
            f"{len(files)} images were handed out and {len(table)} came back. Nothing was written; "
            "please report this."
        )
    write_safely(csv_path, lambda path: table.to_csv(path, index=False))
    return table


def _images(folder: Path) -> Iterator[str]:
    return (
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def _score(files: list[str], folder: Path, detector: Path, saved: int, rule: str) -> dict:
    """Score one chunk, in a worker."""
    model = _load(detector, saved)
    if model.thresholds is not None and rule not in model.thresholds:
        raise GanlibError(f"rule is {rule!r}: choose one of {', '.join(model.thresholds)}.")
    shape = _shape(model)
    images = np.stack([decode(folder / file, *shape) for file in files])
    scores = model.detect(images).scores
    answer = {"file": files, "score": scores}
    if model.thresholds is not None:
        answer["is_anomaly"] = scores.astype("float64") >= model.thresholds[rule]
    return answer


@functools.lru_cache(maxsize=1)
def _load(detector: Path, saved: int) -> keras.Model:
    return load_model(detector)


def _shape(model: keras.Model) -> tuple[int, int, str]:
    """Return size and channels of the images that a detector takes, and how they become square."""
    if isinstance(model, Detector):
        return model.image_size, model.channels, model.resize
    made_by = model.generator if hasattr(model, "generator") else model.decoder
    return *made_by.output_shape[-2:], "squeeze"
