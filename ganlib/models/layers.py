"""Layers that Keras does not have, and one that knows of several devices."""

import contextlib
import contextvars
import math
from collections.abc import Iterator

import keras
from keras import ops

from ganlib.models import devices

WIDE = 4 * 4 * 512 * 1024  # values of a kernel that is larger than a processor's cache, 32 MiB
_plain = contextvars.ContextVar("plain", default=False)


@keras.saving.register_keras_serializable(package="ganlib")
class MinibatchDeviation(keras.layers.Layer):
    """Append a map that says how much the images of the batch differ from one another.

    A discriminator sees one image at a time, so a generator that makes the same good image of every
    z deceives it. With this map it sees that the batch is all alike.

    Input shape: `(n, height, width, depth)`. Output shape: `(n, height, width, depth + 1)`; the
    last map holds one number everywhere, the standard deviation over the batch of each value,
    averaged over all values.

    Reference:
        Salimans et al. 2016, minibatch discrimination, in the form of Karras et al. 2018.
    """

    def call(self, inputs):
        """Append the map."""
        # The small number keeps the gradient of the root finite where all images are equal.
        _, variance = ops.moments(inputs, axes=[0], synchronized=devices.replicas() > 1)
        deviation = ops.mean(ops.sqrt(variance + 1e-8))
        return ops.concatenate([inputs, ops.ones_like(inputs[..., :1]) * deviation], axis=-1)

    def compute_output_shape(self, input_shape):
        """Return the shape with one more map."""
        return (*input_shape[:-1], input_shape[-1] + 1)


@keras.saving.register_keras_serializable(package="ganlib")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, whose statistics are those of the whole batch on several devices too.

    Keras can do that on TensorFlow, at some cost, and refuses a model saved with it elsewhere. So
    it is asked for where there are replicas, whatever the saved model says.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "synchronized": devices.replicas() > 1})


@keras.saving.register_keras_serializable(package="ganlib")
class PatchConv2D(keras.layers.Conv2D):
    """`Conv2D` with padding "same", as one matrix product over the patches of all images.

    The same function with the same weights, for kernels of twice the stride. A processor's
    convolution goes image by image and reads the whole kernel for each: with a map of 4x4 and a
    kernel of 4x4x512x1024 (32 MiB, more than its cache) it waits for memory. The matrix product
    reads the kernel once per batch; on such a map its patches, which overlap, are small. Measured
    in `benchmarks/README.md`.
    """

    def convolution_op(self, inputs, kernel):
        """Convolve: every patch is 2x2 blocks of stride x stride values."""
        if _plain.get():
            return super().convolution_op(inputs, kernel)
        stride, channels = self.strides[0], inputs.shape[-1]
        rows, columns = inputs.shape[1] // stride, inputs.shape[2] // stride
        around = [stride // 2, stride - stride // 2]
        padded = ops.pad(inputs, [[0, 0], around, around, [0, 0]])
        blocks = ops.reshape(padded, (-1, rows + 1, stride, columns + 1, stride, channels))
        shape = (ops.shape(inputs)[0], rows, stride, columns, stride, channels)

        def moved(y, x):
            # Not by indexing, whose gradient is slow in TensorFlow.
            return ops.slice(blocks, (0, y, 0, x, 0, 0), shape)

        # (n, rows, y, stride, columns, x, stride, channels), then both places before both blocks
        patches = ops.stack(
            [ops.stack([moved(y, x) for x in range(2)], axis=4) for y in range(2)], axis=2
        )
        patches = ops.transpose(patches, (0, 1, 4, 2, 3, 5, 6, 7))
        flat = ops.reshape(patches, (-1, 4 * stride * stride * channels))
        products = ops.matmul(flat, ops.reshape(kernel, (-1, self.filters)))
        return ops.reshape(products, (-1, rows, columns, self.filters))


@keras.saving.register_keras_serializable(package="ganlib")
class PatchConv2DTranspose(keras.layers.Conv2DTranspose):
    """`Conv2DTranspose` with padding "same" as one matrix product, see `PatchConv2D`.

    The same function with the same weights, for kernels of twice the stride.
    """

    def call(self, inputs):
        """Convolve: every value becomes a patch, and patches that overlap are added up."""
        if _plain.get():
            return super().call(inputs)
        rows, columns, channels = inputs.shape[1:]
        stride = self.strides[0]
        kernel = ops.transpose(ops.reshape(self.kernel, (-1, channels)))
        patches = ops.matmul(ops.reshape(inputs, (-1, channels)), kernel)
        # A patch is 2x2 blocks of stride x stride values; blocks of neighbours lie on each other.
        patches = ops.reshape(patches, (-1, rows, columns, 2, stride, 2, stride, self.filters))
        blocks = sum(
            ops.pad(block, [[0, 0], [y, 1 - y], [x, 1 - x], [0, 0], [0, 0], [0, 0]])
            for y, row in enumerate(ops.unstack(patches, 2, axis=3))
            for x, block in enumerate(ops.unstack(row, 2, axis=4))
        )
        blocks = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
        shape = ((rows + 1) * stride, (columns + 1) * stride, self.filters)
        outputs = ops.reshape(blocks, (-1, *shape))
        size = (ops.shape(inputs)[0], rows * stride, columns * stride, self.filters)
        outputs = ops.slice(outputs, (0, stride // 2, stride // 2, 0), size)
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return self.activation(outputs)


@contextlib.contextmanager
def plain_convolutions() -> Iterator[None]:
    """Compute `PatchConv2D` and `PatchConv2DTranspose` as Keras does what they derive from.

    For models that are written for other programs. These know convolutions, and have ways of their
    own to make them fast; tensors of eight axes LiteRT does not know.
    """
    before = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(before)


def as_product(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Copy a layer of a built model; a wide convolution to or from a small map as a matrix product.

    Args:
        layer: any layer, for instance as `clone_function` of `keras.models.clone_model`.

    Returns:
        A new layer of the same configuration, without weights.
    """
    kinds = {
        keras.layers.Conv2D: (PatchConv2D, "output"),
        keras.layers.Conv2DTranspose: (PatchConv2DTranspose, "input"),
    }
    kind, small_end = kinds.get(type(layer), (None, None))
    if kind is not None and math.prod(layer.kernel.shape) >= WIDE:
        fits = layer.kernel_size == (4, 4) and layer.strides == (2, 2) and layer.padding == "same"
        if fits and getattr(layer, small_end).shape[1:3] == (4, 4):
            return kind.from_config(layer.get_config())
    return layer.__class__.from_config(layer.get_config())
