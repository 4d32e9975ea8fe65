import keras
import numpy as np
import pytest
from keras import ops

from ganlib.models import networks
from ganlib.models.layers import PatchConv2D, PatchConv2DTranspose, as_product


@pytest.mark.parametrize(("strides", "size"), [(2, 8), (1, 5), (3, 6)])
def test_patches_give_what_a_convolution_gives(strides, size):
    inputs = np.random.default_rng(0).normal(size=(3, size, size, 6)).astype("float32")
    settings = {"strides": strides, "padding": "same", "bias_initializer": "random_normal"}
    plain, patches = (
        kind(7, 2 * strides, **settings) for kind in (keras.layers.Conv2D, PatchConv2D)
    )
    expected = plain(inputs)
    patches.build(inputs.shape)
    patches.set_weights(plain.get_weights())
    np.testing.assert_allclose(patches(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("strides", "size"), [(2, 4), (1, 5), (3, 2)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_transposed_patches_give_what_a_transposed_convolution_gives(strides, size, use_bias):
    inputs = np.random.default_rng(0).normal(size=(3, size, size, 6)).astype("float32")
    settings = {"strides": strides, "padding": "same", "use_bias": use_bias, "activation": "tanh"}
    settings["bias_initializer"] = "random_normal"
    kinds = keras.layers.Conv2DTranspose, PatchConv2DTranspose
    plain, patches = (kind(7, 2 * strides, **settings) for kind in kinds)
    expected = plain(inputs)
    patches.build(inputs.shape)
    patches.set_weights(plain.get_weights())
    np.testing.assert_allclose(patches(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kinds", "size"),
    [
        ((keras.layers.Conv2D, PatchConv2D), 4),
        ((keras.layers.Conv2DTranspose, PatchConv2DTranspose), 16),
    ],
)
def test_patches_learn_as_a_convolution_learns(kinds, size, tmp_path):
    random = np.random.default_rng(1)
    inputs = random.normal(size=(4, 8, 8, 3)).astype("float32")
    targets = random.normal(size=(4, size, size, 5)).astype("float32")
    trained = []
    for kind in kinds:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8, 8, 3)), kind(5, 4, strides=2, padding="same")])
        model.compile(keras.optimizers.SGD(0.5), "mse")
        model.fit(inputs, targets, epochs=5, verbose=0)
        trained.append(ops.convert_to_numpy(model.layers[0].kernel))
    np.testing.assert_allclose(*trained, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(inputs), model.predict(inputs))


def test_only_the_widest_convolutions_are_matrix_products():
    for filters, expected in ((16, []), (64, [1024, 512])):
        network = (
            networks.encoder(128, 1, filters=filters),
            networks.decoder(128, 1, filters=filters),
        )
        kinds = PatchConv2D | PatchConv2DTranspose
        wide = [layer for each in network for layer in each.layers if isinstance(layer, kinds)]
        assert [layer.filters for layer in wide] == expected


def test_a_copy_with_products_makes_the_same_images():
    latent = keras.Input((8,))
    x = keras.layers.Reshape((4, 4, 1024))(keras.layers.Dense(4 * 4 * 1024)(latent))
    x = keras.layers.Conv2DTranspose(512, 4, strides=2, padding="same", activation="relu")(x)
    plain = keras.Model(latent, keras.layers.Conv2DTranspose(1, 4, strides=2, padding="same")(x))
    copy = keras.models.clone_model(plain, clone_function=as_product)
    copy.set_weights(plain.get_weights())
    assert [isinstance(layer, PatchConv2DTranspose) for layer in copy.layers].count(True) == 1
    z = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    np.testing.assert_allclose(copy(z), plain(z), rtol=1e-3, atol=1e-5)
