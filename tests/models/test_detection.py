"""What is no batch of images for a detector is refused in one line, before any work."""

import functools

import keras
import numpy as np
import pytest
from refusals import refused
from tiny import SIZES, build, some_images

from ganlib.errata import CORRECTED, Preset, anogan, ganomaly, pixels
from ganlib.errors import GanlibError
from ganlib.models import BASELINES, DCGAN, METHODS

IMAGES = np.maximum(some_images(3), 1)


@functools.cache
def doors():
    models = {
        cls: build(cls)
        for cls in METHODS.values()
        if cls.__module__.startswith("ganlib.models.") and cls.family != "features"
    }
    for model in models.values():
        model.thresholds = {"quantile": 1.0}
    search = next(model for model in models.values() if model.method == "AnoGAN")
    return [
        *(door for model in models.values() for door in (model.detect, model.is_anomaly)),
        search.search,
        lambda images: search.score_latents(images, np.zeros((3, 6), "float32")),
        *(functools.partial(baseline, IMAGES) for baseline in BASELINES.values()),
    ]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"\(32, 32, 1\).*single image as image\[np.newaxis\]"),
        (IMAGES[..., 0], r"\(3, 32, 32\) and.*expected uint8 .*\(n, 32, 32, 1\)"),
        (some_images(3, size=64), r"\(3, 64, 64, 1\).*expected.*\(n, 32, 32, 1\)"),
        (IMAGES[:, :16], r"\(3, 16, 32, 1\).*expected.*\(n, 32, 32, 1\)"),
        (some_images(3, 3), r"\(3, 32, 32, 3\).*expected.*\(n, 32, 32, 1\)"),
        (IMAGES[:0], r"\(0, 32, 32, 1\).*no images.*n at least 1"),
        (IMAGES / 255, r"float64 and range from 0\.\d+ to 1; .*scales"),
        ((IMAGES / 127.5 - 1).astype("f4"), r"float32 and range from -0\.99"),
        (IMAGES.astype("float32"), r"float32 and range from 1 to 255"),
        (np.where(IMAGES < 9, np.nan, IMAGES), r"float64, and some pixels are not finite"),
        (IMAGES.astype("uint16") * 257, r"uint16; expected uint8.*astype\('uint8'\)"),
        (IMAGES > 99, r"type bool; expected uint8"),
        ("image.png", r"shape \(\).*expected uint8"),
        ([IMAGES[0], IMAGES[0, :16]], "not an array.*expected uint8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_everything_that_takes_images_refuses(images, message, monkeypatch):
    doors()
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda *_: pytest.fail("works"))
    for door in doors():
        with pytest.raises(GanlibError, match=message) as error:
            door(images)
        assert "\n" not in str(error.value)
    for baseline in BASELINES.values():
        refused(r"^These images .*expected uint8", baseline, images, IMAGES)


def test_the_errata_alone_may_scale_otherwise():
    wide = Preset(half_range=31.5)
    images = pixels(wide, IMAGES)
    for make in (
        lambda preset: ganomaly(preset, **SIZES),
        lambda preset: anogan(preset, DCGAN(**SIZES), steps=1),
    ):
        refused(r"range from 4\.0", make(CORRECTED).detect, images)
        model = make(wide)
        assert np.isfinite(model.detect(images).scores).all()
        refused("not finite", model.detect, images * np.float32(np.nan))
