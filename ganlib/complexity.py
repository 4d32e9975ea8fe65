"""How much there is to see in an image."""

import io

import numpy as np
from PIL import Image


def image_complexity(images: np.ndarray) -> np.ndarray:
    """Measure images by the size of their PNG files: what repeats or is flat takes fewer bytes.

    A simple image is easily rebuilt, whatever it shows. Drawn against it, a score tells whether it
    measures more than that.

    Args:
        images: uint8 `(n, height, width, channels)`, 0..255.

    Returns:
        int64 `(n,)`, bytes of the losslessly compressed image. Compare images of one size only, and
        within one machine: the compressors that Pillow is built with differ by a few bytes.

    Reference:
        Serrà et al. 2020, who estimate complexity so to correct the likelihoods of generative
        models, which are too high on simple images for the same reason.
    """
    return np.array([_png_bytes(image) for image in images], dtype="int64")


def _png_bytes(image: np.ndarray) -> int:
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(
        file, "PNG", compress_level=9
    )
    return file.tell()
