"""Layers that Keras does not have, and one that knows of several devices."""

import math

import keras
from keras import ops

from ganlib import devices


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

    The same function with the same weights. A processor's convolution goes image by image and reads
    the whole kernel for each: with a map of 4x4 and a kernel of 4x4x512x1024 (32 MiB, more than its
    cache) it waits for memory. The matrix product reads the kernel once per batch; on such a map
    its patches, which overlap, are small. Measured in `benchmarks/README.md`.
    """

    def convolution_op(self, inputs, kernel):
        """Convolve."""
        (height, width), stride = self.kernel_size, self.strides[0]
        rows, columns = inputs.shape[1] // stride, inputs.shape[2] // stride
        padded = ops.pad(inputs, [[0, 0], _same(height, stride), _same(width, stride), [0, 0]])
        patches = [
            padded[:, y : y + stride * rows : stride, x : x + stride * columns : stride]
            for y in range(height)
            for x in range(width)
        ]
        flat = ops.reshape(ops.concatenate(patches, axis=-1), (-1, math.prod(kernel.shape[:3])))
        products = ops.matmul(flat, ops.reshape(kernel, (-1, self.filters)))
        return ops.reshape(products, (-1, rows, columns, self.filters))


def _same(kernel: int, stride: int) -> list[int]:
    """Return the padding before and after, for sizes that the stride divides."""
    return [(kernel - stride) // 2, kernel - stride - (kernel - stride) // 2]
