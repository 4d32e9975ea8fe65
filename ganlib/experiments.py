"""Run experiments on what the paper left open: one factor varies, all else is as in the profile.

A row's file name has a digest of all it depends on: settings, arguments, images, backend, code. So
a later call continues where the last one stopped, levels shared by several questions are trained
once, and rows are not reused for other settings.
"""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from ganlib import data
from ganlib.claims import QUESTIONS, Question
from ganlib.errors import GanlibError
from ganlib.files import write_csv, write_json
from ganlib.models import DCGAN, AnoGAN, GANomaly
from ganlib.run import Run
from ganlib.settings import Settings, epochs, settings

_CODE = ("data/*.py", "models/*.py", "run.py", "training.py")  # code that rows depend on
# Model arguments that questions vary, with their usual values.
_USUAL = {"GANomaly": {"contextual_weight": 50.0, "encoder_weight": 1.0}}
_USUAL["GANomaly"] |= {"adversarial_weight": 1.0, "upsampling": "transposed"}
_USUAL["AnoGAN"] = {"discrimination_weight": 0.1}


class Cell(NamedTuple):
    """One level of a question on one split with one seed. `file` holds the row once it is done."""

    question: Question
    level: int | float | str
    usual: int | float | str  # the profile's level
    options: dict  # of `Run`
    arguments: dict  # of the model
    settings: Settings
    searched: int  # test images that AnoGAN searches; 0: all
    file: Path

    def __str__(self):
        place = "{dataset}, {protocol}, seed {seed}".format_map(self.options)
        return f"{place}, {self.question.method}: {self.question.factor} {self.level}"


def plan(
    questions: Iterable[str], datasets: Iterable[str], protocols: Iterable[str],
    seeds: Iterable[int], profile: str = "quick", searched: int = 200, source: str = "auto",
    data_dir: str | Path = "../data", runs_dir: str | Path = "../runs", **overrides,
) -> list[Cell]:  # fmt: skip
    """List the cells in execution order: seeds, protocols, data sets, then questions in turn.

    Images of 256 pixels come last. `overrides` are values of `Settings` for all cells.
    """
    questions, cells = list(questions), []
    if unknown := [name for name in questions if name not in QUESTIONS]:
        found = f"There is no question {unknown[0]!r}"
        raise GanlibError(f"{found}: choose among {', '.join(QUESTIONS)}.")
    code = [path for each in _CODE for path in sorted(Path(__file__).parent.glob(each))]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()
    where = {"profile": profile, "source": source, "data_dir": data_dir, "runs_dir": runs_dir}
    opened = {name: data.open_dataset(name, source, data_dir) for name in datasets}
    turns = range(1 + max((len(QUESTIONS[name].levels) for name in questions), default=0))
    asked = [(turn, QUESTIONS[name]) for turn in turns for name in questions]
    order = product(seeds, protocols, opened.items(), asked)
    for seed, protocol, (name, dataset), (turn, question) in order:
        own = overrides | {"channels": overrides.get("channels") or data.channels_of(name)}
        usual = {**asdict(settings(profile, name, **own)), **_USUAL[question.method]}
        levels = dict.fromkeys([*question.levels, usual[question.factor]])
        if turn >= len(levels) or question.only not in ("", dataset.name):
            continue
        values = usual | {question.factor: (level := [*levels][turn])}
        arguments = {key: values.pop(key) for key in _USUAL[question.method]}
        chosen = Settings(**values)
        options = {"dataset": name, "protocol": protocol, "seed": seed, **where, **values}
        if question.method != "AnoGAN":  # settings of AnoGAN alone do not matter
            values = {k: v for k, v in values.items() if not k.startswith(("dcgan", "search"))}
        about = [question.method, values, arguments, protocol, seed, dataset.digest, code]
        about += [searched * (question.method == "AnoGAN"), keras.backend.backend()]
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]
        folder = Path(runs_dir, profile, dataset.name, protocol, f"seed-{seed}", "experiments")
        file = folder / f"{question.method.lower()}-{digest}.json"
        about = (usual[question.factor], options, arguments, chosen, searched, file)
        cells.append(Cell(question, level, *about))
    return sorted(cells, key=lambda cell: cell.settings.image_size == 256)


