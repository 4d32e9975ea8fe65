"""Train on several devices with TensorFlow or JAX."""

import contextlib
import functools
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def every_device() -> Iterator[int]:
    """Train a model on all devices of the machine: build, compile and fit it in this block.

    Yield the number of devices. Each batch is split among them; `batch_size` remains the size of
    the whole batch. With one device, and on PyTorch, this does nothing.
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
    """Count the devices on which TensorFlow runs the current step; 1 on other backends."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def split_rows(tensor):
    """Split the rows of a batch among JAX's devices; if not divisible, each takes all."""
    distribution = keras.distribution.distribution()
    if keras.backend.backend() != "jax" or distribution is None:
        return tensor
    mesh = distribution.device_mesh
    if tensor.shape[0] % mesh.devices.size:
        return tensor
    axes = [mesh.axis_names[0]] + [None] * (len(tensor.shape) - 1)
    return keras.distribution.distribute_tensor(tensor, keras.distribution.TensorLayout(axes, mesh))


def draw_normal(rows, depth: int, seed):
    """Draw from N(0, 1). TensorFlow's replicas share a random state; each takes its own rows."""
    drawn = keras.random.normal((rows * replicas(), depth), seed=seed)
    if replicas() == 1:
        return split_rows(drawn)
    import tensorflow as tf

    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return drawn[number * rows : (number + 1) * rows]


@functools.cache  # a second strategy in one process would conflict with the first
def _mirrored(*names: str):
    import tensorflow as tf

    # Plain copies suffice between logical CPUs, which only tests use.
    gpus = all("GPU" in name for name in names)
    exchange = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(names, exchange)


class _WholeBatches(keras.distribution.DataParallel):
    """Replicate batches. Keras lays out all like the first, but the last may not divide evenly."""

    def get_data_layout(self, data_shape):
        """Give each device the whole batch, which `split_rows` splits."""
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)
