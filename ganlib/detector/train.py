"""Train a detector on a folder of good images, for notebook 05 and `python -m ganlib train`."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from tqdm import tqdm

from ganlib import __version__, data, evaluation, training
from ganlib.detector.choose import choose
from ganlib.detector.detector import Detector
from ganlib.errors import GanlibError
from ganlib.files import shown, slug
from ganlib.models import devices
from ganlib.models.base import METHODS, AnomalyModel, Trainable
from ganlib.models.baselines import image_statistics
from ganlib.models.environment import environment

# What "auto" chooses from. The GAN comes last: it uses the time that the others leave.
CANDIDATES = ("PatchCore", "Gaussian", "GRDNet")
SPARE = 0.85  # of the time limit is for training; the rest is for choosing and calibrating


def sizes_for(
    method: str, dataset: data.Dataset, settings: training.Settings, image_size: int | None = None
) -> dict[str, int]:
    """Return the image size for each method that training for `method` tries.

    The default is the method's own, but pictures are hardly enlarged: that adds no detail, and
    moves texture away from the scale that networks know.
    """
    names = CANDIDATES if method == "auto" else [method]
    most = 2 ** max(6, round(math.log2(data.picture_size(dataset))))
    own = {name: METHODS[name].default_image_size for name in names}
    return {
        name: image_size or (min(size, most) if size else settings.image_size)
        for name, size in own.items()
    }


class Trained(NamedTuple):
    """A trained model, its training time and steps, and the losses of every epoch."""

    model: AnomalyModel
    seconds: float
    steps: int
    history: dict[str, list[float]]


def train_detector(
    dataset: data.Dataset,
    split: data.Split,
    settings: training.Settings,
    checkpoint: str | Path,
    minutes: float | None = None,
    seed: int = 0,
    false_alarm_rate: float = 0.05,
    notes: tuple[str, ...] = (),
    method: str = "auto",
    image_size: int | None = None,
    weights: str | Path | None = None,
) -> tuple[Detector, dict[str, list[float]]]:
    """Train a model on good images and calibrate it on held-out ones.

    Args:
        split: from `ganlib.data.held_out_split`; its test images are not used.
        checkpoint: `.npz` file, next to which an interrupted training keeps its state.
        minutes: time limit for all networks together.
        false_alarm_rate: share of good pictures that may be flagged, see `Detector.calibrate_on`.
        method: a name in `ganlib.models.base.METHODS`, or "auto": the best of `CANDIDATES`, alone
            or combined, as chosen by `ganlib.detector.choose`.
        image_size: by default, the method's own, or else that of the settings.
        weights: see `ganlib.models.features.load_imagenet`.

    Return the calibrated detector, and the value of each loss, by name, after each epoch.
    """
    if method not in ("auto", *METHODS):
        raise GanlibError(f"Unknown method {method!r}: choose auto, {', '.join(METHODS)}.")
    began = time.perf_counter()
    notes = [*dataset.notes, *data.remarks_on(dataset, settings.channels), *notes]
    notes += data.tested_copies(dataset, split)
    trained: dict[str, Trained] = {}
    for name, size in sizes_for(method, dataset, settings, image_size).items():
        chosen = replace(settings, image_size=size)
        left = None if minutes is None else minutes * SPARE - (time.perf_counter() - began) / 60
        about = (dataset, split, chosen, checkpoint, left, seed, weights)
        try:
            trained[name] = _train(name, *about)
        except GanlibError as error:  # pretrained weights may be unavailable
            if name in (method, CANDIDATES[-1]):
                raise
            notes.append(f"{name} was left out. {error}")
    models = {name: each.model for name, each in trained.items()}
    size = max(model.image_size for model in models.values())
    images, held_out = data.load_images(dataset, size, settings.channels), split.calibration
    good = np.sort(np.concatenate([split.train, held_out]))
    notes += _unlike_others(images[good], dataset.files["file"].iloc[good])
    model, table = models.get(method), []
    if method == "auto":
        # The reconstruction of the first is shown.
        ordered = {name: models[name] for name in reversed(CANDIDATES) if name in models}
        model, table = choose(ordered, images[held_out], seed)
        method = table[0]["method"]
        for row in table:
            spent = [trained[name].seconds for name in row["method"].split(" + ")]
            row["train_seconds"] = round(sum(spent), 1)
    images = data.load_images(dataset, model.image_size, settings.channels)
    card = {"images": dataset.caption, "digest": dataset.digest}
    card |= {"unreadable_left_out": len(dataset.skipped), "trained_on": len(split.train)}
    card |= {"calibrated_on": len(held_out), "notes": notes, "method": method, "chosen": table}
    for part in models.values():
        card |= dict(part.about)
    card |= {name: getattr(settings, name) for name in ("channels", "latent_dim", "filters")}
    card |= {"image_size": model.image_size, "resize": dataset.resize, "white": dataset.white}
    card |= {"seed": seed}
    card |= {"pictures": data.shapes_of(dataset, split.train)}
    history = {name: losses for each in trained.values() for name, losses in each.history.items()}
    card |= {"epochs": max(map(len, history.values()), default=0)}
    card |= {"steps": sum(each.steps for each in trained.values())}
    card |= {"train_seconds": round(sum(each.seconds for each in trained.values()), 1)}
    card |= {"made": time.strftime("%Y-%m-%d"), "ganlib": __version__, **environment()}
    detector = Detector(model, card)
    few = split.train[:: -(-len(split.train) // 256)]  # at most 256, evenly spaced
    usual = None if detector.own_map else model.detect(images[few])
    names = dataset.files["file"].iloc[held_out]
    names = names.groupby(data.pictures_of(dataset, split)).transform("first")
    detector.calibrate_on(model.detect(images[held_out]), false_alarm_rate, usual, names)
    for path in Path(checkpoint).parent.glob(f"{Path(checkpoint).stem}-*.npz"):
        path.unlink()
    return detector, history


def _unlike_others(images: np.ndarray, files) -> list[str]:
    """Name good images that are outliers in brightness, contrast or texture, whatever the model."""
    step = -(-images.shape[1] // 64)
    halves = [images[start::2, ::step, ::step] for start in (0, 1)]
    scores = np.empty(len(images))  # of each half by the other, so that no image hides itself
    for start, half in enumerate(halves):
        scores[start::2] = image_statistics(halves[1 - start], half).scores
    odd = np.argsort(-scores)[: evaluation.count_odd(scores, 0.0)]
    named = ", ".join(shown(files.iloc[row]) for row in odd[:3])
    named += f" and {len(odd) - 3} more" * (len(odd) > 3)
    found = f"Unlike all other good images in brightness or texture, so worth a look: {named}."
    return [found] if len(odd) else []


def _train(method: str, dataset, split, settings, checkpoint, minutes, seed, weights) -> Trained:
    """Train the model of one method."""
    keras.utils.set_random_seed(seed)
    images = data.load_images(dataset, settings.image_size, settings.channels)
    checkpoint, history, seconds = Path(checkpoint), {}, 0.0
    networks: list[Trainable] = []

    def fit(model: Trainable, **options) -> None:
        nonlocal seconds
        left = max(1, METHODS[method].stages - len(networks))
        limit = None if minutes is None else (minutes - seconds / 60) / left
        path = checkpoint.with_stem(f"{checkpoint.stem}-{slug(method)}-{len(networks)}")
        bar = tqdm(desc=method, unit="epoch", disable=None, mininterval=10)
        progress = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update())
        about = (images, split.train, settings, seed, path, [progress])
        losses, spent = training.train(model, *about, minutes=limit, verbose=0, **options)
        networks.append(model)
        seconds += spent
        history.update(losses)

    names = ("image_size", "channels", "latent_dim", "filters")
    sizes = {name: getattr(settings, name) for name in names}
    if weights and METHODS[method].family == "features":
        sizes["weights"] = weights
    with devices.every_device():
        model = METHODS[method].train(fit, **sizes)
    compiled = [network for network in networks if network.compiled]
    steps = sum(int(network.optimizer.iterations) for network in compiled)
    alone = type(model).from_config(model.get_config())  # without the optimizer's state
    alone.set_weights(model.get_weights())
    return Trained(alone, seconds, steps, history)


def judge(detector: Detector, dataset: data.Dataset, split: data.Split) -> dict:
    """Measure a detector on test images, once everything is chosen; {} if there are none.

    AUROC and its interval require both kinds, pixel AUROC and PRO of the heat maps require masks.
    "masks" is a sentence about masks that are empty or unreadable.
    """
    rows = np.concatenate([split.test_normal, split.test_anomaly])
    if not len(rows):
        return {}
    images = data.load_images(dataset, detector.image_size, detector.channels)
    detection, heat = detector.examine(images[rows])
    labels = np.repeat([0, 1], [len(split.test_normal), len(split.test_anomaly)])
    metrics = evaluation.rates(labels, detection.scores, detector.threshold)
    metrics["asked"] = detector.card["false_alarm_rate"]
    if 0 < labels.mean() < 1:
        metrics["auroc"] = evaluation.evaluate(labels, detection.scores)["auroc"]
        groups = data.groups_of(dataset)[rows]
        interval = evaluation.auroc_interval(labels, detection.scores, groups)
        metrics["auroc_low"], metrics["auroc_high"] = interval
    outlined = data.outlined(dataset, rows)
    try:
        masks = data.load_masks(dataset, rows[outlined], detector.image_size)
    except GanlibError as error:
        return metrics | {"masks": f"The heat maps were not evaluated: {error}"}
    shows = masks.any(axis=(1, 2)) | (labels[outlined] == 0)
    if not shows.all():
        metrics["masks"] = f"{(~shows).sum()} masks show no defect and were left out."
    if masks.any():
        metrics["pixel_auroc"] = evaluation.pixel_auroc(masks[shows], heat[outlined][shows])
        metrics["pro"] = evaluation.pro(masks[shows], heat[outlined][shows])
    return metrics
