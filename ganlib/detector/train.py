"""From a folder of good images to a detector: what notebook 05 and `python -m ganlib train` do."""

import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from ganlib import __version__, evaluation
from ganlib import data as images_of
from ganlib import settings as profiles
from ganlib import training as checkpoints
from ganlib.data import Dataset, Split
from ganlib.data.batches import Batches
from ganlib.detector.detector import Detector
from ganlib.environment import environment
from ganlib.models import devices
from ganlib.models.detection import Detection
from ganlib.models.ganomaly import GANomaly
from ganlib.progress import progress
from ganlib.watch import StopAfter


class Trained(NamedTuple):
    """What a training gives.

    Attributes:
        detector: calibrated.
        history: name of a loss to its value after each epoch.
        seconds: time of training.
        normal: what the detector says of the held-out normal images.
    """

    detector: Detector
    history: dict[str, list[float]]
    seconds: float
    normal: Detection


def train_detector(
    dataset: Dataset,
    split: Split,
    settings: profiles.Settings,
    checkpoint: str | Path,
    minutes: float | None = None,
    seed: int = 0,
    false_alarm_rate: float = 0.05,
    notes: tuple[str, ...] = (),
) -> Trained:
    """Train GANomaly on good images and calibrate it on others.

    Args:
        dataset: the images.
        split: of them, from `ganlib.data.held_out_split`. Its test images are not looked at.
        settings: of the networks and the training; `steps` is the most that is trained.
        checkpoint: a file, `.npz`, from which an interrupted training goes on; it is removed when
            the training is over.
        minutes: the time that training may take; None: as long as its steps need.
        seed: of the weights and the order of the images.
        false_alarm_rate: share of good images that may be called anomalies, 0..1. If the held-out
            images are too few to show such a rate, the lowest that they can show is taken, and
            noted.
        notes: sentences for the card: what a reader of verdicts must know of the images.

    Returns:
        The detector, and how the training went.

    Raises:
        GanlibError: an image cannot be read, a loss is not finite, or there are too few images.
    """
    keras.utils.set_random_seed(seed)
    images = images_of.load_images(dataset, settings.image_size, settings.channels)
    batches = Batches(images, split.train, settings.batch_size, seed)
    sizes = (settings.image_size, settings.channels, settings.latent_dim, settings.filters)
    with devices.every_device():
        ganomaly = GANomaly(*sizes)
        adam = keras.optimizers.Adam(settings.learning_rate, settings.beta_1, epsilon=1e-8)
        ganomaly.compile(adam)
        epochs = profiles.epochs(settings.steps, len(split.train), settings.batch_size)
        watch = [] if minutes is None else [StopAfter(60 * minutes)]
        with progress(epochs, "training", "epoch") as advance:
            watch.append(_Progress(advance))
            training = checkpoints.fit(ganomaly, batches, epochs, checkpoint, watch, verbose=0)
    normal = ganomaly.detect(images[split.calibration])
    lowest = 1 / (len(split.calibration) + 1)
    notes = (*dataset.notes, *notes)
    if false_alarm_rate < lowest:
        notes += (
            f"{len(split.calibration)} held-out good images cannot show a false-alarm rate of "
            f"{false_alarm_rate:g}: the threshold is for {lowest:.3g}.",
        )
        false_alarm_rate = lowest
    trained_epochs = len(training.history["loss"])
    card = {
        "images": dataset.caption,
        "digest": dataset.digest,
        "unreadable_left_out": len(dataset.skipped),
        "trained_on": len(split.train),
        "calibrated_on": len(split.calibration),
        "false_alarm_rate": false_alarm_rate,
        "notes": list(notes),
        "method": "GANomaly",
        "image_size": settings.image_size,
        "channels": settings.channels,
        "resize": dataset.resize,
        "latent_dim": settings.latent_dim,
        "filters": settings.filters,
        "epochs": trained_epochs,
        "steps": int(ganomaly.optimizer.iterations),
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "seed": seed,
        "train_seconds": round(training.seconds, 1),
        "made": time.strftime("%Y-%m-%d"),
        "ganlib": __version__,
        **environment(),
    }
    detector = Detector(ganomaly, card)
    detector.calibrate_on(normal, false_alarm_rate)
    Path(checkpoint).unlink(missing_ok=True)
    return Trained(detector, training.history, training.seconds, normal)


def judge(detector: Detector, dataset: Dataset, split: Split) -> dict:
    """Judge a detector on test images, after all is trained and chosen.

    Args:
        detector: calibrated.
        dataset: the images.
        split: with test images; `test_normal` or `test_anomaly` may be empty.

    Returns:
        What they allow to know: the rates of the threshold, see `ganlib.evaluation.rates`; `auroc`
        with its interval `auroc_low` to `auroc_high` if there are both kinds; `pixel_auroc` and
        `pro` of the heat maps if there are masks. Empty without test images.
    """
    rows = np.concatenate([split.test_normal, split.test_anomaly])
    if not len(rows):
        return {}
    images = images_of.load_images(dataset, detector.image_size, detector.channels)
    detection, heat = detector.examine(images[rows])
    labels = np.repeat([0, 1], [len(split.test_normal), len(split.test_anomaly)])
    judged = evaluation.rates(labels, detection.scores, detector.threshold)
    if len(split.test_normal) and len(split.test_anomaly):
        judged["auroc"] = evaluation.evaluate(labels, detection.scores)["auroc"]
        groups = images_of.groups_of(dataset)[rows]
        interval = evaluation.auroc_interval(labels, detection.scores, groups)
        judged["auroc_low"], judged["auroc_high"] = interval
    outlined = images_of.outlined(dataset, rows)
    if outlined.any():
        masks = images_of.load_masks(dataset, rows[outlined], detector.image_size)
        judged["pixel_auroc"] = evaluation.pixel_auroc(masks, heat[outlined])
        judged["pro"] = evaluation.pro(masks, heat[outlined])
    return judged


class _Progress(keras.callbacks.Callback):
    """Tell how far a training is; what a checkpoint brings is done before."""

    def __init__(self, advance):
        super().__init__()
        self._advance = advance

    def on_train_begin(self, logs=None):
        self._said = 0

    def on_epoch_end(self, epoch, logs=None):
        self._advance(epoch + 1 - self._said, f"contextual loss {logs['contextual_loss']:.3f}")
        self._said = epoch + 1
