"""What every detector's answer must be, GAN or baseline."""

import numpy as np


def assert_answers_as_a_detector(detection, images):
    """One shape, and a residual that is the difference to the reconstruction in grey levels."""
    scores, reconstructions, residuals = detection
    assert scores.shape == (len(images),)
    assert scores.dtype == residuals.dtype == np.float32
    assert reconstructions.dtype == np.uint8
    assert reconstructions.shape == residuals.shape == images.shape
    assert (scores >= 0).all()
    by_hand = np.abs(images.astype("float32") - reconstructions)
    np.testing.assert_allclose(residuals, by_hand, atol=0.501)  # the reconstruction is rounded
