"""GRDNet and its segmentator learn to find defects, each network by its own loss."""

import numpy as np
import pytest
from keras import ops
from tiny import SIZES, build, fit, load, some_images

from ganlib.data.synthetic import casting_images
from ganlib.models import GRDNet, Segmentator
from ganlib.models.base import scale
from ganlib.models.detection import unscale
from ganlib.models.segmentator import foreign

NORMAL = casting_images(["normal"] * 72, 0, 32)
CENTRES = np.random.default_rng(0).integers(8, 24, (24, 2))


def with_spots(images):
    y, x = np.indices((32, 32))[:, None] - CENTRES.T[:, :, None, None]
    return np.where((y**2 + x**2 < 10)[..., None], 20, images)


@pytest.mark.parametrize("cls", [GRDNet, Segmentator])
def test_a_short_training_finds_spots_at_their_places(cls, tmp_path):
    images = np.concatenate([NORMAL[48:], with_spots(NORMAL[48:])])
    found = []
    for epochs in (0, 30):
        model = build(cls, filters=8)
        if epochs:
            fit(model, NORMAL[:48], epochs=epochs, batch_size=16, rate=5e-3)
        detection = model.detect(images)
        hottest = [np.unravel_index(each.argmax(), (32, 32)) for each in detection.residuals[24:]]
        found.append((np.hypot(*(hottest - CENTRES).T) < 5).mean())
    assert found[1] > max(0.7, 2 * found[0])
    scores = detection.scores
    np.testing.assert_array_equal(scores, detection.residuals.max(axis=(1, 2, 3)))
    assert (scores[24:] > scores[:24]).mean() > 0.8
    assert detection.residuals.shape == (48, 32, 32, 1) and detection.residuals.min() >= 0
    assert detection.reconstructions.shape == images.shape
    model.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.detect(images[:5]).scores, scores[:5])


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


def test_training_sees_forged_images_turned_if_asked():
    seen = []
    model = GRDNet.train(seen.append, **SIZES, turns=True)
    assert seen == [model] and model.optimizer.use_ema
    transform = model.lessons(some_images(4))
    images, targets = transform(some_images(4), np.random.default_rng(0))
    assert images.shape == targets["image"].shape and targets["label"].any()
    assert transform.keywords == {"turns": True}
