"""The common output of all detectors, and the validation of their input."""

from typing import NamedTuple

import numpy as np

from ganlib.errors import GanlibError

HALF_RANGE = 127.5  # grey levels 0..255 become -1..1


class Detection(NamedTuple):
    """Results of a detector for n images; row i of every array belongs to image i.

    Do not compare scores across detectors. Images are `(n, height, width, channels)`, 0..255.
    """

    scores: np.ndarray  # float32 (n,), A(x) >= 0, higher is more anomalous
    reconstructions: np.ndarray  # uint8 images, the nearest normal ones
    residuals: np.ndarray  # float32 images, |x - reconstruction| before rounding, or one channel


def unscale(values: np.ndarray) -> np.ndarray:
    """Map -1..1 to uint8 pixels 0..255, rounded to the nearest."""
    return np.clip(np.rint((values + 1.0) * HALF_RANGE), 0, 255).astype("uint8")


def residual(images: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Compute x_R = |x - G(z)| in grey levels (paper, section 3) from uint8 images and -1..1."""
    return np.abs(images.astype("float32") - (values.astype("float32") + 1.0) * HALF_RANGE)


def check_images(
    images: np.ndarray, shape: tuple[int | None, ...] = (None,) * 3, any_scale: bool = False
) -> np.ndarray:
    """Validate images before scoring: uint8 `(n, height, width, channels)`, n > 0.

    `shape` is the expected height, width and channels; None accepts any. With `any_scale`, floats
    of any scale are accepted too. The GanlibError reports what was found.
    """
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    expected = f"expected uint8 of shape (n, {sides}), 0..255"
    try:
        images = np.asarray(images)
    except (TypeError, ValueError) as error:  # a list of different sizes, a tensor on a device
        raise GanlibError(f"These images are not an array ({error}); {expected}.") from error
    found = f"These images have shape {images.shape} and type {images.dtype}"
    if images.ndim == 3:
        raise GanlibError(f"{found}; {expected}. Pass a single image as image[np.newaxis].")
    if images.ndim != 4 or any(
        side not in (None, actual) for side, actual in zip(shape, images.shape[1:], strict=True)
    ):
        raise GanlibError(f"{found}; {expected}. ganlib.data.load_images resizes them.")
    if not images.size:
        raise GanlibError(f"{found}: there are no images; {expected}, n at least 1.")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise GanlibError(f"{found}; {expected}. If they are 0..255, use images.astype('uint8').")
    if not np.isfinite(images).all():
        raise GanlibError(f"{found}, and some pixels are not finite; {expected}.")
    if not any_scale:
        raise GanlibError(
            f"{found} and range from {images.min():g} to {images.max():g}; {expected}. The model "
            "scales to -1..1 itself: if they are 0..1, use (255 * images).round().astype('uint8')."
        )
    return images
