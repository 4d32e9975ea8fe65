"""The networks are those of DCGAN, and their fast convolutions are Keras's."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from refusals import refused

from ganlib import models
from ganlib.models import fast, networks

CONVOLUTIONS = layers.Conv2D | layers.Conv2DTranspose


def of_kind(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3), (128, 1), (256, 3)])
def test_networks_have_the_shapes_of_dcgan(size, channels):
    encoder = networks.encoder(size, channels, latent_dim=10, filters=2)
    decoder = networks.decoder(size, channels, latent_dim=10, filters=2)
    discriminator = networks.discriminator(size, channels, filters=2)
    widest = 2 * size // 8
    assert encoder.input_shape == decoder.output_shape == (None, size, size, channels)
    assert encoder.output_shape == decoder.input_shape == (None, 10)
    assert discriminator.output_shape == [(None, 4, 4, widest), (None, 1)]
    for network in (encoder, decoder):
        convolutions = of_kind(network, CONVOLUTIONS)
        assert len(convolutions) == int(np.log2(size // 4)) + 1
        assert all(layer.kernel_size == (4, 4) and not layer.use_bias for layer in convolutions)
        assert widest in [layer.filters for layer in convolutions]


def test_settings_are_those_of_the_authors_code_and_not_keras_defaults():
    encoder = networks.encoder(64, 1, filters=64)
    normalizations = of_kind(encoder, layers.BatchNormalization)
    assert len(normalizations) == 3  # of four blocks: none next to the image
    assert {(x.momentum, x.epsilon) for x in normalizations} == {(0.9, 1e-5)}
    assert {x.negative_slope for x in of_kind(encoder, layers.LeakyReLU)} == {0.2}
    for variable in encoder.trainable_variables:
        values = np.asarray(variable)
        if "kernel" in variable.name and values.size > 10_000:
            assert abs(values.mean()) < 1e-3
            assert values.std() == pytest.approx(0.02, rel=0.05)
        if "gamma" in variable.name:
            assert values.mean() == pytest.approx(1.0, abs=0.02)
            assert 0.01 < values.std() < 0.03


def test_other_sizes_are_refused_with_the_nearest_good_ones():
    sizes = {(28, 1): "32 or 64", (100, 1): "64 or 128", (300, 1): "128 or 256"}
    for asked, message in {**sizes, (32, 2): "channels is 2"}.items():
        for build in (networks.encoder, networks.decoder, networks.discriminator):
            refused(message, build, *asked)


def test_a_decoder_doubles_maps_in_three_ways_and_by_default_as_the_authors():
    shapes = {
        how: [v.shape for v in networks.decoder(32, 3, 5, 2, how).weights]
        for how in networks.UPSAMPLINGS
    }
    normalized = {depth: [(depth,)] * 4 for depth in (8, 4, 2)}
    first = [(4, 4, 8, 5), *normalized[8]]
    kernels = {"transposed": [(4, 4, 4, 8), (4, 4, 2, 4), (4, 4, 3, 2)]}
    kernels["resize"] = [(3, 3, 8, 4), (3, 3, 4, 2), (3, 3, 2, 3)]
    for how, (second, third, last) in kernels.items():
        assert shapes[how] == [*first, second, *normalized[4], third, *normalized[2], last]
    assert len(shapes["residual"]) == len(shapes["resize"]) + 2 * (1 + 4 + 1)
    names = [layer.name for layer in networks.decoder(32, 3, 5, 2).layers]
    assert names[-1] == "image" and not any("sampling" in name for name in names)
    z = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    for how in networks.UPSAMPLINGS:
        decoder = networks.decoder(32, 3, 5, 2, how)
        image = ops.convert_to_numpy(decoder(z))
        assert image.shape == (4, 32, 32, 3) and abs(image).max() <= 1
        copy = networks.frozen_copy(decoder)  # as of the search
        np.testing.assert_allclose(ops.convert_to_numpy(copy(z)), image, atol=1e-5)
        for build in (models.GANomaly, models.DCGAN):
            model = build(32, 1, 6, 4, upsampling=how)
            again = build.from_config(model.get_config())
            assert [w.shape for w in again.weights] == [w.shape for w in model.weights]
    words = "upsampling is 'nearest': choose one of transposed"
    refused(words, networks.decoder, 32, 1, 5, 2, "nearest")


def test_the_discriminator_of_dcgan_sees_that_a_batch_is_all_alike():
    """The features are of the single image, the logits of the image among its batch."""
    keras.utils.set_random_seed(0)
    judge = networks.discriminator(32, 1, 4, sees_batch=True)
    images = np.random.default_rng(0).uniform(-1, 1, (6, 32, 32, 1)).astype("float32")
    features, logits = judge(images)
    alike_features, alike_logits = judge(np.repeat(images[:1], 6, axis=0))
    np.testing.assert_allclose(features[0], alike_features[0], rtol=1e-5, atol=1e-6)
    assert abs(float(logits[0, 0] - alike_logits[0, 0])) > 1e-4
    values = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype("float32")
    appended = ops.convert_to_numpy(networks.MinibatchDeviation()(values))
    np.testing.assert_array_equal(appended[..., :3], values)
    np.testing.assert_allclose(appended[..., 3], values.std(axis=0).mean(), rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "side", "made"), [(layers.Conv2D, 8, 4), (layers.Conv2DTranspose, 4, 8)]
)
@pytest.mark.parametrize("use_bias", [False, True])
def test_a_wide_convolution_learns_as_keras_does(kind, side, made, use_bias, monkeypatch):
    products, matmul = [], ops.matmul
    monkeypatch.setattr(ops, "matmul", lambda *both: products.append(1) or matmul(*both))
    monkeypatch.setattr(fast, "WIDE", 0)
    random = np.random.default_rng(0)
    inputs = random.normal(size=(5, side, side, 6)).astype("float32")
    targets = random.normal(size=(5, made, made, 7)).astype("float32")
    options = {"use_bias": use_bias, "bias_initializer": "random_normal", "activation": "tanh"}
    found = []
    for cls in (kind, fast.CONVOLUTIONS[kind]):
        keras.utils.set_random_seed(0)
        layer = cls(7, 4, strides=2, padding="same", **options)
        model = keras.Sequential([keras.Input(inputs.shape[1:]), layer])
        before = model.predict_on_batch(inputs)
        model.compile(keras.optimizers.SGD(0.5), "mse", run_eagerly=True)
        model.fit(inputs, targets, epochs=3, verbose=0)
        found.append([before, *model.get_weights(), model.predict_on_batch(inputs)])
        assert bool(products) == (cls is not kind)
    for plain, product in zip(*found, strict=True):
        np.testing.assert_allclose(product, plain, rtol=1e-4, atol=1e-5)
