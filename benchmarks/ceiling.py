"""Count the operations of a step, and measure how fast this machine could compute it."""

import math
import time

import keras
import numpy as np
from keras import ops

# (map, channels in, channels out) of 4x4 convolutions of stride 2 in the 128x128 networks.
CONVOLUTIONS = ((32, 64, 128), (16, 128, 256), (8, 256, 512))


def operations(network: keras.Model) -> tuple[int, int]:
    """Count the multiplications and additions of one image's pass through a network.

    Args:
        network: a functional model.

    Returns:
        The count of all layers, and of the layers that take the network's input.
    """
    total, first = 0, 0
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        # A transposed convolution uses its kernel once per input value.
        turned = isinstance(layer, keras.layers.Conv2DTranspose)
        places = layer.input.shape[1:-1] if turned else layer.output.shape[1:-1]
        count = 2 * math.prod(kernel.shape) * math.prod(places)
        total += count
        first += count if layer.input in network.inputs or total == count else 0
    return total, first


def ganomaly_step(model: keras.Model, batch_size: int) -> int:
    """Count the operations of one GANomaly step, nothing computed twice.

    Args:
        model: a `ganlib` GANomaly.
        batch_size: images per step.

    Returns:
        Multiplications and additions of all convolutions: forward, gradients of kernels, gradients
        of inputs where they are needed.
    """
    (encoder, from_image), (decoder, _) = operations(model.encoder), operations(model.decoder)
    second, _ = operations(model.encoder2)
    judge, judged_image = operations(model.discriminator)
    forward = encoder + decoder + second + 2 * judge  # D on real and generated images
    kernels = encoder + decoder + second + 2 * judge
    inputs = (encoder - from_image) + decoder + second + 2 * (judge - judged_image)
    through_judge = judge  # the adversarial loss reaches the generator through D
    return batch_size * (forward + kernels + inputs + through_judge)


def rates(batch_size: int = 32, repeats: int = 3) -> dict[str, float]:
    """Measure the rates that convolutions and matrix products reach alone.

    Args:
        batch_size: images of a convolution.
        repeats: the fastest of `repeats + 2` runs counts.

    Returns:
        Operations per second of "convolution", the best of `CONVOLUTIONS`, and "matrix product".
    """
    found = {"convolution": 0.0}
    for size, channels, filters in CONVOLUTIONS:
        image = keras.Input((2 * size, 2 * size, channels))
        layer = keras.layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)
        model = keras.Model(image, layer(image)[:, :1, :1, :1])
        count = batch_size * operations(keras.Model(image, layer.output))[0]
        x = np.ones((batch_size, *image.shape[1:]), "float32")
        found["convolution"] = max(found["convolution"], count / _fastest(model, x, repeats))
    product = keras.Model(wide := keras.Input((2048,)), _Product()(wide))
    x = np.ones((2048, 2048), "float32")
    found["matrix product"] = 2 * 2048**3 / _fastest(product, x, repeats)
    return found


class _Product(keras.layers.Layer):
    def call(self, inputs):
        return ops.matmul(inputs, inputs)[:, :1]

    def compute_output_shape(self, shape):
        return (*shape[:-1], 1)


def _fastest(model: keras.Model, x: np.ndarray, repeats: int) -> float:
    model.predict_on_batch(x)
    times = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        model.predict_on_batch(x)
        times.append(time.perf_counter() - started)
    return min(times)
