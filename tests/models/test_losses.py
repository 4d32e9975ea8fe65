"""Every equation against NumPy written by hand."""

import numpy as np
import pytest
from keras import ops

from ganlib.models import losses

DRAW = np.random.default_rng(0)
IMAGES = DRAW.uniform(-1, 1, (5, 4, 4, 3)).astype("float32")
OTHERS = DRAW.uniform(-1, 1, (5, 4, 4, 3)).astype("float32")
LATENTS = DRAW.normal(size=(5, 7)).astype("float32")
OTHER_LATENTS = DRAW.normal(size=(5, 7)).astype("float32")
REAL = DRAW.normal(size=(5, 1)).astype("float32")
FAKE = DRAW.normal(size=(5, 1)).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def per_image(function):
    return np.array([function(a, b) for a, b in zip(IMAGES, OTHERS, strict=True)])


@pytest.mark.parametrize(
    ("loss", "arguments", "expected"),
    [
        (
            losses.discriminator_loss,
            (REAL, FAKE),
            -np.log(sigmoid(REAL)).mean() - np.log(1 - sigmoid(FAKE)).mean(),
        ),
        (losses.generator_loss, (FAKE,), -np.log(sigmoid(FAKE)).mean()),
        (losses.residual_loss, (IMAGES, OTHERS), per_image(lambda a, b: np.abs(a - b).sum())),
        (losses.discrimination_loss, (IMAGES, OTHERS), per_image(lambda a, b: np.abs(a - b).sum())),
        (losses.adversarial_loss, (IMAGES, OTHERS), ((IMAGES - OTHERS) ** 2).sum() / (5 * 48)),
        (losses.contextual_loss, (IMAGES, OTHERS), np.abs(IMAGES - OTHERS).sum() / (5 * 48)),
        (
            losses.encoder_loss,
            (LATENTS, OTHER_LATENTS),
            ((LATENTS - OTHER_LATENTS) ** 2).sum() / 35,
        ),
        (
            losses.latent_l1_score,
            (LATENTS, OTHER_LATENTS),
            [np.abs(a - b).sum() for a, b in zip(LATENTS, OTHER_LATENTS, strict=True)],
        ),
        (
            losses.latent_l2_score,
            (LATENTS, OTHER_LATENTS),
            [((a - b) ** 2).sum() / 7 for a, b in zip(LATENTS, OTHER_LATENTS, strict=True)],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_loss_is_its_equation(loss, arguments, expected):
    value = ops.convert_to_numpy(loss(*map(ops.convert_to_tensor, arguments)))
    assert value.shape == np.shape(expected)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_anogan_score_weighs_the_discrimination_by_lambda():
    residual, discrimination = np.array([1.0, 10.0]), np.array([100.0, 0.0])
    score = losses.anogan_score(residual, discrimination, 0.1)
    np.testing.assert_allclose(score, [0.9 + 10.0, 9.0])


def test_fanogan_score_adds_mean_squares():
    features, others = 3 * IMAGES, 5 * OTHERS
    arguments = map(ops.convert_to_tensor, (IMAGES, OTHERS, features, others))
    score = ops.convert_to_numpy(losses.fanogan_score(*arguments, kappa=0.25))
    in_pixels = per_image(lambda a, b: ((a - b) ** 2).sum() / 48)
    in_features = per_image(lambda a, b: ((3 * a - 5 * b) ** 2).sum() / 48)
    np.testing.assert_allclose(score, in_pixels + 0.25 * in_features, rtol=1e-5)


def test_losses_of_confident_logits_stay_finite():
    sure = ops.convert_to_tensor(np.array([[500.0], [-500.0]], "float32"))
    assert np.isfinite(float(losses.discriminator_loss(sure, sure)))
    assert float(losses.generator_loss(sure)) == pytest.approx(250.0)
