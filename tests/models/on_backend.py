"""Run by test_backends: train tiny models and save them, or load them; print answers as JSON."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
from tiny import SIZES, fit, load, some_images, values
from untuned import untune

from ganlib import training
from ganlib.data.batches import Batches
from ganlib.errors import GanlibError
from ganlib.models import DCGAN, AnoGAN, Autoencoder, FAnoGAN, GANomaly, Gaussian, GRDNet, PatchCore

untune()
what, folder = sys.argv[1], Path(sys.argv[2])
images = some_images()
answer = {"backend": keras.backend.backend()}


class Killed(Exception):
    """Stands for kill -9."""


def kill(epoch, logs):
    if epoch == 1:
        raise Killed


def resumed(path, killed):
    keras.utils.set_random_seed(0)
    model = Autoencoder(**SIZES)
    model.compile(keras.optimizers.Adam(1e-3))
    batches = Batches(images, np.arange(12), batch_size=4)
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=kill)] if killed else []
    try:
        training.fit(model, batches, 3, path, callbacks, verbose=0)
    except Killed:
        return resumed(path, killed=False)
    return values([*model.variables, *model.optimizer.variables])


if what == "train":
    training.SHARE = float("inf")
    keras.utils.set_random_seed(0)
    dcgan, moved = DCGAN(**SIZES), []
    for build in (
        lambda: dcgan,
        lambda: FAnoGAN(dcgan, filters=4),  # of the DCGAN that has been trained
        lambda: GANomaly(**SIZES),
        lambda: GRDNet(**SIZES, width=4),
        lambda: Autoencoder(**SIZES),
    ):
        model = build()
        before = values(model.trainable_variables)
        history = fit(model, images, epochs=10).history
        assert set(history) == {"loss", *(f"{term}_loss" for term in model.term_weights)}
        total = sum(w * history[f"{term}_loss"][-1] for term, w in model.term_weights.items())
        np.testing.assert_allclose(history["loss"][-1], total, rtol=1e-4)
        after = values(model.trainable_variables)
        moved += [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        if model is not dcgan:
            model.calibrate(model.detect(images).scores, false_alarm_rate=0.3)
        model.save(folder / f"{type(model).__name__}.keras")
    answer["moved"] = all(moved)
    for cls in (PatchCore, Gaussian):
        learnt = cls(64, 1)
        learnt.adapt(some_images(size=64))
        learnt.save(folder / f"{cls.__name__}.keras")
    # Few steps: the longer a search, the more rounding decides which way it goes.
    AnoGAN(dcgan, steps=3, batch_size=4).save(folder / "AnoGAN.keras")
    whole, again = resumed(folder / "whole.npz", False), resumed(folder / "killed.npz", True)
    answer["goes on"] = all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))
    broken = Batches(np.full((4, 32, 32, 1), np.nan, "float32"), np.arange(4))
    try:
        training.fit(model, broken, 1, folder / "broken.npz", verbose=0)
    except GanlibError as error:
        answer["stopped"] = str(error)
answer["scores"], answer["thresholds"], same = {}, {}, []
for name in ("AnoGAN", "FAnoGAN", "GANomaly", "GRDNet", "Autoencoder", "PatchCore", "Gaussian"):
    model = load(folder / f"{name}.keras")
    if model.image_size == 64:  # their distance from what they have learnt is 0
        images = some_images(seed=1, size=64)
    scores = model.detect(images).scores
    parts = [model.detect(part).scores for part in np.split(images[::-1], [1, 4])]
    close = 1e-6 if model.family == "features" else 0  # their last digit depends on the processor
    same.append(np.allclose(np.concatenate(parts)[::-1], scores, rtol=close, atol=0))
    answer["scores"][name] = scores.tolist()
    answer["thresholds"][name] = model.thresholds
answer["same bits"] = all(same)
print(json.dumps(answer))
