"""The same weights give the same scores on every backend, each in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("train_and_detect.py")


@pytest.fixture(scope="module")
def on(tmp_path_factory):
    """The environment of a process on a backend; compiling takes JAX longer than all that it runs.

    What was compiled once is found again by the next process.
    """
    quick = {
        "XLA_FLAGS": "--xla_backend_optimization_level=1",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    common = {**os.environ, **quick, "CUDA_VISIBLE_DEVICES": ""}
    return lambda backend: {**common, "KERAS_BACKEND": backend}


def run(environment, folder, what):
    done = subprocess.run(
        [sys.executable, PROGRAM, what, folder],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


WITH_TORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PYTORCH IS NOT TESTED: it is not installed; pip install ganlib[torch]",
)


@pytest.mark.parametrize(
    ("trains", "loads"),
    [
        ("tensorflow", "jax"),
        ("jax", "tensorflow"),
        pytest.param("torch", "tensorflow", marks=WITH_TORCH),
        pytest.param("jax", "torch", marks=WITH_TORCH),
    ],
)
def test_models_train_save_load_and_detect_on_both(trains, loads, on, tmp_path):
    first = run(on(trains), tmp_path, "train")
    second = run(on(loads), tmp_path, "load")
    assert (first["backend"], second["backend"]) == (trains, loads)
    assert first["moved"]
    assert first["same bits"]
    assert second["same bits"]
    assert second["thresholds"] == first["thresholds"]
    if watch := first.get("watch"):
        assert "contextual_loss is nan" in watch["stopped"]
        assert "at step 3 of epoch 1" in watch["stopped"]
        assert watch["put back"]
        assert watch["GANomaly"]
        assert watch["DCGAN"]
        assert watch["revivals"] == 6
    else:
        assert trains == "tensorflow"  # see test_watch.py
    for method in ("AnoGAN", "GANomaly", "Autoencoder"):
        assert np.ptp(first[method]) > 1e-3 * np.mean(first[method])
        np.testing.assert_allclose(second[method], first[method], rtol=1e-4)


@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=WITH_TORCH)])
def test_a_killed_training_goes_on(backend, on):
    """One case of `test_checkpoints.py`, which runs whole on TensorFlow alone."""
    here = Path(__file__).parent.parent
    test = "test_checkpoints.py::test_a_killed_training_ends_as_an_uninterrupted_one[DCGAN-1]"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", here / test],
        cwd=here.parent,
        env=on(backend),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:]
