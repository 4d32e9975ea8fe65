"""The same weights give the same scores on every backend, each in a process of its own."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from processes import answer_of

PROGRAM = Path(__file__).with_name("on_backend.py")
WITH_TORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PYTORCH IS NOT TESTED: it is not installed; pip install ganlib[torch]",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the program on a backend; what JAX has compiled once is found by the next process."""
    quick = {
        "XLA_FLAGS": "--xla_backend_optimization_level=1",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return lambda backend, *asked: answer_of(PROGRAM, *asked, KERAS_BACKEND=backend, **quick)


@pytest.mark.parametrize(
    ("trains", "loads"),
    [
        ("jax", "tensorflow"),  # all other tests train on TensorFlow
        pytest.param("torch", "tensorflow", marks=WITH_TORCH),
        pytest.param("jax", "torch", marks=WITH_TORCH),
    ],
)
def test_models_train_go_on_save_load_and_detect_on_both(trains, loads, run, tmp_path):
    first, second = run(trains, "train", tmp_path), run(loads, "load", tmp_path)
    assert (first["backend"], second["backend"]) == (trains, loads)
    assert first["moved"] and first["goes on"] and first["same bits"] and second["same bits"]
    assert "images are 0 to 255" in first["stopped"]
    assert second["thresholds"] == first["thresholds"]
    for method, scores in first["scores"].items():
        assert np.ptp(scores) > 1e-3 * np.mean(scores)
        np.testing.assert_allclose(second["scores"][method], scores, rtol=1e-4)
