"""Run one method on one split, from the images to the files that the comparison reads."""

import ast
import contextlib
import copy
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from ganlib import data, evaluation, figures, training
from ganlib.errors import GanlibError
from ganlib.files import only_one, slug, write_csv, write_json, write_safely
from ganlib.models import devices
from ganlib.models.base import AnomalyModel, Trainable
from ganlib.models.detection import Detection
from ganlib.models.environment import device, environment
from ganlib.settings import figures_folder, settings

# A method's folder to the notebook that trains it; the others are trained in 02b_baselines.
TRAINED_IN = {"anogan": "01_dcgan_anogan", "ganomaly": "02_ganomaly"}
TRAINED_IN |= dict.fromkeys(("grdnet", "patchcore", "gaussian"), "06_recent_models")


class Run:
    """Load the images for a method, train and test it, and write the results.

    This sets Keras's seed: models built afterward in the same order have the same initial weights.

    `dataset`, `source`, `data_dir`, `on_error` and `resize` are as in `ganlib.data.open_dataset`;
    `overrides` are values of `Settings`. `images`, one per row of the data set, are uint8
    `(n, image_size, image_size, channels)`. Results are written to `folder`.
    """

    def __init__(
        self,
        method: str,
        dataset: str = "casting",
        profile: str = "quick",
        protocol: str = "paper",
        seed: int = 0,
        *,
        source: str = "auto",
        data_dir: str | Path = "../data",
        on_error: str = "raise",
        resize: str = "letterbox",
        runs_dir: str | Path = "../runs",
        figures_dir: str | Path = "../figures",
        **overrides,
    ):
        check_parameters()
        overrides["channels"] = overrides.get("channels") or data.channels_of(dataset)
        self.settings = chosen = settings(profile, dataset, **overrides)
        keras.utils.set_random_seed(seed)
        options = {"on_error": on_error, "resize": resize}
        self.dataset = data.open_dataset(dataset, source, data_dir, **options)
        names = ("image_size", "channels", "latent_dim", "filters")
        self.sizes = {name: getattr(chosen, name) for name in names}
        self.images = data.load_images(self.dataset, chosen.image_size, chosen.channels)
        self.split = data.split_dataset(self.dataset, protocol, seed, chosen.limit or None)
        self.profile, self.protocol, self.seed = profile, protocol, seed
        self.on_cpu = device().startswith("CPU")
        self.figures_dir = figures_folder(figures_dir, profile, [self.dataset.source])
        about = f"profile {profile}, protocol {protocol}, seed {seed}"
        self.caption = f"{self.dataset.caption} · {about}"
        self._begin(method, Path(runs_dir, profile, self.dataset.name, protocol, f"seed-{seed}"))

    def _begin(self, method: str, runs: Path) -> None:
        self.method, self.folder = method, runs / slug(method)
        self.train_seconds = self.score_ms_per_image = 0.0

    def for_method(self, method: str, image_size: int | None = None) -> "Run":
        """Return a run of another method on the same split, optionally with another image size."""
        run = copy.copy(self)
        if image_size:
            run.settings = replace(self.settings, image_size=image_size)
            run.sizes = {**self.sizes, "image_size": image_size}
            run.images = data.load_images(self.dataset, image_size, self.settings.channels)
        run._begin(method, self.folder.parent)
        return run

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(rows)} {name}" for name, rows in self.split._asdict().items())
        where = f"{device()} with {keras.backend.backend()}"
        about = f"images {self.images.shape}: {sizes}\n{self.settings}\n{where}"
        return "\n".join([self.caption, *self.dataset.notes, about])

    def build(self, model: Callable, **options) -> Trainable:
        """Build a model with this run's sizes on all devices; `model` is a class or a function."""
        with devices.every_device():
            return model(**self.sizes, **options)

    def fit(self, model: Trainable, callbacks: Sequence = (), name="", **options) -> dict:
        """Train a model or finish its training; return the losses. See `ganlib.training.train`.

        `name` is the name of the checkpoint, for runs that train several models of a class.
        """
        path = self.folder / f"{name or type(model).__name__.lower()}.npz"
        about = (self.images, self.split.train, self.settings, self.seed, path, callbacks)
        history, seconds = training.train(model, *about, **options)
        self.train_seconds += seconds
        return history

    def to_score(self) -> tuple[pd.DataFrame, np.ndarray]:
        """Return a table of the images to score, without labels, and the images."""
        table = data.to_score(self.dataset, self.split)
        return table, self.images[table["row"]]

    def detect(self, model: AnomalyModel, images: np.ndarray) -> Detection:
        """Score images and measure the time."""
        model.detect(images[: self.settings.batch_size])  # the first call compiles
        with self.timed(images):
            return model.detect(images)

    @contextlib.contextmanager
    def timed(self, images: np.ndarray) -> Iterator[None]:
        """Measure how long the block takes to score these images."""
        began = time.perf_counter()
        yield
        self.score_ms_per_image = 1000 * (time.perf_counter() - began) / len(images)

    def add_truth(self, table: pd.DataFrame) -> pd.DataFrame:
        """Add the labels to a table of scores; see `ganlib.data.add_truth`."""
        return data.add_truth(self.dataset, self.split, table)

    def evaluate(self, table: pd.DataFrame, detection: Detection) -> dict[str, float]:
        """Evaluate the scores of test images, and the residuals on outlined defects."""
        test = table[table["role"] == "test"]
        metrics = evaluation.evaluate(test["label"], test["score"])
        test = test[data.outlined(self.dataset, test["row"])]
        if len(test):
            masks = data.load_masks(self.dataset, test["row"], self.settings.image_size)
            heat = detection.residuals[test.index].mean(axis=-1)
            metrics["pixel_auroc"] = evaluation.pixel_auroc(masks, heat)
            metrics["pro"] = evaluation.pro(masks, heat)
        return metrics

    def save_figure(self, figure, name: str) -> None:
        """Write a figure as PNG and PDF to this profile's folder of figures."""
        figures.save(figure, self.figures_dir / name)

    def row(self, family: str = "GAN") -> dict:
        """Return the run's row of `results.csv`, without the metrics."""
        split = {f"n_{name}": len(getattr(self.split, name)) for name in ("train", "calibration")}
        about = {"dataset": self.dataset.name, "n_skipped": len(self.dataset.skipped)}
        about |= {name: getattr(self.dataset, name) for name in ("source", "caption", "digest")}
        names = ("profile", "protocol", "method", "seed", "train_seconds", "score_ms_per_image")
        about |= {name: getattr(self, name) for name in names}
        about |= {"family": family, "preset": "corrected"}  # none of the bugs of `ganlib.errata`
        return about | split | asdict(self.settings) | environment()

    def write(
        self, model, table: pd.DataFrame, images: np.ndarray, detection: Detection
    ) -> dict[str, np.ndarray]:
        """Write model, scores, examples and, finally, the row; remove the checkpoints.

        `table` is from `add_truth`, with a column `score`. Return the examples, for `pictures`.
        """
        few = pick_examples(table)
        rows = few.index.to_numpy()
        examples = {"images": images[rows], "groups": few["group"].to_numpy(str)}
        examples |= {name: values[rows] for name, values in detection._asdict().items()}
        masks = np.zeros(examples["residuals"].shape[:3], bool)
        if (known := np.asarray(data.outlined(self.dataset, few["row"]))).any():
            masks[known] = data.load_masks(self.dataset, few["row"][known], masks.shape[1])
        examples["spots"] = figures.spots(examples["residuals"], masks)
        with only_one(self.folder, "writing results"):
            if hasattr(model, "save"):
                write_safely(self.folder / f"{self.folder.name}.keras", model.save)
            write_csv(self.folder / "scores.csv", table)
            write_safely(self.folder / "examples.npz", partial(np.savez_compressed, **examples))
            write_json(self.folder / "result.json", self.row(getattr(model, "family", "baseline")))
        for path in set(self.folder.glob("*.npz")) - {self.folder / "examples.npz"}:
            path.unlink()  # a checkpoint: training is complete
        return examples


