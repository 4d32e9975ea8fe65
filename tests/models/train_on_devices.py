"""Run by test_devices: train tiny models on one device and on two simulated; losses as JSON."""

import contextlib
import json
import os
import sys
from pathlib import Path

# Before a backend is there. Little optimisation: the steps are few, compiling takes the time.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
)

import keras
import numpy as np
from untuned import untune

from ganlib.models import devices
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.dcgan import DCGAN
from ganlib.models.ganomaly import GANomaly

untune()
BATCH = 8
folder = Path(sys.argv[1])
backend = keras.backend.backend()
if backend == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])


class Batches(keras.utils.PyDataset):
    """Images from a generator: how many rows a batch has is not known before it is there."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return -(-len(self.images) // BATCH)

    def __getitem__(self, index):
        return (self.images[index * BATCH : (index + 1) * BATCH],)


# Brighter and brighter, so that the halves of a batch have other statistics than the whole.
images = np.random.default_rng(0).integers(0, 256, (27, 32, 32, 1), dtype="uint8")
images = (images * np.linspace(0.2, 1, len(images))[:, None, None, None]).astype("uint8")
RUNS = (
    (GANomaly, images[:24], 1e-3),
    (DCGAN, images[:23], 1e-2),  # of the last batch TensorFlow gives the devices 4 and 3 rows
    (Autoencoder, Batches(images), 1e-2),  # and of this one 2 and 1
)
answer = {"backend": backend, "devices": [], "losses": {}, "scores": {}}
for scope in (contextlib.nullcontext(1), devices.every_device()):
    with scope as count:
        answer["devices"].append(count)
        for model_class, data, learning_rate in RUNS:
            keras.utils.set_random_seed(0)
            model = model_class(32, 1, 6, 4)
            # Not Adam, to whom a loss twice as large is the same.
            model.compile(keras.optimizers.SGD(learning_rate))
            size = None if isinstance(data, Batches) else BATCH
            history = model.fit(data, batch_size=size, epochs=2, shuffle=False, verbose=0).history
            name = model_class.__name__
            answer["losses"].setdefault(name, []).append(history)
            if model_class is DCGAN:
                model.generate(model.draw_latents(9))  # as the notebook does after an epoch
            if model_class is GANomaly:
                ganomaly = model
        if count == 2:
            try:
                model.fit(Batches(images[:25]), verbose=0)
                answer["one row left"] = "trained"
            except Exception as error:
                answer["one row left"] = str(error)
    ganomaly.save(folder / f"{count}.keras")
    answer["scores"][count] = ganomaly.detect(images).scores.tolist()
answer["left"] = devices.replicas() == 1 and keras.distribution.distribution() is None
print(json.dumps(answer))
