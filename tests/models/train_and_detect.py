"""Run by test_backends: train tiny models and save them, or load them; print scores as JSON.

What depends on a backend's own way to train, the watch, is looked at here too, but on TensorFlow,
where test_watch.py does.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
from keras import ops
from untuned import untune

from ganlib.detector.load import load_model
from ganlib.errors import GanlibError
from ganlib.models.anogan import AnoGAN
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.dcgan import DCGAN
from ganlib.models.ganomaly import GANomaly
from ganlib.watch import ReviveDiscriminator, StopAtNonFinite

untune()
what, folder = sys.argv[1], Path(sys.argv[2])
random = np.random.default_rng(0)
images = random.integers(0, 256, (12, 32, 32, 1), dtype="uint8")
answer = {"backend": keras.backend.backend()}
if what == "train":
    keras.utils.set_random_seed(0)
    moved = []
    for model in (DCGAN(32, 1, 6, 4), GANomaly(32, 1, 6, 4), Autoencoder(32, 1, 6, 4)):
        model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
        before = [ops.convert_to_numpy(v.value) for v in model.trainable_variables]
        model.fit(images, batch_size=4, epochs=20, verbose=0)
        after = [ops.convert_to_numpy(v.value) for v in model.trainable_variables]
        moved += [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        if not isinstance(model, DCGAN):
            model.calibrate(model.detect(images).scores, false_alarm_rate=0.3)
        model.save(folder / f"{type(model).__name__.lower()}.keras")
    answer["moved"] = all(moved)
dcgan = load_model(folder / "dcgan.keras")
ganomaly = load_model(folder / "ganomaly.keras")
if what == "train":
    # Few steps: the longer a search, the more rounding decides which way it goes.
    AnoGAN(dcgan.generator, dcgan.discriminator, steps=3, batch_size=4).save(
        folder / "anogan.keras"
    )
anogan = load_model(folder / "anogan.keras")
autoencoder = load_model(folder / "autoencoder.keras")
same_bits = []
for detector in (anogan, ganomaly, autoencoder):
    scores = detector.detect(images).scores
    parts = [detector.detect(part).scores for part in np.split(images[::-1], [1, 4])]
    same_bits.append(np.array_equal(np.concatenate(parts)[::-1], scores))
    answer[type(detector).__name__] = scores.tolist()
answer["same bits"] = all(same_bits)
answer["thresholds"] = [dict(detector.thresholds) for detector in (ganomaly, autoencoder)]
if what == "train" and keras.backend.backend() != "tensorflow":
    answer["watch"] = watch = {}
    fit = {"batch_size": 4, "verbose": 0}
    broken = np.where(np.arange(12)[:, None, None, None] == 11, np.nan, images)
    before = ganomaly.get_weights()
    try:
        ganomaly.fit(broken, shuffle=False, callbacks=[StopAtNonFinite()], **fit)
    except GanlibError as error:
        watch["stopped"] = str(error)
    after = ganomaly.get_weights()
    watch["put back"] = all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    revive = ReviveDiscriminator(np.inf)
    for model in (ganomaly, dcgan):
        # Without a step of the optimiser nothing changes but what is drawn anew.
        model.optimizer.learning_rate = 0.0
        before = [ops.convert_to_numpy(v.value) for v in model.trainable_variables]
        model.fit(images, callbacks=[revive], **fit)
        changed = {
            id(variable)
            for variable, old in zip(model.trainable_variables, before, strict=True)
            if not np.array_equal(ops.convert_to_numpy(variable.value), old)
        }
        drawn = {id(v) for v in model.discriminator.trainable_variables if len(v.shape) > 1}
        others = {id(v) for v in model.trainable_variables} - {
            id(v) for v in model.discriminator.trainable_variables
        }
        watch[type(model).__name__] = drawn <= changed and not others & changed
    watch["revivals"] = len(revive.revivals)
print(json.dumps(answer))