def pick_examples(table: pd.DataFrame, each: int = 4) -> pd.DataFrame:
    """Choose rows for figures: the medians of each group, and the worst of the test images.

    Medians are the scores nearest to the median of their kind, and kinds alternate. Normal images
    with the highest scores get the `group` "false alarm", anomalies with the lowest "miss".
    """
    test = table[table["group"].str.startswith("test")]
    false_alarms = test[test["label"] == 0].nlargest(each, "score").assign(group="false alarm")
    misses = test[test["label"] == 1].nsmallest(each, "score").assign(group="miss")
    kinds = ["group", "kind"]
    away = (table["score"] - table.groupby(kinds)["score"].transform("median")).abs()
    turn = away.groupby([table[name] for name in kinds]).rank(method="first")
    medians = table.loc[turn.sort_values(kind="stable").index].groupby("group").head(each)
    return pd.concat([medians, false_alarms, misses])


def pictures(examples, *arrays: str, each: int = 4, **groups: str) -> dict[str, tuple]:
    """Select examples for a figure, as returned by `Run.write` or read from `examples.npz`.

    `arrays` are among "images", "reconstructions", "residuals", "scores" and "spots" (of
    `ganlib.figures`). `groups` maps names in the figure to groups, by default to the normal and
    the anomalous test images.
    """
    groups = groups or {"normal": "test normal", "anomaly": "test anomaly"}
    rows = {k: np.flatnonzero(examples["groups"] == group)[:each] for k, group in groups.items()}
    return {k: tuple(examples[array][chosen] for array in arrays) for k, chosen in rows.items()}


