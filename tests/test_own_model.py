"""A model of one's own, in one file of at most 40 lines, takes part in everything."""

from pathlib import Path

import keras
import numpy as np
import pytest
from processes import answer_of
from tiny import assert_answers_as_a_detector, assert_equal, load, some_images

from ganlib import training
from ganlib.data.batches import Batches
from ganlib.models import METHODS

FILE = Path(__file__).with_name("own_model.py")
# In another process: what `GANLIB_MODELS` names is a method, and its saved model is loaded.
PROGRAM = """
import sys, numpy, tiny
from ganlib.models import METHODS
from ganlib.models.base import construct
model = tiny.load(sys.argv[1])
assert type(model) is METHODS["denoiser"] and model.family == "baseline"
print(model.is_anomaly(tiny.some_images(5, seed=2)).astype(int).tolist())
"""


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    """Train, calibrate and save it; the file defines no more than the model."""
    from own_model import Denoiser  # registers it, in this process alone

    def fit(model):
        model.compile(keras.optimizers.Adam(1e-2))
        batches = Batches(some_images(), np.arange(12), batch_size=4)
        folder = tmp_path_factory.mktemp("training")
        result = training.fit(model, batches, 3, folder / "c.npz", verbose=0)
        assert set(result.history) == {"loss", "rebuilding_loss"}
        assert result.history["loss"][-1] < result.history["loss"][0]

    keras.utils.set_random_seed(0)
    model = METHODS["denoiser"].train(fit, image_size=32, channels=1, latent_dim=6, filters=4)
    assert type(model) is Denoiser
    model.calibrate(model.detect(some_images(30, seed=1)).scores, 0.3)
    path = tmp_path_factory.mktemp("saved") / "denoiser.keras"
    model.save(path)
    yield model, path
    del METHODS["denoiser"]


def test_it_is_short():
    assert len(FILE.read_text().splitlines()) <= 40


def test_it_answers_as_a_detector_and_after_loading(denoiser):
    model, path = denoiser
    images = some_images(5, seed=2)
    detection = model.detect(images)
    assert_answers_as_a_detector(detection, images)
    assert_equal(load(path).detect(images), detection)
    assert load(path).get_config() == model.get_config()


def run(path, models):
    return answer_of("-c", PROGRAM, path, GANLIB_MODELS=str(models))


def test_another_process_knows_it_by_the_environment(denoiser, tmp_path):
    model, path = denoiser
    assert run(path, FILE) == model.is_anomaly(some_images(5, seed=2)).astype(int).tolist()
    for models, message in (("", "is not a model that ganlib"), (tmp_path / "x.py", "not a file")):
        with pytest.raises(AssertionError, match=message):
            run(path, models)
