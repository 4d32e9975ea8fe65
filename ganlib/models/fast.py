"""Convolutions that run faster on a CPU as one matrix product.

A convolution reads the whole kernel for each image, and waits for memory if the kernel exceeds the
cache. A product over the patches of all images reads it once. Measured in `benchmarks/README.md`.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator

import keras
from keras import ops

WIDE = 4 * 4 * 512 * 1024  # smallest number of values in such a kernel
SMALL = 4  # side of the smaller map
_plain = contextvars.ContextVar("plain", default=False)


@contextlib.contextmanager
def plain_convolutions() -> Iterator[None]:
    """Compute all convolutions in this block as Keras does, for export."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def _as_product(layer: keras.layers.Layer, side: int) -> bool:
    fits = layer.kernel_size == (4, 4) and layer.strides == (2, 2) and layer.padding == "same"
    return fits and side == SMALL and math.prod(layer.kernel.shape) >= WIDE and not _plain.get()


class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`; if wide, computed as one matrix product over all patches."""

    def convolution_op(self, inputs, kernel):
        """Convolve: every patch consists of 2x2 blocks of stride x stride values."""
        stride, channels = self.strides[0], inputs.shape[-1]
        rows, columns = inputs.shape[1] // stride, inputs.shape[2] // stride
        if not _as_product(self, rows):
            return super().convolution_op(inputs, kernel)
        around = [stride // 2, stride - stride // 2]
        padded = ops.pad(inputs, [[0, 0], around, around, [0, 0]])
        blocks = ops.reshape(padded, (-1, rows + 1, stride, columns + 1, stride, channels))
        shape = (ops.shape(inputs)[0], rows, stride, columns, stride, channels)

        def moved(y, x):
            # The gradient of indexing is slow in TensorFlow.
            return ops.slice(blocks, (0, y, 0, x, 0, 0), shape)

        # (n, rows, y, stride, columns, x, stride, channels), then (n, rows, columns, y, ...)
        patches = ops.stack(
            [ops.stack([moved(y, x) for x in range(2)], axis=4) for y in range(2)], axis=2
        )
        patches = ops.transpose(patches, (0, 1, 4, 2, 3, 5, 6, 7))
        flat = ops.reshape(patches, (-1, 4 * stride * stride * channels))
        products = ops.matmul(flat, ops.reshape(kernel, (-1, self.filters)))
        return ops.reshape(products, (-1, rows, columns, self.filters))


class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`; if wide, computed as one matrix product."""

    def call(self, inputs):
        """Convolve: every value becomes a patch, and overlapping patches are summed."""
        rows, columns, channels = inputs.shape[1:]
        stride = self.strides[0]
        if not _as_product(self, rows):
            return super().call(inputs)
        kernel = ops.transpose(ops.reshape(self.kernel, (-1, channels)))
        patches = ops.matmul(ops.reshape(inputs, (-1, channels)), kernel)
        # A patch is 2x2 blocks of stride x stride values; blocks of neighboring patches overlap.
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


# Keras layer -> equivalent layer, faster if wide
CONVOLUTIONS = {keras.layers.Conv2D: Conv2D, keras.layers.Conv2DTranspose: Conv2DTranspose}
