"""Train a detector on a folder of good images, for notebook 05 and `python -m ganlib train`."""

import time
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from ganlib import __version__, data, evaluation, training
from ganlib.detector.detector import Detector
from ganlib.errors import GanlibError
from ganlib.models import devices
from ganlib.models.base import METHODS, Trainable
from ganlib.models.environment import environment


def train_detector(
    dataset: data.Dataset,
    split: data.Split,
    settings: training.Settings,
    checkpoint: str | Path,
    minutes: float | None = None,
    seed: int = 0,
    false_alarm_rate: float = 0.05,
    notes: tuple[str, ...] = (),
    method: str = "GANomaly",
) -> tuple[Detector, dict[str, list[float]]]:
    """Train a model on good images and calibrate it on others.

    Args:
        split: from `ganlib.data.held_out_split`; its test images are not used.
        checkpoint: file `.npz`, beside which an interrupted training keeps its state.
        minutes: time limit for all networks together.
        false_alarm_rate: share of good pictures that may be flagged, see `Detector.calibrate_on`.
        method: a name of `ganlib.models.base.METHODS`.

    Return the calibrated detector, and name of a loss to its value after each epoch.
    """
    if method not in METHODS:
        raise GanlibError(f"There is no method {method!r}: choose one of {', '.join(METHODS)}.")
    keras.utils.set_random_seed(seed)
    images = data.load_images(dataset, settings.image_size, settings.channels)
    checkpoint, history, seconds = Path(checkpoint), {}, 0.0
    networks: dict[Path, Trainable] = {}

    def fit(model: Trainable) -> None:
        nonlocal seconds
        left = max(1, METHODS[method].stages - len(networks))
        limit = None if minutes is None else (minutes - seconds / 60) / left
        path = checkpoint.with_stem(f"{checkpoint.stem}-{len(networks)}")
        bar = tqdm(desc="training", unit="epoch", disable=None, mininterval=10)
        progress = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update())
        about = (images, split.train, settings, seed, path, [progress])
        losses, spent = training.train(model, *about, minutes=limit, verbose=0)
        networks[path], seconds = model, seconds + spent
        history.update(losses)

    names = ("image_size", "channels", "latent_dim", "filters")
    sizes = {name: getattr(settings, name) for name in names}
    with devices.every_device():
        model = METHODS[method].train(fit, **sizes)
    held_out, notes = split.calibration, [*dataset.notes, *notes]
    steps = sum(int(network.optimizer.iterations) for network in networks.values())
    epochs = max(map(len, history.values()), default=0)
    card = {"images": dataset.caption, "digest": dataset.digest}
    card |= {"unreadable_left_out": len(dataset.skipped), "trained_on": len(split.train)}
    card |= {"calibrated_on": len(held_out), "notes": notes}
    card |= {"method": method, **sizes, "resize": dataset.resize, "epochs": epochs, "steps": steps}
    card |= {name: getattr(settings, name) for name in ("batch_size", "learning_rate")}
    card |= {"seed": seed, "train_seconds": round(seconds, 1), "made": time.strftime("%Y-%m-%d")}
    detector = Detector(model, card | {"ganlib": __version__, **environment()})
    few = split.train[:: -(-len(split.train) // 256)]  # evenly, at most so many
    usual = None if detector.own_map else model.detect(images[few])
    names = dataset.files["file"].iloc[held_out]
    names = names.groupby(data.pictures_of(dataset, split)).transform("first")
    detector.calibrate_on(model.detect(images[held_out]), usual, false_alarm_rate, names)
    for path in networks:
        path.unlink(missing_ok=True)
    return detector, history


def judge(detector: Detector, dataset: data.Dataset, split: data.Split) -> dict:
    """Measure a detector on test images, after all is trained and chosen; {} without any.

    AUROC, with an interval, needs both kinds; pixel AUROC and PRO of the heat maps need masks.
    """
    rows = np.concatenate([split.test_normal, split.test_anomaly])
    if not len(rows):
        return {}
    images = data.load_images(dataset, detector.image_size, detector.channels)
    detection, heat = detector.examine(images[rows])
    labels = np.repeat([0, 1], [len(split.test_normal), len(split.test_anomaly)])
    metrics = evaluation.rates(labels, detection.scores, detector.threshold)
    metrics["asked_rate"] = detector.card["false_alarm_rate"]
    if 0 < labels.mean() < 1:
        metrics["auroc"] = evaluation.evaluate(labels, detection.scores)["auroc"]
        groups = data.groups_of(dataset)[rows]
        interval = evaluation.auroc_interval(labels, detection.scores, groups)
        metrics["auroc_low"], metrics["auroc_high"] = interval
    outlined = data.outlined(dataset, rows)
    if outlined.any():
        masks = data.load_masks(dataset, rows[outlined], detector.image_size)
        metrics["pixel_auroc"] = evaluation.pixel_auroc(masks, heat[outlined])
        metrics["pro"] = evaluation.pro(masks, heat[outlined])
    return metrics
