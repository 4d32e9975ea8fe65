"""Train a detector on a folder of good images, for notebook 05 and `python -m ganlib train`."""

import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from tqdm.keras import TqdmCallback

from ganlib import __version__, data, evaluation, training
from ganlib.data.batches import Batches
from ganlib.detector.detector import Detector
from ganlib.environment import environment
from ganlib.errors import GanlibError
from ganlib.models import devices
from ganlib.models.base import METHODS, Trainable
from ganlib.models.dcgan import DCGAN
from ganlib.models.detection import Detection
from ganlib.settings import Settings, epochs


class Trained(NamedTuple):
    """A calibrated detector and how its training went.

    Attributes:
        history: name of a loss to its value after each epoch.
        seconds: time of training.
        normal: the model's answers to the held-out normal images.
    """

    detector: Detector
    history: dict[str, list[float]]
    seconds: float
    normal: Detection


def train_detector(
    dataset: data.Dataset,
    split: data.Split,
    settings: Settings,
    checkpoint: str | Path,
    minutes: float | None = None,
    seed: int = 0,
    false_alarm_rate: float = 0.05,
    notes: tuple[str, ...] = (),
    method: str = "GANomaly",
) -> Trained:
    """Train a model on good images and calibrate it on others.

    Args:
        dataset: the images.
        split: from `ganlib.data.held_out_split`. Its test images are not used.
        settings: of the networks and the training.
        checkpoint: file `.npz`, beside which an interrupted training keeps its state, one file per
            network that is trained; deleted at the end.
        minutes: time limit of each training; None: as long as the steps take.
        seed: of the weights and the order of the images.
        false_alarm_rate: share of good images that may be flagged, 0..1. If there are too few
            held-out images for it, the lowest possible rate is used, and noted.
        notes: sentences for the card.
        method: a name of `ganlib.models.base.METHODS`.

    Raises:
        GanlibError: there is no such method, an image cannot be read, a loss is not finite, or
            there are too few images.
    """
    if method not in METHODS:
        raise GanlibError(f"There is no method {method!r}: choose one of {', '.join(METHODS)}.")
    keras.utils.set_random_seed(seed)
    images = data.load_images(dataset, settings.image_size, settings.channels)
    history, seconds, steps, checkpoints = {}, 0.0, 0, []

    def fit(model: Trainable) -> None:
        nonlocal history, seconds, steps
        most, rate = settings.steps, settings.learning_rate
        if isinstance(model, DCGAN):
            most, rate = settings.dcgan_steps, settings.dcgan_learning_rate
        model.compile(keras.optimizers.Adam(rate, settings.beta_1, epsilon=1e-8))
        path = Path(checkpoint)
        checkpoints.append(path.with_stem(f"{path.stem}-{len(checkpoints)}"))
        trained = training.fit(
            model,
            Batches(images, split.train, settings.batch_size, seed),
            epochs(most, len(split.train), settings.batch_size),
            checkpoints[-1],
            [TqdmCallback(verbose=0, desc="training", disable=None, mininterval=10)],
            minutes,
            verbose=0,
        )
        history, seconds = history | trained.history, seconds + trained.seconds
        steps += int(model.optimizer.iterations)

    names = ("image_size", "channels", "latent_dim", "filters")
    sizes = {name: getattr(settings, name) for name in names}
    with devices.every_device():
        model = METHODS[method].train(fit, **sizes)
    normal = model.detect(images[split.calibration])
    lowest = 1 / (len(split.calibration) + 1)
    notes = [*dataset.notes, *notes]
    if false_alarm_rate < lowest:
        notes.append(
            f"{len(split.calibration)} held-out good images are too few for a false-alarm rate of "
            f"{false_alarm_rate:g}: the threshold is for {lowest:.3g}."
        )
        false_alarm_rate = lowest
    card = {
        "images": dataset.caption,
        "digest": dataset.digest,
        "unreadable_left_out": len(dataset.skipped),
        "trained_on": len(split.train),
        "calibrated_on": len(split.calibration),
        "false_alarm_rate": false_alarm_rate,
        "notes": notes,
        "method": method,
        **sizes,
        "resize": dataset.resize,
        "epochs": max(map(len, history.values()), default=0),
        "steps": steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "seed": seed,
        "train_seconds": round(seconds, 1),
        "made": time.strftime("%Y-%m-%d"),
        "ganlib": __version__,
        **environment(),
    }
    detector = Detector(model, card)
    detector.calibrate_on(normal, false_alarm_rate)
    for path in checkpoints:
        path.unlink(missing_ok=True)
    return Trained(detector, history, seconds, normal)


def judge(detector: Detector, dataset: data.Dataset, split: data.Split) -> dict:
    """Measure a detector on test images, after all is trained and chosen.

    Args:
        detector: calibrated.
        dataset: the images.
        split: `test_normal` and `test_anomaly` may be empty.

    Returns:
        The rates of the threshold, see `ganlib.evaluation.rates`; `auroc`, `auroc_low` and
        `auroc_high` if there are both kinds; `pixel_auroc` and `pro` of the heat maps if there are
        masks. Empty without test images.
    """
    rows = np.concatenate([split.test_normal, split.test_anomaly])
    if not len(rows):
        return {}
    images = data.load_images(dataset, detector.image_size, detector.channels)
    detection, heat = detector.examine(images[rows])
    labels = np.repeat([0, 1], [len(split.test_normal), len(split.test_anomaly)])
    metrics = evaluation.rates(labels, detection.scores, detector.threshold)
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
