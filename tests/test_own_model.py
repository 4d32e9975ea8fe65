"""A model of one's own, in one file of at most 40 lines, takes part in everything."""

from pathlib import Path

import keras
import numpy as np
import pytest
from processes import answer_of
from tiny import SIZES, assert_answers_as_a_detector, assert_equal, load, save_images, some_images

from ganlib import training
from ganlib.data.batches import Batches
from ganlib.models import METHODS, Autoencoder

FILE = Path(__file__).with_name("own_model.py")
# In another process: a saved model needs no class to be imported, and what `GANLIB_MODELS` names is
# a method, which the command line trains.
PROGRAM = """
import json, runpy, sys
import numpy as np
from ganlib.detector.load import load_model
mine, other, images, *command = sys.argv[1:]
models, images = [load_model(path) for path in (other, mine)], np.load(images)
from ganlib.models import METHODS
assert type(models[1]) is METHODS["denoiser"] and models[1].family == "baseline"
sys.argv[1:] = command
try:
    runpy.run_module("ganlib", run_name="__main__")
except SystemExit as end:
    assert not end.code
print(json.dumps([[m.thresholds, m.detect(images).scores.tolist()] for m in models]))
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


def test_it_is_short_and_answers_as_a_detector_and_after_loading(denoiser):
    assert len(FILE.read_text().splitlines()) <= 40
    model, path = denoiser
    images = some_images(5, seed=2)
    detection = model.detect(images)
    assert_answers_as_a_detector(detection, images)
    assert_equal(load(path).detect(images), detection)
    assert load(path).get_config() == model.get_config()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    for seed, (part, n) in enumerate({"train/good": 40, "test/good": 10, "test/hole": 10}.items()):
        save_images(folder / part, some_images(n, seed=seed))
    return folder


def test_another_process_loads_it_and_models_of_ganlib_and_trains_it(denoiser, folder, tmp_path):
    (model, path), other = denoiser, Autoencoder(**SIZES)
    images = some_images(5, seed=2)
    np.save(tmp_path / "images.npy", images)
    other.calibrate(np.arange(50.0))
    other.save(tmp_path / "other.keras")
    out = tmp_path / "parts.keras"
    train = ["train", folder, "--method", "denoiser", "--steps", "3", "-o", out]
    train += ["--image-size", "32", "--filters", "4"]
    answer = answer_of(
        *("-c", PROGRAM, path, tmp_path / "other.keras", tmp_path / "images.npy", *train),
        GANLIB_MODELS=str(FILE),
    )
    for each, (thresholds, scores) in zip((other, model), answer, strict=True):
        assert thresholds == each.thresholds
        np.testing.assert_allclose(scores, each.detect(images).scores, rtol=1e-6)
    made = load(out)
    assert made.card["method"] == "denoiser" and "auroc" in made.card["test"]