def read_runs(
    folders: Iterable[Path], methods: Iterable[str], required: Iterable[str] = ()
) -> pd.DataFrame:
    """Read the rows of all runs of some methods and of their untrained models, GANs first.

    `folders` are those of the seeds; the column `folder` is where a row was read from. A method
    without any run is skipped unless it is `required`. A run that only some folders have, and runs
    of one data set on different images, are errors.
    """
    folders, methods = list(folders), list(methods)
    names = [slug(prefix + method) for method in methods for prefix in ("", "untrained ")]
    found = {path.parent.name for folder in folders for path in folder.glob("*/result.json")}
    names = [name for name in names if name in found | set(map(slug, required))]
    paths = [folder / name / "result.json" for folder in folders for name in names]
    if missing := [path.parent for path in paths if not path.is_file()]:
        first = ", ".join(sorted({TRAINED_IN.get(path.name, "02b_baselines") for path in missing}))
        others = f" and in {len(missing) - 1} other folders" if missing[1:] else ""
        lacks = f"There is no result.json in {missing[0]}{others}: run {first} first"
        raise GanlibError(f"{lacks}, with the same parameters, or run make figures.")
    rows = [{**json.loads(path.read_text()), "folder": str(path.parent)} for path in paths]
    table = pd.DataFrame(sorted(rows, key=lambda row: row["family"] != "GAN"))
    for name, same in table.groupby("dataset"):
        if len(images := same.drop_duplicates("digest")) > 1:
            seen = " and ".join(f"{row.caption} ({row.folder})" for row in images.itertuples())
            again = "Run the notebooks of one of them again, or run make figures"
            raise GanlibError(f"The runs of {name} used different images: {seen}. {again}.")
    return table


def check_parameters() -> None:
    """Raise an error for a parameter that this notebook does not have; papermill only warns."""
    ipython = sys.modules.get("IPython")  # always loaded in a notebook
    shell = ipython and ipython.get_ipython()
    cells = shell.user_ns["In"] if shell else []
    injected = [number for number, cell in enumerate(cells) if cell.startswith("# Parameters\n")]
    known = _assigned(cells[injected[0] - 1]) if injected else []
    names = [name for number in injected for name in _assigned(cells[number])]
    if unknown := ", ".join(repr(name) for name in names if name not in known):
        raise GanlibError(f"This notebook has no parameter {unknown}. It has: {', '.join(known)}.")


def _assigned(source: str) -> list[str]:
    targets = [t for s in ast.parse(source).body if isinstance(s, ast.Assign) for t in s.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]
