"""A detector must work, not only run: a short training on generated castings."""

import keras
import numpy as np
import pytest

from ganlib.data.generate import CASTING_KINDS, casting_images
from ganlib.evaluation import evaluate
from ganlib.models import GANomaly

SIZE = 32


def aurocs(seeds, images=None):
    """Measure GANomaly on new castings, trained on images or not at all."""
    normals = casting_images(["normal"] * 100, 2, SIZE)
    anomalies = casting_images(CASTING_KINDS[1:] * 25, 3, SIZE)
    found = []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model = GANomaly(SIZE, channels=1, filters=16)
        if images is not None:
            model.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
            model.fit(images, batch_size=16, epochs=10, verbose=0)
        scores = model.detect(np.concatenate([normals, anomalies])).scores
        found.append(evaluate(np.repeat([0, 1], 100), scores)["auroc"])
    return found


def test_anomalies_score_above_normals_after_a_short_training():
    assert aurocs([0], casting_images(["normal"] * 1200, 1, SIZE))[0] > 0.9


def test_a_random_network_tells_next_to_nothing():
    assert np.mean(aurocs([0, 1, 2])) == pytest.approx(0.5, abs=0.15)
