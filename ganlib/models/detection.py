"""What every detector is asked, and the one shape in which it answers."""

from typing import NamedTuple

import numpy as np

from ganlib.errors import GanlibError


class Detection(NamedTuple):
    """What a detector says of n images, row i of every array being image i.

    Attributes:
        scores: float32 `(n,)`, anomaly score A(x) >= 0, higher is more anomalous. The scale is the
            detector's own: compare scores of one detector only.
        reconstructions: uint8 `(n, height, width, channels)`, the normal image that the detector
            finds nearest, 0..255.
        residuals: float32 `(n, height, width, channels)`, `|x - reconstruction|` in grey levels,
            0..255, computed before the reconstruction is rounded.
    """

    scores: np.ndarray
    reconstructions: np.ndarray
    residuals: np.ndarray


def check_images(
    images: np.ndarray, shape: tuple[int, ...] = (None, None, None), any_scale: bool = False
) -> np.ndarray:
    """Refuse what a detector would score without a murmur, or with an error about something else.

    No image at all is refused too: most often it is a part of a split that is empty.

    Args:
        images: uint8 `(n, height, width, channels)`, 0..255, n > 0.
        shape: height, width and channels that the detector takes; None where any will do.
        any_scale: take floats as well, of whatever scale.

    Returns:
        The images as an array.

    Raises:
        GanlibError: names what they are and what they should be.
    """
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    expected = f"expected uint8 of the shape (n, {sides}), 0..255"
    try:
        images = np.asarray(images)
    except (TypeError, ValueError) as error:  # a list of several sizes, a tensor on a device
        raise GanlibError(f"These images are no array ({error}); {expected}.") from error
    found = f"These images have the shape {images.shape} and the type {images.dtype}"
    if images.ndim == 3:
        raise GanlibError(f"{found}; {expected}. Give one image as image[np.newaxis].")
    if images.ndim != 4 or any(
        side not in (None, of) for side, of in zip(shape, images.shape[1:], strict=True)
    ):
        raise GanlibError(f"{found}; {expected}. ganlib.data.load_images makes them so.")
    if not images.size:
        raise GanlibError(f"{found}: there is none to look at; {expected}, n at least 1.")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise GanlibError(f"{found}; {expected}. If they are 0..255, use images.astype('uint8').")
    if not np.isfinite(images).all():
        raise GanlibError(f"{found}, and some pixels are not finite; {expected}.")
    if not any_scale:
        raise GanlibError(
            f"{found}, and reach from {images.min():g} to {images.max():g}; {expected}. Scaling to "
            "-1..1 is the detector's own work: if they are 0..1, use "
            "(255 * images).round().astype('uint8')."
        )
    return images
