"""Every equation against NumPy written by hand."""

import numpy as np
import pytest
from keras import ops

from ganlib.models import losses

DRAW = np.random.default_rng(0)
X, Y, F_X, F_Y = DRAW.uniform(-1, 1, (4, 5, 4, 4, 3)).astype("float32")
Z, Z_HAT = DRAW.normal(size=(2, 5, 7)).astype("float32")
REAL, FAKE = DRAW.normal(size=(2, 5, 1)).astype("float32")


A, B = DRAW.uniform(-1, 1, (2, 1, 8, 8, 1)).astype("float32")
B = (0.5 * A + 0.5 * B + 0.1).astype("float32")
LABELS = DRAW.uniform(size=(5, 1)).astype("float32")


def cross_entropy(labels, p):
    return -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean()


def similarity(a, b):
    """SSIM of one window of values that span 2."""
    brightness = (2 * a.mean() * b.mean() + 0.0004) / (a.mean() ** 2 + b.mean() ** 2 + 0.0004)
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    return brightness * (2 * covariance + 0.0036) / (a.var() + b.var() + 0.0036)


def surprise(logits):
    return -np.log(1 / (1 + np.exp(-logits))).mean()


def absolute(a, b):
    return np.abs(a - b).reshape(len(a), -1).sum(axis=1)


def square(a, b):
    return ((a - b) ** 2).reshape(len(a), -1).mean(axis=1)


@pytest.mark.parametrize(
    ("loss", "arguments", "expected"),
    [
        ("discriminator_loss", (REAL, FAKE), surprise(REAL) + surprise(-FAKE)),
        ("generator_loss", (FAKE,), surprise(FAKE)),
        ("residual_loss", (X, Y), absolute(X, Y)),
        ("discrimination_loss", (F_X, F_Y), absolute(F_X, F_Y)),
        ("anogan_score", (Z[:, 0], Z[:, 1], 0.1), 0.9 * Z[:, 0] + 0.1 * Z[:, 1]),
        ("fanogan_score", (X, Y, F_X, F_Y, 0.25), square(X, Y) + 0.25 * square(F_X, F_Y)),
        ("adversarial_loss", (F_X, F_Y), ((F_X - F_Y) ** 2).sum() / (5 * 48)),
        ("contextual_loss", (X, Y), np.abs(X - Y).sum() / (5 * 48)),
        ("encoder_loss", (Z, Z_HAT), ((Z - Z_HAT) ** 2).sum() / 35),
        ("segmentation_loss", (LABELS, REAL), cross_entropy(LABELS, 1 / (1 + np.exp(-REAL)))),
        ("structure_loss", (A, B), 1 - similarity(A, B)),
        ("latent_l1_score", (Z, Z_HAT), absolute(Z, Z_HAT)),
        ("latent_l2_score", (Z, Z_HAT), square(Z, Z_HAT)),
    ],
)
def test_loss_is_its_equation(loss, arguments, expected):
    arguments = [ops.convert_to_tensor(each) for each in arguments]
    value = ops.convert_to_numpy(getattr(losses, loss)(*arguments))
    assert value.shape == np.shape(expected)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


def test_losses_of_confident_logits_stay_finite():
    sure = ops.convert_to_tensor(np.array([[500.0], [-500.0]], "float32"))
    assert np.isfinite(float(losses.discriminator_loss(sure, sure)))
    assert float(losses.generator_loss(sure)) == pytest.approx(250.0)
