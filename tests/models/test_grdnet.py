"""GRDNet and its segmentator learn to find defects, each network by its own loss."""

import numpy as np
import pytest
from keras import ops
from sklearn.metrics import roc_auc_score
from tiny import SIZES, build, fit, load, some_images

from ganlib.data.synthetic import casting_images
from ganlib.models import GRDNet, Segmentator
from ganlib.models.base import scale
from ganlib.models.defects import lessons
from ganlib.models.detection import unscale
from ganlib.models.segmentator import foreign

NORMAL = casting_images(["normal"] * 72, 0, 32)


@pytest.mark.parametrize("cls", [GRDNet, Segmentator])
def test_a_short_training_outlines_defects_it_has_not_seen(cls, tmp_path):
    images, targets = lessons(NORMAL[48:], np.random.default_rng(5))
    wrong = targets["label"].ravel() > 0.5
    found = []
    for epochs in (0, 12):
        model = build(cls, filters=8)
        if epochs:
            fit(model, np.tile(NORMAL[:48], (4, 1, 1, 1)), epochs=epochs, batch_size=16, rate=3e-3)
        detection = model.detect(images)
        found.append(roc_auc_score(wrong, detection.residuals.ravel()))
    assert found[1] > 0.65 and found[0] < 0.55
    scores = detection.scores
    np.testing.assert_array_equal(scores, detection.residuals.max(axis=(1, 2, 3)))
    assert detection.residuals.shape == (24, 32, 32, 1) and detection.residuals.min() >= 0
    assert detection.reconstructions.shape == images.shape
    model.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.detect(images).scores, scores)


def test_the_generator_is_to_rebuild_the_image_without_defects():
    model, images = build(GRDNet), some_images(4)
    outputs = model.forward(scale(images), training=True)
    clean = unscale(ops.convert_to_numpy(outputs["reconstruction"]))
    outputs["target"] = {"image": clean, "label": np.ones((4, 32, 32, 1), "float32")}
    terms = model.terms(scale(images), outputs)
    assert float(terms["contextual"]) < 0.003 and float(terms["structure"]) < 0.1
    logits, forged = (ops.convert_to_numpy(each) for each in (outputs["logits"], images))
    assert float(terms["segmentation"]) == pytest.approx(np.log1p(np.exp(-logits)).mean(), rel=1e-4)
    real, fake, forged = (
        ops.convert_to_numpy(model.discriminator(x, training=True)[1])
        for x in (scale(clean), outputs["reconstruction"], scale(forged))
    )
    expected = sum(np.log1p(np.exp(x)).mean() for x in (-real, fake, forged))
    assert float(terms["discriminator"]) == pytest.approx(expected, rel=1e-4)


def test_odds_tell_apart_what_probabilities_do_not():
    logits = np.repeat([-40.0, -30.0, 0.0, 30.0, 40.0], 32 * 32).reshape(5, 32, 32, 1)
    odds = ops.convert_to_numpy(foreign(ops.convert_to_tensor(logits.astype("float32"))))
    expected = np.log1p(np.exp([-40.0, -30.0, 0.0, 30.0, 40.0]))
    np.testing.assert_allclose(odds.mean(axis=(1, 2, 3)), expected, rtol=1e-3)


@pytest.mark.parametrize("size", [32, 64])
def test_a_place_is_judged_by_the_square_around_it_and_at_an_edge_by_what_is_there(size):
    logits = np.random.default_rng(0).normal(size=(2, size, size, 1), scale=3).astype("float32")
    side = 2 * (size * 21 // 256 // 2) + 1
    p = ops.average_pool(ops.sigmoid(logits), side, strides=1, padding="same")
    expected = -np.log1p(-ops.convert_to_numpy(p))  # log(1 + odds)
    np.testing.assert_allclose(ops.convert_to_numpy(foreign(logits)), expected, rtol=1e-4)


def test_training_sees_forged_images_turned_if_asked():
    seen = []
    model = GRDNet.train(lambda model, cooling: seen.append(model), **SIZES, turns=True)
    assert seen == [model]
    transform = model.lessons(some_images(4))
    images, targets = transform(some_images(4), np.random.default_rng(0))
    assert images.shape == targets["image"].shape and targets["label"].any()
    assert transform.keywords == {"turns": True}
