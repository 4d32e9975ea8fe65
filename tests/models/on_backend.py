"""Used by test_backends: train tiny models on one and on two simulated devices; load them."""

import contextlib
import json
import sys
from pathlib import Path

import keras
import numpy as np
from tiny import SIZES, lesson, load, moved, some_images, values
from untuned import untune

from ganlib import models, training
from ganlib.data.batches import Batches
from ganlib.errors import GanlibError
from ganlib.models import devices

# Increasingly bright, to give the halves of a batch other statistics than the whole.
IMAGES = (some_images(27) * np.linspace(0.2, 1, 27)[:, None, None, None]).astype("uint8")


class Killed(Exception):
    """Simulates kill -9."""


def fit(model, images):
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    return model.fit(*lesson(model, images), **options).history


def fit_and_check(model, optimizer):
    """Train; check that all weights change and the loss is the weighted sum of its terms."""
    model.compile(optimizer)
    before = values(model.trainable_variables)
    history = fit(model, IMAGES[:24])
    assert set(history) == {"loss", *(f"{term}_loss" for term in model.term_weights)}
    total = sum(w * history[f"{term}_loss"][-1] for term, w in model.term_weights.items())
    np.testing.assert_allclose(history["loss"][-1], total, rtol=1e-4)
    assert all(moved(before, values(model.trainable_variables)))
    return history


def on_one_device_and_on_two(folder):
    """Train; return the DCGAN of one device; of both, device counts, losses and scores."""
    dcgans, answer = [], {"devices": [], "losses": {}, "scores": []}
    for scope in (contextlib.nullcontext(1), devices.every_device()):
        with scope as count:
            answer["devices"].append(count)
            for cls in (models.DCGAN, models.Autoencoder):
                keras.utils.set_random_seed(0)
                model = cls(**SIZES)
                history = fit_and_check(model, keras.optimizers.SGD(1e-2))  # Adam hides factors
                answer["losses"].setdefault(cls.__name__, []).append(history)
                if cls is models.DCGAN:
                    model.generate(model.draw_latents(9))  # as the notebook does after each epoch
                    dcgans.append(model)
            model.save(folder / f"{count}.keras")
            answer["scores"].append(model.detect(IMAGES).scores.tolist())
            answer["losses"].setdefault("uneven", []).append(fit(model, IMAGES))
    answer["left"] = devices.replicas() == 1 and keras.distribution.distribution() is None
    return dcgans[0], answer


def kill(epoch, logs):
    if epoch == 1:
        raise Killed


def resumed(path, killed):
    keras.utils.set_random_seed(0)
    model = models.Autoencoder(**SIZES)
    model.compile(keras.optimizers.Adam(1e-3))
    batches = Batches(some_images(), np.arange(12), batch_size=4)
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=kill)] if killed else []
    try:
        training.fit(model, batches, 3, path, callbacks, verbose=0)
    except Killed:
        return resumed(path, killed=False)
    return model


def train(dcgan, folder):
    """Train and save a model of each method; interrupt and resume one of them."""
    for model in (
        models.FAnoGAN(dcgan, filters=4),
        models.GANomaly(**SIZES),
        models.GRDNet(**SIZES, width=4),
    ):
        fit_and_check(model, keras.optimizers.Adam(1e-3))
        model.calibrate(model.detect(IMAGES).scores, false_alarm_rate=0.3)
        model.save(folder / f"{type(model).__name__}.keras")
    for cls in (models.PatchCore, models.Gaussian):
        learnt = cls(64, 1)
        learnt.adapt(some_images(size=64))
        learnt.save(folder / f"{cls.__name__}.keras")
    # Few steps: the longer a search, the more its path depends on rounding.
    models.AnoGAN(dcgan, steps=3, batch_size=4).save(folder / "AnoGAN.keras")
    training.SHARE = float("inf")
    whole, again = resumed(folder / "whole.npz", False), resumed(folder / "killed.npz", True)
    states = (values([*each.variables, *each.optimizer.variables]) for each in (whole, again))
    goes_on = not any(moved(*states))
    broken = Batches(np.full((4, 32, 32, 1), np.nan, "float32"), np.arange(4))
    try:
        training.fit(whole, broken, 1, folder / "broken.npz", verbose=0)
    except GanlibError as error:
        return {"goes on": goes_on, "stopped": str(error)}


def load_all(folder):
    """Load saved models; return scores and thresholds. No score may depend on other images."""
    answer = {"scores": {}, "thresholds": {}}
    for path in sorted(folder.glob("*.keras")):
        model = load(path)
        images = some_images(seed=1, size=model.image_size)
        scores = model.detect(images).scores
        parts = [model.detect(part).scores for part in np.split(images[::-1], [1, 4])]
        close = 1e-6 if model.family == "features" else 0  # last digit depends on the CPU
        np.testing.assert_allclose(np.concatenate(parts)[::-1], scores, rtol=close, atol=0)
        answer["scores"][path.stem] = scores.tolist()
        answer["thresholds"][path.stem] = model.thresholds
    return answer


if __name__ == "__main__":
    untune()
    what, folder, backend = sys.argv[1], Path(sys.argv[2]), keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        two = 2 * [tf.config.LogicalDeviceConfiguration()]
        tf.config.set_logical_device_configuration(cpu, two)
    answer = {"backend": backend}
    if what != "load":
        dcgan, of_devices = on_one_device_and_on_two(folder)
        answer |= of_devices
    if what == "train":
        answer |= train(dcgan, folder)
    print(json.dumps(answer | {"loaded": load_all(folder)}))
