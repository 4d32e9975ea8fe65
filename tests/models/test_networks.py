import numpy as np
import pytest
from keras import layers

from ganlib.errors import GanlibError
from ganlib.models import networks

SHAPES = [(size, channels) for size in (32, 64, 128, 256) for channels in (1, 3)]


@pytest.mark.parametrize(("size", "channels"), SHAPES)
def test_networks_have_the_shapes_of_dcgan(size, channels):
    encoder = networks.encoder(size, channels, latent_dim=10, filters=2)
    decoder = networks.decoder(size, channels, latent_dim=10, filters=2)
    discriminator = networks.discriminator(size, channels, filters=2)
    widest = 2 * size // 8
    assert encoder.input_shape == decoder.output_shape == (None, size, size, channels)
    assert encoder.output_shape == decoder.input_shape == (None, 10)
    assert discriminator.output_shape == [(None, 4, 4, widest), (None, 1)]
    halvings = int(np.log2(size // 4))
    for network in (encoder, decoder):
        convolutions = [
            layer
            for layer in network.layers
            if isinstance(layer, layers.Conv2D | layers.Conv2DTranspose)
        ]
        assert len(convolutions) == halvings + 1
        assert all(layer.kernel_size == (4, 4) and not layer.use_bias for layer in convolutions)
        assert widest in [layer.filters for layer in convolutions]


def test_settings_are_those_of_the_authors_code_and_not_keras_defaults():
    encoder = networks.encoder(64, 1, filters=64)
    normalisations = [x for x in encoder.layers if isinstance(x, layers.BatchNormalization)]
    slopes = {x.negative_slope for x in encoder.layers if isinstance(x, layers.LeakyReLU)}
    assert len(normalisations) == 3  # of four blocks: none next to the image
    assert {(x.momentum, x.epsilon) for x in normalisations} == {(0.9, 1e-5)}
    assert slopes == {0.2}
    for variable in encoder.trainable_variables:
        values = np.asarray(variable)
        if "kernel" in variable.name and values.size > 10_000:
            assert abs(values.mean()) < 1e-3
            assert values.std() == pytest.approx(0.02, rel=0.05)
        if "gamma" in variable.name:
            assert values.mean() == pytest.approx(1.0, abs=0.02)
            assert 0.01 < values.std() < 0.03


def test_decoder_stays_in_the_range_of_tanh():
    decoder = networks.decoder(32, 3, latent_dim=8, filters=4)
    values = np.asarray(decoder(1000 * np.ones((2, 8), "float32")))
    assert np.abs(values).max() <= 1.0


@pytest.mark.parametrize(
    ("size", "nearest"),
    [(28, "32 or 64"), (100, "64 or 128"), (300, "128 or 256"), (16, "32 or 64")],
)
def test_other_sizes_are_refused_with_the_nearest_good_ones(size, nearest):
    for build in (networks.encoder, networks.decoder, networks.discriminator):
        with pytest.raises(GanlibError, match=nearest):
            build(size, 1)


def test_other_channels_are_refused():
    with pytest.raises(GanlibError, match="channels is 2"):
        networks.encoder(32, 2)
