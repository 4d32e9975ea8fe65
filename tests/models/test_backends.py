"""What holds on every backend, of each in one process: compiling and starting take the time."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from on_backend import load_all
from processes import LITTLE_OPTIMIZED, answer_of

from ganlib.models import devices

PROGRAM = Path(__file__).with_name("on_backend.py")
TORCH = importlib.util.find_spec("torch") is not None
WITH_TORCH = pytest.mark.skipif(
    not TORCH, reason="PYTORCH IS NOT TESTED: it is not installed; pip install ganlib[torch]"
)


@pytest.mark.parametrize(
    ("backend", "what"),
    [
        ("tensorflow", "devices"),  # all other tests train on TensorFlow
        ("jax", "train"),
        pytest.param("torch", "train", marks=WITH_TORCH),
    ],
)
def test_two_devices_train_as_one_and_models_go_on_save_load_and_detect(backend, what, tmp_path):
    """Little optimization: the steps are few. What JAX has compiled, it finds again."""
    quick = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2 " + LITTLE_OPTIMIZED["XLA_FLAGS"],
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    answer = answer_of(PROGRAM, what, tmp_path, KERAS_BACKEND=backend, **quick)
    assert (answer["backend"], answer["left"]) == (backend, True)
    assert answer["devices"] == ([1, 1] if backend == "torch" else [1, 2])
    for name in ("DCGAN", "Autoencoder"):
        one, two = answer["losses"][name]
        for loss in one | two:
            np.testing.assert_allclose(two[loss], one[loss], rtol=1e-5, err_msg=f"{name} {loss}")
    # The last batch has 3 images; TensorFlow's devices weigh their means alike.
    one, two = answer["losses"]["uneven"]
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=0.05)
    one, two = answer["scores"]
    np.testing.assert_allclose(two, one, rtol=1e-5)
    if what == "train":
        assert answer["goes on"] and "images are 0 to 255" in answer["stopped"]
        assert len(answer["loaded"]["scores"]) >= 7
    loaded = [load_all(tmp_path)]  # whatever backend runs here
    if TORCH and backend == "jax":
        other = answer_of(PROGRAM, "load", tmp_path, KERAS_BACKEND="torch", **quick)
        assert other["backend"] == "torch"
        loaded.append(other["loaded"])
    for found in loaded:
        assert found["thresholds"] == answer["loaded"]["thresholds"]
        for method, scores in answer["loaded"]["scores"].items():
            assert np.ptp(scores) > 1e-3 * np.mean(scores)
            np.testing.assert_allclose(found["scores"][method], scores, rtol=1e-4)


def test_on_one_device_nothing_happens():
    with devices.every_device() as count:
        assert count == devices.replicas() == 1
