"""Several devices for one training: the one module that knows the backends.

Both backends split a batch by rows over the devices. On JAX nothing else changes: the compiled step
still means the whole batch, and XLA moves what has to be moved. TensorFlow runs the step on each
device with its own rows, a replica, and adds up the gradients, so whatever looks across a batch has
to ask the other replicas: the functions below do that. With one device they return what they were
given.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator

import keras
from keras import ops

from ganlib.errors import GanlibError

NO_ROWS = (
    "The last batch of the epoch has too few rows for all devices. Choose another batch_size, or "
    "leave some images out."
)


@contextlib.contextmanager
def every_device() -> Iterator[int]:
    """Train on all devices of this machine: make, compile and fit a model in here.

    With one device, and on PyTorch, nothing happens. With several GPUs (or logical devices) each
    batch is split over them, so `batch_size` remains that of the whole batch and the losses are
    those of one device up to rounding, also where rows are left over. (TensorFlow gives each device
    ceil(rows / devices) of them until none is left, and says so if a device gets none.) The model
    works on after the block as any other; AnoGAN's search keeps one z per row and belongs outside.
    `steps_per_execution` may be set; `jit_compile=True` TensorFlow refuses here, leave it "auto".

    Yields:
        How many devices are used.

    Raises:
        GanlibError: on JAX, another `keras.distribution` is set already.

    Example:
        >>> with devices.every_device():
        ...     ganomaly = GANomaly(image_size=64, channels=1)
        ...     ganomaly.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
        ...     ganomaly.fit(normal_images, batch_size=32, epochs=15)
    """
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            names = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            if len(names) > 1:
                with _mirrored(*(device.name for device in names)).scope():
                    yield len(names)
                return
        case "jax":
            names = keras.distribution.list_devices()
            if len(names) > 1:
                if keras.distribution.distribution() is not None:
                    raise GanlibError(
                        "A keras.distribution is set already: take it back with "
                        "keras.distribution.set_distribution(None), or do without every_device()."
                    )
                keras.distribution.set_distribution(_data_parallel(names))
                try:
                    yield len(names)
                finally:
                    keras.distribution.set_distribution(None)
                return
    yield 1


def replicas() -> int:
    """Tell on how many devices TensorFlow runs the step, each with a part of the batch.

    Returns:
        The number of replicas; 1 outside `every_device` and on other backends.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def split_rows(images):
    """Let the devices share the rows of a batch; a model calls this on what `fit` gave it.

    Args:
        images: `(n, ...)`, the rows of the whole batch on JAX, those of this device on TensorFlow.

    Returns:
        The images. Where JAX cannot divide n by the number of devices each computes all rows, which
        gives the same in more time.
    """
    if replicas() == 1:
        return _sharded(images)
    import tensorflow as tf

    # TensorFlow's convolutions fail on nothing, with messages about anything but that.
    some = tf.debugging.assert_positive(tf.shape(images)[0], NO_ROWS)
    with tf.control_dependencies([some]):
        return tf.identity(images)


def draw_rows(draw: Callable, rows):
    """Draw random rows so that each device has its own, and all together those of one device.

    Args:
        draw: called with a number of rows, answers `(rows, ...)`.
        rows: rows of the batch on this device.

    Returns:
        `(rows, ...)`.
    """
    if replicas() == 1:
        return _sharded(draw(rows))
    import tensorflow as tf

    # Every replica draws for the whole batch, from the same seed, and takes its part of it.
    context = tf.distribute.get_replica_context()
    mine = tf.one_hot(context.replica_id_in_sync_group, replicas(), dtype="int32") * rows
    counts = context.all_reduce(tf.distribute.ReduceOp.SUM, mine)
    start = tf.reduce_sum(counts[: context.replica_id_in_sync_group])
    return draw(tf.reduce_sum(counts))[start : start + rows]


def batch_means(means: list, rows) -> list:
    """Make means over this device's rows to means over the whole batch.

    Args:
        means: scalars, each a mean over the rows of this device.
        rows: how many those are.

    Returns:
        Scalars, the same on every device.
    """
    if replicas() == 1:
        return means
    import tensorflow as tf

    rows = ops.cast(rows, "float32")
    sums = tf.stack([*(mean * rows for mean in means), rows])
    sums = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)
    return tf.unstack(sums[:-1] / sums[-1])


def _sharded(tensor):
    if keras.backend.backend() != "jax" or keras.distribution.distribution() is None:
        return tensor
    mesh = keras.distribution.distribution().device_mesh
    if tensor.shape[0] % mesh.devices.size:
        return tensor
    layout = keras.distribution.TensorLayout(
        [mesh.axis_names[0]] + [None] * (len(tensor.shape) - 1), mesh
    )
    return keras.distribution.distribute_tensor(tensor, layout)


@functools.cache
def _mirrored(*names: str):
    import tensorflow as tf

    # One for the process: a second one numbers its exchanges as the first did, and they collide.
    # Between logical processors, which only tests use, plain copies do.
    gpus = all("GPU" in name for name in names)
    exchange = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(names, exchange)


def _data_parallel(names: list[str]):
    class WholeBatches(keras.distribution.DataParallel):
        """Give each device the whole batch; `split_rows` then divides it where that is possible.

        Keras's own asks that every batch, also the last of an epoch, can be divided.
        """

        def get_data_layout(self, data_shape):
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    return WholeBatches(devices=names)
