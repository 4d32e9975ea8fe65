"""What is no batch of images for a detector is refused in one line, before any work."""

import keras
import numpy as np
import pytest

from ganlib.errata import CORRECTED, Preset, anogan, ganomaly, pixels
from ganlib.errors import GanlibError
from ganlib.models import baselines
from ganlib.models.anogan import AnoGAN
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.dcgan import DCGAN
from ganlib.models.detection import check_images
from ganlib.models.fanogan import FAnoGAN
from ganlib.models.ganomaly import GANomaly
from ganlib.settings import settings

BASELINES = [
    baselines.mean_brightness,
    baselines.grey_histogram,
    baselines.nearest_neighbour,
    baselines.pca_reconstruction,
]
SMALL = {"image_size": 32, "channels": 1, "latent_dim": 6, "filters": 4}


def some_images(n=3, size=32, channels=1):
    return np.random.default_rng(0).integers(1, 256, (n, size, size, channels), dtype="uint8")


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(0)
    dcgan = DCGAN(**SMALL)
    networks = dcgan.generator, dcgan.discriminator
    found = {
        "GANomaly": GANomaly(**SMALL),
        "AnoGAN": AnoGAN(*networks, steps=1, batch_size=4),
        "FAnoGAN": FAnoGAN(*networks, filters=4),
        "Autoencoder": Autoencoder(**SMALL),
    }
    for model in found.values():
        model.thresholds = {"quantile": 1.0}
    return found


def asked(models):
    """Everything that takes images, by name."""
    for name, model in models.items():
        yield f"{name}.detect", model.detect
        yield f"{name}.is_anomaly", model.is_anomaly
    yield "AnoGAN.search", models["AnoGAN"].search
    yield "AnoGAN.score", lambda images: models["AnoGAN"].score(images, np.zeros((3, 6), "float32"))
    for method in BASELINES:
        yield method.__name__, lambda images, method=method: method(some_images(), images)


NAN = np.where(some_images() < 128, np.nan, some_images()).astype("float32")
BAD = {
    "one image": (some_images()[0], r"\(32, 32, 1\).*Give one image as image\[np.newaxis\]"),
    "no channels": (some_images()[..., 0], r"\(3, 32, 32\) and.*expected uint8 .*\(n, 32, 32, 1\)"),
    "flat": (some_images().reshape(3, -1), r"\(3, 1024\).*expected uint8 .*\(n, 32, 32, 1\)"),
    "larger": (some_images(size=64), r"\(3, 64, 64, 1\).*expected.*\(n, 32, 32, 1\)"),
    "not as high": (some_images()[:, :16], r"\(3, 16, 32, 1\).*expected.*\(n, 32, 32, 1\)"),
    "not as wide": (some_images()[:, :, :16], r"\(3, 32, 16, 1\).*expected.*\(n, 32, 32, 1\)"),
    "colours": (some_images(channels=3), r"\(3, 32, 32, 3\).*expected.*\(n, 32, 32, 1\)"),
    "channels first": (np.moveaxis(some_images(), -1, 1), r"\(3, 1, 32, 32\).*expected"),
    "none": (some_images()[:0], r"\(0, 32, 32, 1\).*none to look at.*n at least 1"),
    "floats 0..1": (some_images() / 255, r"float64, and reach from 0\.\d+ to 1; .*0\.\.255\. Scal"),
    "floats -1..1": ((some_images() / 127.5 - 1).astype("f4"), r"float32, and reach from -0\.99"),
    "floats 0..255": (some_images().astype("float32"), r"float32, and reach from 1 to 255"),
    "not a number": (NAN, r"float32, and some pixels are not finite"),
    "infinite": (np.full((3, 32, 32, 1), np.inf), "some pixels are not finite"),
    "16 bit": (some_images().astype("uint16") * 257, r"uint16; expected uint8.*astype\('uint8'\)"),
    "int64": (some_images().astype("int64"), r"int64; expected uint8.*astype\('uint8'\)"),
    "booleans": (some_images() > 99, r"type bool; expected uint8"),
    "a name": ("image.png", r"shape \(\).*expected uint8"),
    "nothing": (None, r"shape \(\) and the type object.*expected uint8"),
    "two sizes": ([some_images()[0], some_images(size=16)[0]], "are no array.*expected uint8"),
}


@pytest.mark.parametrize("what", BAD)
def test_everything_that_takes_images_refuses(models, what, monkeypatch):
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda *_: pytest.fail("works"))
    images, message = BAD[what]
    for name, call in asked(models):
        with pytest.raises(GanlibError, match=message) as error:
            call(images)
        assert "\n" not in str(error.value), name


@pytest.mark.parametrize("what", BAD)
def test_baselines_refuse_bad_images_to_train_on(what):
    for method in BASELINES:
        with pytest.raises(GanlibError, match=r"^These images .*expected uint8"):
            method(BAD[what][0], some_images())


def test_good_images_are_handed_on_as_they_are(models):
    images = some_images()
    assert check_images(images, (32, 32, 1)) is images
    assert check_images(images) is images
    for name, call in asked(models):
        assert len(call(images)) in (2, 3), name
    many = list(images)  # a list of equal images is an array
    expected = models["GANomaly"].detect(images).scores
    np.testing.assert_array_equal(models["GANomaly"].detect(many).scores, expected)


def test_z_must_be_those_of_the_images(models):
    for latents in (np.zeros((2, 6)), np.zeros((3, 5)), np.zeros(6)):
        with pytest.raises(GanlibError, match=r"latents has the shape .*expected \(3, 6\)"):
            models["AnoGAN"].score(some_images(), latents)


def test_the_errata_alone_may_scale_otherwise():
    small = settings("smoke", "cloud", image_size=32, filters=4, search_steps=1)
    dcgan = DCGAN(32, small.channels, small.latent_dim, 4)
    images = some_images(channels=small.channels)
    for preset in (Preset(half_range=31.5), CORRECTED):
        made = pixels(Preset(half_range=31.5), images)
        for model in (ganomaly(preset, small), anogan(preset, dcgan, small)):
            if preset is CORRECTED:
                with pytest.raises(GanlibError, match=r"reach from 4\.0"):
                    model.detect(made)
            else:
                assert np.isfinite(model.detect(made).scores).all()
                with pytest.raises(GanlibError, match="not finite"):
                    model.detect(made * np.float32(np.nan))
