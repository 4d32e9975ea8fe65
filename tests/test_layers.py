import keras
import numpy as np
import pytest
from keras import ops

from ganlib import networks
from ganlib.layers import PatchConv2D


@pytest.mark.parametrize(
    ("kernel", "strides", "size"), [(4, 2, 8), (3, 1, 5), (5, 2, 6), (2, 2, 4), (4, 1, 4)]
)
def test_patches_give_what_a_convolution_gives(kernel, strides, size):
    inputs = np.random.default_rng(0).normal(size=(3, size, size, 6)).astype("float32")
    settings = {"strides": strides, "padding": "same", "bias_initializer": "random_normal"}
    plain, patches = (kind(7, kernel, **settings) for kind in (keras.layers.Conv2D, PatchConv2D))
    expected = plain(inputs)
    patches.build(inputs.shape)
    patches.set_weights(plain.get_weights())
    np.testing.assert_allclose(patches(inputs), expected, rtol=1e-4, atol=1e-5)


def test_patches_learn_as_a_convolution_learns(tmp_path):
    random = np.random.default_rng(1)
    inputs = random.normal(size=(4, 8, 8, 3)).astype("float32")
    targets = random.normal(size=(4, 4, 4, 5)).astype("float32")
    trained = []
    for kind in (keras.layers.Conv2D, PatchConv2D):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8, 8, 3)), kind(5, 4, strides=2, padding="same")])
        model.compile(keras.optimizers.SGD(0.5), "mse")
        model.fit(inputs, targets, epochs=5, verbose=0)
        trained.append(ops.convert_to_numpy(model.layers[0].kernel))
    np.testing.assert_allclose(*trained, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(inputs), model.predict(inputs))


def test_only_the_widest_convolution_is_one_matrix_product():
    for filters, expected in ((16, 0), (64, 1)):
        network = networks.encoder(128, 1, filters=filters)
        wide = [layer for layer in network.layers if isinstance(layer, PatchConv2D)]
        assert [layer.filters for layer in wide] == [1024] * expected
