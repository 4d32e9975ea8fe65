"""The one shape in which every detector answers."""

from typing import NamedTuple

import numpy as np


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
