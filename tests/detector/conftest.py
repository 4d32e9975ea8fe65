"""A small trained model, a detector and a folder of parts for all tests in this folder."""

import keras
import numpy as np
import pytest
from PIL import Image
from small import CARD, GOOD, SMALL

from ganlib.data.synthetic import casting_images
from ganlib.detector.detector import Detector
from ganlib.models import GANomaly


@pytest.fixture(scope="session")
def ganomaly():
    keras.utils.set_random_seed(0)
    model = GANomaly(**SMALL)
    model.compile(keras.optimizers.Adam(2e-3, beta_1=0.5))
    model.fit(GOOD[:30], batch_size=10, epochs=20, verbose=0)
    return model


@pytest.fixture
def detector(ganomaly):
    made = Detector(ganomaly, CARD)
    made.calibrate_on(ganomaly.detect(GOOD[30:]), 0.1, ganomaly.detect(GOOD[:30]))
    return made


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """Write a folder of 30 good images, some of them not square."""
    folder = tmp_path_factory.mktemp("good") / "parts"
    folder.mkdir()
    for number, pixels in enumerate(casting_images(["normal"] * 30, 0, 48)):
        pixels = pixels[4:44] if number % 3 == 0 else pixels
        Image.fromarray(np.squeeze(pixels)).save(folder / f"{number:02}.png")
    return folder
