"""Two devices train to the losses of one, on simulated devices, in processes of their own."""

from pathlib import Path

import numpy as np
import pytest
from processes import answer_of
from tiny import load, some_images

from ganlib.models import devices

PROGRAM = Path(__file__).with_name("on_devices.py")


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_train_to_the_losses_of_one_and_what_they_train_loads_on_one(backend, tmp_path):
    answer = answer_of(PROGRAM, tmp_path, KERAS_BACKEND=backend, CUDA_VISIBLE_DEVICES="")
    assert (answer["backend"], answer["devices"], answer["left"]) == (backend, [1, 2], True)
    for name in ("DCGAN", "Autoencoder"):
        one, two = answer["losses"][name]
        for loss in one | two:
            np.testing.assert_allclose(two[loss], one[loss], rtol=1e-5, err_msg=f"{name} {loss}")
    # The last batch has 3 images; TensorFlow's devices weigh their means alike.
    one, two = answer["losses"]["uneven"]
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=0.05)
    one, two = answer["scores"]
    assert np.ptp(one) > 1e-3 * np.mean(one)
    np.testing.assert_allclose(two, one, rtol=1e-5)
    images = (some_images(27) * np.linspace(0.2, 1, 27)[:, None, None, None]).astype("uint8")
    loaded = load(tmp_path / "2.keras")  # whatever backend runs here
    np.testing.assert_allclose(loaded.detect(images).scores, two, rtol=1e-4)


def test_on_one_device_nothing_happens():
    with devices.every_device() as count:
        assert count == devices.replicas() == 1
