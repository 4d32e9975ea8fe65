"""Train on several devices: what Keras and TensorFlow need to be told."""

import contextlib
import functools
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def every_device() -> Iterator[int]:
    """Build, compile and fit a model in this block to train it on all devices of the machine.

    Each batch is divided among the devices, whose number is yielded; `batch_size` stays that of the
    whole batch. With one device, and on PyTorch, nothing happens.
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
        keras.distribution.set_distribution(_WholeBatches(devices=names))
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


def split_rows(tensor):
    """Share the rows of a batch among JAX's devices; where they do not divide, each takes all."""
    distribution = keras.distribution.distribution()
    if keras.backend.backend() != "jax" or distribution is None:
        return tensor
    mesh = distribution.device_mesh
    if tensor.shape[0] % mesh.devices.size:
        return tensor
    axes = [mesh.axis_names[0]] + [None] * (len(tensor.shape) - 1)
    return keras.distribution.distribute_tensor(tensor, keras.distribution.TensorLayout(axes, mesh))


def draw_normal(rows, depth: int, seed):
    """Draw N(0, 1); TensorFlow's replicas share a random state, each takes its part of the rows."""
    drawn = keras.random.normal((rows * replicas(), depth), seed=seed)
    if replicas() == 1:
        return split_rows(drawn)
    import tensorflow as tf

    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return drawn[number * rows : (number + 1) * rows]


@functools.cache  # a second strategy in one process would collide with the first
def _mirrored(*names: str):
    import tensorflow as tf

    # Between logical processors, which only tests use, plain copies do.
    gpus = all("GPU" in name for name in names)
    exchange = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(names, exchange)


class _WholeBatches(keras.distribution.DataParallel):
    """Keras's own lays out all batches as the first one, and the last one may not divide evenly."""

    def get_data_layout(self, data_shape):
        """Give each device the whole batch, which `split_rows` divides."""
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)
