"""The one place where uint8 pixels and the networks' range -1..1 meet."""

import keras
import numpy as np
from keras import ops

HALF_RANGE = 127.5


def scale(images: keras.KerasTensor) -> keras.KerasTensor:
    """Map pixels to the range of tanh, as DCGAN asks for.

    Args:
        images: `(n, height, width, channels)`, any number type, 0..255.

    Returns:
        float32 tensor of the same shape, -1..1.
    """
    return ops.cast(images, "float32") / HALF_RANGE - 1.0


def unscale(values: np.ndarray) -> np.ndarray:
    """Map what a generator made back to pixels.

    Args:
        values: float `(n, height, width, channels)`, -1..1.

    Returns:
        uint8 array of the same shape, 0..255, rounded to the nearest.
    """
    return np.clip(np.rint((values + 1.0) * HALF_RANGE), 0, 255).astype("uint8")


def residual(images: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Residual image x_R = |x - G(z)| in grey levels.

    Args:
        images: uint8 `(n, height, width, channels)`, 0..255.
        values: float of the same shape, -1..1, not yet rounded to pixels.

    Returns:
        float32 array of the same shape, 0..255.

    Reference:
        Paper, section 3, the residual image.
    """
    return np.abs(images.astype("float32") - (values.astype("float32") + 1.0) * HALF_RANGE)
