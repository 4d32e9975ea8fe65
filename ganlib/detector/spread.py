"""Score a large folder on several processes or machines with Dask (`pip install ganlib[spread]`).

Start one worker per GPU. On CPUs, start a few workers with one thread each, and share the cores:
set the workers' `OMP_NUM_THREADS`, and for TensorFlow `TF_NUM_INTRAOP_THREADS`, to cores / workers.
A `LocalCluster` accepts them as `env={"TF_NUM_INTRAOP_THREADS": "2"}`.
"""

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from ganlib.data.images import decode
from ganlib.detector.detector import Detector
from ganlib.detector.load import load_model
from ganlib.detector.score import find_images
from ganlib.errors import GanlibError
from ganlib.files import write_csv


def score_folder(
    detector: str | Path, folder: str | Path, csv_path: str | Path, client, chunk_size: int = 128
) -> pd.DataFrame:
    """Score all images in a folder, recursively; write and return one table.

    Its columns are `file` (relative to the folder), `score`, and `is_anomaly` if calibrated. The
    detector (or model) and the folder must have the same path on every worker of the
    `distributed.Client`. If a worker is killed, another repeats its chunks of `chunk_size` images.
    """
    from distributed import KilledWorker

    folder, detector = Path(folder).resolve(), Path(detector).resolve()
    files = find_images([folder])
    if not detector.is_file():
        raise GanlibError(f"Detector {detector} does not exist.")
    chunks = [files[start : start + chunk_size] for start in range(0, len(files), chunk_size)]
    changed = detector.stat().st_mtime_ns  # a worker may have cached an older detector of this name
    # Not pure: files may have changed since an earlier call with the same arguments.
    tasks = client.map(_score, chunks, detector=detector, changed=changed, pure=False)
    try:
        table = pd.concat(client.gather(tasks), ignore_index=True)
    except KilledWorker as error:
        raise GanlibError(f"Workers kept dying: {error}. Try a smaller chunk_size.") from error
    finally:
        client.cancel(tasks)
    table["file"] = [Path(file).relative_to(folder).as_posix() for file in table["file"]]
    write_csv(csv_path, table)
    return table


def _score(files: list[str], detector: Path, changed: int) -> pd.DataFrame:
    model = _load(detector, changed)
    how = (model.resize, model.white) if isinstance(model, Detector) else ()
    images = [decode(file, model.image_size, model.channels, *how) for file in files]
    table = pd.DataFrame({"file": files, "score": model.detect(np.stack(images)).scores})
    if model.thresholds:
        table["is_anomaly"] = table["score"].astype("float64") >= model.thresholds["quantile"]
    return table


@functools.lru_cache(maxsize=1)
def _load(detector: Path, changed: int):
    return load_model(detector)
