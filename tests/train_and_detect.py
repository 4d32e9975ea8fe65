"""Run by test_backends: train tiny models and save them, or load them; print scores as JSON."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
from keras import ops

from ganlib.models.anogan import AnoGAN
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.dcgan import DCGAN
from ganlib.models.ganomaly import GANomaly

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
dcgan = keras.saving.load_model(folder / "dcgan.keras")
ganomaly = keras.saving.load_model(folder / "ganomaly.keras")
if what == "train":
    # Few steps: the longer a search, the more rounding decides which way it goes.
    AnoGAN(dcgan.generator, dcgan.discriminator, steps=3, batch_size=4).save(
        folder / "anogan.keras"
    )
anogan = keras.saving.load_model(folder / "anogan.keras")
autoencoder = keras.saving.load_model(folder / "autoencoder.keras")
for detector in (anogan, ganomaly, autoencoder):
    answer[type(detector).__name__] = detector.detect(images).scores.tolist()
answer["thresholds"] = [dict(detector.thresholds) for detector in (ganomaly, autoencoder)]
print(json.dumps(answer))
