"""Check whether good images show objects in any orientation and may be rotated."""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist


def any_orientation(images: np.ndarray) -> bool:
    """Return whether objects in images `(n, h, h, channels)` come in any orientation.

    h is a multiple of 32. Pairs must be as similar with one image rotated by 90 degrees as without.
    """
    images = images[:: -(-len(images) // 500)]
    small = images.reshape(len(images), 32, images.shape[1] // 32, 32, -1, images.shape[3])
    small = small.mean(axis=(2, 4))
    small -= gaussian_filter(small, (0, 2, 2, 0))  # remove lighting, which has a fixed direction
    n, pairs = len(images), ~np.eye(len(images), dtype=bool)  # round objects match themselves
    upright, turned = (
        np.quantile(cdist(seen.reshape(n, -1), small.reshape(n, -1))[pairs], 0.25)
        for seen in (small, np.rot90(small, axes=(1, 2)))
    )
    return bool(turned < 1.02 * upright)  # more than chance in 30 images of any orientation
