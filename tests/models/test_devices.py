"""Two devices train to the same losses as one, on simulated devices, in processes of their own."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from ganlib.models import (
    devices,
    ganomaly,  # noqa: F401 - for loading
)

PROGRAM = Path(__file__).with_name("train_on_devices.py")
BACKENDS = ["tensorflow", "jax"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    @functools.cache
    def train(backend):
        folder = tmp_path_factory.mktemp(backend)
        done = subprocess.run(
            [sys.executable, PROGRAM, folder],
            env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1]), folder

    return train


@pytest.mark.parametrize("backend", BACKENDS)
def test_losses_on_two_devices_are_those_on_one(trained, backend):
    answer, _ = trained(backend)
    assert answer["backend"] == backend
    assert answer["devices"] == [1, 2]
    assert len(answer["losses"]) == 3
    for name, (one, two) in answer["losses"].items():
        assert one.keys() == two.keys()
        for loss in one:
            # Measured: at most 1e-6.
            np.testing.assert_allclose(two[loss], one[loss], rtol=1e-5, err_msg=f"{name} {loss}")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_from_two_devices_scores_the_same_and_loads_on_one(trained, backend):
    answer, folder = trained(backend)
    one, two = answer["scores"].values()
    assert np.ptp(one) > 1e-3 * np.mean(one)
    np.testing.assert_allclose(two, one, rtol=1e-5)
    images = np.random.default_rng(0).integers(0, 256, (27, 32, 32, 1), dtype="uint8")
    images = (images * np.linspace(0.2, 1, len(images))[:, None, None, None]).astype("uint8")
    loaded = keras.saving.load_model(folder / "2.keras")  # whatever backend runs here
    np.testing.assert_allclose(loaded.detect(images).scores, two, rtol=1e-4)


def test_a_last_batch_that_leaves_a_device_without_rows(trained):
    assert "Choose another batch_size" in trained("tensorflow")[0]["one row left"]
    assert trained("jax")[0]["one row left"] == "trained"


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_left_of_the_devices_after_the_block(trained, backend):
    assert trained(backend)[0]["left"]


def test_on_one_device_nothing_happens():
    means = [keras.ops.convert_to_tensor(1.5)]
    with devices.every_device() as count:
        assert count == devices.replicas() == 1
        assert devices.batch_means(means, 3) is means
        assert devices.split_rows(means[0]) is means[0]
