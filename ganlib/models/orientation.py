"""Whether good images show things in any orientation, so that they may be turned."""

import numpy as np
from scipy.spatial.distance import cdist


def any_orientation(images: np.ndarray) -> bool:
    """Tell whether images `(n, h, h, channels)`, h a multiple of 32, lie in any orientation.

    They do if, turned by 90 degrees, they are about as near to another one as they are unturned.
    """
    images = images[:: -(-len(images) // 500)]
    small = images.reshape(len(images), 32, images.shape[1] // 32, 32, -1, images.shape[3])
    small = small.mean(axis=(2, 4))
    small -= small.mean(axis=(1, 2), keepdims=True)  # brightness has no orientation
    n, others = len(images), np.diag(np.full(len(images), np.inf))  # round things look as before
    upright, turned = (
        np.median((cdist(seen.reshape(n, -1), small.reshape(n, -1)) + others).min(axis=1))
        for seen in (small, np.rot90(small, axes=(1, 2)))
    )
    return bool(turned < 1.1 * upright)