def work(cells: list[Cell], minutes: float, say: Callable = print) -> None:
    """Run the unfinished cells until the minutes are over.

    A training in progress then stops after its epoch, and a later call continues it.
    """
    end = time.monotonic() + 60 * minutes
    # TensorFlow mistakes many models in a row for one that is retraced, and warns.
    logging.getLogger("tensorflow").setLevel("ERROR")
    for cell in cells:
        if not cell.file.exists() and time.monotonic() < end:
            began = time.monotonic()
            with contextlib.redirect_stdout(None):  # each run prints notes on its images
                auroc = _result(cell, lambda: time.monotonic() >= end)
            result = f"AUROC {auroc:.3f}" if auroc is not None else "not finished"
            say(f"{cell}: {result} ({time.monotonic() - began:.0f} s)")
    missing = {cell.file for cell in cells if not cell.file.exists()}
    there = len({cell.file for cell in cells} - missing)
    say(f"{there} results are finished, {len(missing)} are missing.")
    if not missing:
        for folder in {cell.file.parent for cell in cells}:
            for checkpoint in folder.glob("*.npz"):
                checkpoint.unlink()


def _result(cell: Cell, is_over: Callable[[], bool]) -> float | None:
    """Train, score, write scores and row, return the AUROC; None if time ran out in training."""
    keras.utils.clear_session()
    began = time.monotonic()
    run, chosen = Run("experiments", **cell.options), cell.settings
    anogan = cell.question.method == "AnoGAN"
    # All searches on a split and seed share one DCGAN.
    own, name = ("dcgan_", f"dcgan-{chosen.dcgan_steps}") if anogan else ("", cell.file.stem)
    gan = {"seed": run.seed, "upsampling": chosen.dcgan_upsampling}
    model = run.build(DCGAN, **gan) if anogan else run.build(GANomaly, **cell.arguments)
    stop = {"on_epoch_end": lambda *_: setattr(model, "stop_training", is_over())}
    watch = [keras.callbacks.LambdaCallback(**stop)]
    done = len(run.fit(model, watch, name=name, verbose=0)["loss"])
    if done < epochs(getattr(chosen, own + "steps"), len(run.split.train), chosen.batch_size):
        return None
    if anogan:
        model = AnoGAN(model, **cell.arguments, **chosen.search, seed=run.seed)
    table, images = run.to_score()
    rows = np.flatnonzero(table["role"] == "test")[: (anogan and cell.searched) or None]
    table, images = table.iloc[rows].reset_index(drop=True), images[rows]
    detection = run.detect(model, images)
    made, true = (a.std(axis=(1, 2)).mean(axis=-1) for a in (detection.reconstructions, images))
    table["score"], table["contrast"] = detection.scores, made / np.maximum(true, 1)
    table["residual"] = detection.residuals.mean(axis=(1, 2, 3))
    table["brightness"] = images.mean(axis=(1, 2, 3))
    table = run.add_truth(table)
    metrics = run.evaluate(table, detection)
    write_csv(cell.file.with_suffix(".csv"), table)
    about = {"method": cell.question.method, **cell.arguments, "searched": cell.searched}
    about["seconds"] = time.monotonic() - began
    write_json(cell.file, run.row() | about | metrics)
    if not anogan:
        (run.folder / f"{name}.npz").unlink()
    return metrics["auroc"]


def read(cells: list[Cell]) -> tuple[pd.DataFrame, dict[Path, pd.DataFrame]]:
    """Read the rows of finished cells, and the scores of their test images by `file`.

    Each row is for a cell, with its `question`, `factor`, `level`, `usual` level and `file`.
    """
    rows, scores = [], {}
    for cell in cells:
        if cell.file.exists():
            about = {"question": cell.question.name, "factor": cell.question.factor}
            about |= {"level": cell.level, "usual": cell.usual, "file": cell.file}
            rows.append(about | json.loads(cell.file.read_text()))
            if cell.file not in scores:
                scores[cell.file] = pd.read_csv(cell.file.with_suffix(".csv"))
    if not rows:
        raise GanlibError("No training has finished yet: allow more minutes or fewer steps.")
    return pd.DataFrame(rows), scores
