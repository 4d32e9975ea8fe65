"""Run by test_devices: train tiny models on one device and on two simulated; losses as JSON."""

import contextlib
import json
import os
import sys
from pathlib import Path

# Before a backend is there. Little optimization: the steps are few, compiling takes the time.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
)

import keras
import numpy as np
from tiny import SIZES, some_images
from untuned import untune

from ganlib.models import DCGAN, Autoencoder, devices

untune()
backend = keras.backend.backend()
if backend == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
# Brighter and brighter, so that the halves of a batch have other statistics than the whole.
images = (some_images(27) * np.linspace(0.2, 1, 27)[:, None, None, None]).astype("uint8")


def fit(model, images):
    return model.fit(images, batch_size=8, epochs=2, shuffle=False, verbose=0).history


answer = {"backend": backend, "devices": [], "losses": {}, "scores": []}
for scope in (contextlib.nullcontext(1), devices.every_device()):
    with scope as count:
        answer["devices"].append(count)
        for cls in (DCGAN, Autoencoder):
            keras.utils.set_random_seed(0)
            model = cls(**SIZES)
            model.compile(keras.optimizers.SGD(1e-2))  # to Adam, twice the loss is the same
            answer["losses"].setdefault(cls.__name__, []).append(fit(model, images[:24]))
            if cls is DCGAN:
                model.generate(model.draw_latents(9))  # as the notebook does after an epoch
        model.save(Path(sys.argv[1]) / f"{count}.keras")
        answer["scores"].append(model.detect(images).scores.tolist())
        answer["losses"].setdefault("uneven", []).append(fit(model, images))
answer["left"] = devices.replicas() == 1 and keras.distribution.distribution() is None
print(json.dumps(answer))
