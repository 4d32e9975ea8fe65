"""Tiny models trained on random images, and checks that apply to every detector."""

import functools

import keras
import numpy as np
from keras import ops
from PIL import Image

from ganlib.detector.load import load_model as load  # noqa: F401  (for the tests)
from ganlib.models import DCGAN, AnoGAN, FAnoGAN, GRDNet, Segmentator, defects

SIZES = {"image_size": 32, "channels": 1, "latent_dim": 6, "filters": 4}


def some_images(n=12, channels=1, seed=0, size=32):
    shape = (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def save_images(folder, images):
    """Save images, grey or `(n, h, w, 1)`, as 00.png, 01.png, ...; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(folder / f"{number:02}.png")
    return folder


def build(cls, seed=0, **options):
    sizes = SIZES
    if cls in (AnoGAN, FAnoGAN):
        own = {"steps": 15, "batch_size": 4} if cls is AnoGAN else {"filters": 4}
        sizes = {"dcgan": options.pop("dcgan", None) or dcgan(), **own}
    if cls is GRDNet:
        sizes = {**SIZES, "width": 4}
    keras.utils.set_random_seed(seed)
    return cls(**{**sizes, **options})


def lesson(model, images):
    """Return training data of a model: images, and targets if it learns from synthetic defects."""
    learns_from_defects = isinstance(model, Segmentator)
    return (
        defects.lessons(images, np.random.default_rng(0)) if learns_from_defects else (images, None)
    )


def fit(model, images=None, epochs=1, batch_size=4, rate=1e-3, run_eagerly=False):
    """Train a model. For a few steps, eager execution takes less time than compiling."""
    model.compile(keras.optimizers.Adam(rate, beta_1=0.5), run_eagerly=run_eagerly)
    images = some_images() if images is None else images
    options = {"batch_size": batch_size, "epochs": epochs, "shuffle": False, "verbose": 0}
    history = model.fit(*lesson(model, images), **options)
    model.run_eagerly = False  # predict with compiled steps, as users do
    return history


def trained(cls, images=None, epochs=1, run_eagerly=True, **options):
    """Build and train a model: one step per epoch, or three if compiled."""
    model = build(cls, **options)
    if cls is not AnoGAN:
        fit(model, images, epochs, batch_size=12 if run_eagerly else 4, run_eagerly=run_eagerly)
    return model


@functools.cache
def dcgan():
    """Return a cached DCGAN whose images of different z differ enough for a search."""
    model = trained(DCGAN, epochs=20, run_eagerly=False)
    assert model.generate(model.draw_latents(20)).astype(float).std(axis=0).mean() > 1
    return model


def values(variables):
    return [np.array(ops.convert_to_numpy(variable.value)) for variable in variables]


def moved(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def gradients(loss, variables):
    """Compute gradients on TensorFlow; Keras has no function for it."""
    import tensorflow

    with tensorflow.GradientTape() as tape:
        value = loss()
    return tape.gradient(value, [variable.value for variable in variables])


def assert_answers_as_a_detector(detection, images):
    """Check shapes and types, and that the residual is |image - reconstruction| in grey levels."""
    scores, reconstructions, residuals = detection
    assert scores.shape == (len(images),)
    assert scores.dtype == residuals.dtype == np.float32
    assert reconstructions.dtype == np.uint8
    assert reconstructions.shape == residuals.shape == images.shape
    assert (scores >= 0).all()
    by_hand = np.abs(images.astype("float32") - reconstructions)
    np.testing.assert_allclose(residuals, by_hand, atol=0.501)  # the reconstruction is rounded
