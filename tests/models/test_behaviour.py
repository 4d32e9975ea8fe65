"""A detector must work, not only run: a short training on generated castings."""

import keras
import numpy as np
import pytest

from ganlib.data.synthetic import CASTING_KINDS, casting_images
from ganlib.evaluation import evaluate
from ganlib.models.ganomaly import GANomaly

SIZE = 32


def ganomaly(seed):
    keras.utils.set_random_seed(seed)
    model = GANomaly(SIZE, channels=1, filters=16)
    model.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
    return model


def test_anomalies_score_above_normals_after_a_short_training_and_not_before():
    normals = casting_images(["normal"] * 100, 1, SIZE, start=1200)
    anomalies = casting_images(CASTING_KINDS[1:] * 25, 1, SIZE)
    images, labels = np.concatenate([normals, anomalies]), np.repeat([0, 1], 100)
    aurocs = [evaluate(labels, ganomaly(seed).detect(images).scores)["auroc"] for seed in (2, 1)]
    model = ganomaly(seed=0)
    aurocs.append(evaluate(labels, model.detect(images).scores)["auroc"])
    assert np.mean(aurocs) == pytest.approx(0.5, abs=0.15)
    model.fit(casting_images(["normal"] * 1200, 1, SIZE), batch_size=16, epochs=10, verbose=0)
    detection = model.detect(images)
    assert evaluate(labels, detection.scores)["auroc"] > 0.65
    assert evaluate(labels, detection.residuals.max((1, 2, 3)))["auroc"] > 0.9
