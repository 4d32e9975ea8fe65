"""Whether good images show things in any orientation, so that they may be turned."""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist


def any_orientation(images: np.ndarray) -> bool:
    """Tell whether images `(n, h, h, channels)`, h a multiple of 32, lie in any orientation.

    They do if pairs of them are as alike with one of the two turned by 90 degrees as without.
    """
    images = images[:: -(-len(images) // 500)]
    small = images.reshape(len(images), 32, images.shape[1] // 32, 32, -1, images.shape[3])
    small = small.mean(axis=(2, 4))
    small -= gaussian_filter(small, (0, 2, 2, 0))  # light falls from one side in any case
    n, pairs = len(images), ~np.eye(len(images), dtype=bool)  # a round thing is like itself turned
    upright, turned = (
        np.quantile(cdist(seen.reshape(n, -1), small.reshape(n, -1))[pairs], 0.25)
        for seen in (small, np.rot90(small, axes=(1, 2)))
    )
    return bool(turned < 1.02 * upright)  # of 30 images that lie anyhow, chance makes less of it
