"""Measure size, speed and accuracy of an exported detector in every format.

A small GANomaly is trained on castings and exported as a detector. Each file is run by the
runtime of its format. `exports.csv` has a row per format.

    python -m benchmarks.exports
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from benchmarks.__main__ import timed, turns
from ganlib import data, evaluation
from ganlib import settings as profiles
from ganlib.data.batches import Batches
from ganlib.detector.detector import Detector
from ganlib.detector.export import SUFFIXES, export
from ganlib.files import write_csv
from ganlib.models import GANomaly
from ganlib.models.base import feed
from ganlib.models.environment import environment

HERE = Path(__file__).parent
BATCH = 32
# The package that runs each format.
RUNTIMES = {
    "keras": "keras",
    "onnx": "onnxruntime",
    "litert": "ai-edge-litert",
    "saved_model": None,  # TensorFlow, whose version `environment` reports
    "openvino": "openvino",
}


def main() -> None:
    """Measure everything and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports", description=__doc__)
    parser.add_argument("--data", default="auto", help="auto, kaggle, generated or a folder")
    parser.add_argument("--steps", type=int, default=600, help="training steps")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each format")
    given = parser.parse_args()
    keras.utils.set_random_seed(0)
    casting = data.open_dataset("casting", given.data, HERE.parent / "data")
    settings = profiles.settings("quick", "casting")
    images = data.load_images(casting, settings.image_size, settings.channels)
    split = data.split_dataset(casting, "grouped")
    with tempfile.TemporaryDirectory() as folder:
        detector = trained(images, split, settings, given.steps)
        rows = measure(detector, images, split, Path(folder), given.repeats)
    table = pd.DataFrame(rows).assign(
        split="grouped",
        training_steps=given.steps,
        load=os.getloadavg()[0],
        images=casting.caption,
        **environment(),
    )
    write_csv(HERE / "exports.csv", table)
    print(table.loc[:, :"n_tested"].to_string(index=False))


def trained(
    images: np.ndarray, split: data.Split, settings: profiles.Settings, steps: int
) -> Detector:
    """Train GANomaly as in the profile `quick`, for fewer steps, and calibrate a detector."""
    size = (settings.image_size, settings.channels, settings.latent_dim, settings.filters)
    ganomaly = GANomaly(*size)
    ganomaly.compile(keras.optimizers.Adam(settings.learning_rate, settings.beta_1))
    rows = np.resize(np.random.default_rng(0).permutation(split.train), BATCH * steps)
    seconds = timed(
        lambda: ganomaly.fit(feed(Batches(images, rows, BATCH)), shuffle=False, verbose=0)
    )
    print(f"{steps} steps in {seconds:.0f} s")
    detector = Detector(ganomaly, card={"resize": "squeeze", "false_alarm_rate": 0.05})
    held_out, usual = split.calibration, split.train[:256]
    detector.calibrate_on(ganomaly.detect(images[held_out]), 0.05, ganomaly.detect(images[usual]))
    return detector


def measure(
    detector: Detector, images: np.ndarray, split: data.Split, folder: Path, repeats: int
) -> list[dict]:
    """Export to every format and run each on all test images."""
    tested = np.concatenate([images[split.test_normal], images[split.test_anomaly]])
    labels = np.repeat([0, 1], [len(split.test_normal), len(split.test_anomaly)])
    detector.save(folder / "detector.keras")
    sizes, run = {"keras": _size([folder / "detector.keras"])}, {"keras": _keras(detector)}
    seconds = {}
    for format, suffix in SUFFIXES.items():
        path = folder / format / f"detector{suffix}"
        started = time.perf_counter()
        written = export(detector, path, format)
        seconds[format] = time.perf_counter() - started
        sizes[format] = _size(written[:-1])  # without the JSON file
        run[format] = OPEN[format](path)
    found = {format: _in_batches(answer, tested) for format, answer in run.items()}
    timing = {
        n: turns({f: lambda a=a, n=n: timed(a, tested[:n]) / n for f, a in run.items()}, repeats)
        for n in (1, BATCH)
    }
    rows = []
    for format, (scores, heat) in found.items():
        judged = evaluation.evaluate(labels, scores)
        at = evaluation.rates(labels, scores, detector.thresholds["quantile"])
        expected_scores, expected_heat = found["keras"]
        row = {
            "format": format,
            "runtime": RUNTIMES[format] and f"{RUNTIMES[format]} {version(RUNTIMES[format])}",
            "kilobytes": sizes[format] / 1000,
            "auroc": judged["auroc"],
            "false_alarm_rate": at["false_alarm_rate"],
            "detection_rate": at["detection_rate"],
            "score_difference": np.abs(scores - expected_scores).max()
            / detector.thresholds["quantile"],
            "heat_difference": np.abs(heat - expected_heat).max() / expected_heat.max(),
        }
        for n, times in timing.items():
            row[f"ms_per_image_{n}"] = 1e3 * np.median(times[format])
            row[f"ms_per_image_{n}_fastest"] = 1e3 * min(times[format])
        rows.append({**row, "export_seconds": seconds.get(format), "n_tested": len(tested)})
    return rows


def _size(paths: list[Path]) -> int:
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())


def _in_batches(answer: Callable, images: np.ndarray) -> list[np.ndarray]:
    parts = [answer(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _keras(detector: Detector) -> Callable:
    def answer(images):
        found = detector.predict_on_batch(images)
        return found["score"], found["heat_map"]

    return answer


def _onnx(path: Path) -> Callable:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["score", "heat_map"], {"images": images})


def _litert(path: Path) -> Callable:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path), num_threads=os.cpu_count()).get_signature_runner()

    def answer(images):
        found = run(images=images)
        return found["score"], found["heat_map"]

    return answer


def _saved_model(path: Path) -> Callable:
    import tensorflow as tf

    model = tf.saved_model.load(path)

    def answer(images):
        found = model.serve(images)
        return found["score"].numpy(), found["heat_map"].numpy()

    return answer


def _openvino(path: Path) -> Callable:
    import openvino

    # Otherwise CPUs that support bfloat16 would compute in it.
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.Core().compile_model(path, "CPU", options)

    def answer(images):
        found = model({"images": images})
        return found["score"], found["heat_map"]

    return answer


OPEN = {
    "onnx": _onnx,
    "litert": _litert,
    "saved_model": _saved_model,
    "openvino": _openvino,
}


if __name__ == "__main__":
    main()
