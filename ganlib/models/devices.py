"""Train on several devices: what Keras and TensorFlow need to be told."""

import contextlib
import functools
from collections.abc import Callable, Iterator

import keras


@contextlib.contextmanager
def every_device() -> Iterator[int]:
    """Build, compile and fit a model in this block to train it on all devices of the machine.

    Each batch is divided among the devices, so `batch_size` stays that of the whole batch. With one
    device, and on PyTorch, nothing happens.

    Yields:
        The number of devices in use.

    Example:
        >>> with devices.every_device():
        ...     ganomaly = GANomaly(image_size=64, channels=1)
        ...     ganomaly.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
        ...     ganomaly.fit(normal_images, batch_size=32, epochs=15)
    """
    backend = keras.backend.backend()
    names = keras.distribution.list_devices() if backend == "jax" else []
    if backend == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = [device.name for device in devices]
    if len(names) < 2:
        yield 1
    elif backend == "tensorflow":
        with _mirrored(*names).scope():
            yield len(names)
    else:
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(_DataParallel(devices=names))
        try:
            yield len(names)
        finally:
            keras.distribution.set_distribution(before)


def replicas() -> int:
    """Count the devices on which TensorFlow runs the present step; 1 on other backends."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def draw_rows(draw: Callable, rows):
    """Draw random rows `(rows, ...)`, different ones on each of TensorFlow's replicas.

    Replicas share one random state, so each draws for all of them and takes its part.
    """
    if replicas() == 1:
        return draw(rows)
    import tensorflow as tf

    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return draw(rows * replicas())[number * rows : (number + 1) * rows]


@functools.cache  # a second strategy in one process would collide with the first
def _mirrored(*names: str):
    import tensorflow as tf

    # Between logical processors, which only tests use, plain copies do.
    gpus = all("GPU" in name for name in names)
    exchange = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(names, exchange)


class _DataParallel(keras.distribution.DataParallel):
    """Keras's own, which also takes a last batch that the devices cannot share equally."""

    def get_data_layout(self, data_shape):
        if data_shape[0] % self.device_mesh.devices.size == 0:
            return super().get_data_layout(data_shape)
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)
