"""The three networks that DCGAN, AnoGAN and GANomaly are made of.

They work on values in -1..1 and know nothing of losses, data or training. The settings are those
of DCGAN (Radford et al. 2015) as the authors of GANomaly use them: 4x4 convolutions of stride 2 and
no pooling, no bias, weights drawn from N(0, 0.02), batch normalisation everywhere but at the image
side, LeakyReLU of slope 0.2 downwards, ReLU and a final tanh upwards. Keras's own defaults differ
in three of them (batch normalisation's momentum 0.99 and epsilon 1e-3, LeakyReLU's slope 0.3), so
all are set. What the networks answer is float32, also under `mixed_bfloat16`.
"""

import keras
from keras import layers

from ganlib.errors import GanlibError
from ganlib.models.layers import (
    WIDE,
    BatchNormalization,
    MinibatchDeviation,
    PatchConv2D,
    PatchConv2DTranspose,
)

SMALLEST_MAP = 4  # every network ends or begins with a map of 4x4 values
IMAGE_SIZES = (32, 64, 128, 256)


def encoder(
    image_size: int,
    channels: int,
    latent_dim: int = 100,
    filters: int = 64,
    negative_slope: float = 0.2,
    name: str = "encoder",
) -> keras.Model:
    """Build the network that compresses an image to a latent vector (G_E and E of GANomaly).

    Args:
        image_size: height and width in pixels, one of 32, 64, 128, 256.
        channels: 1 (grey) or 3 (RGB).
        latent_dim: length of the latent vector.
        filters: channels of the first convolution; each further one doubles them.
        negative_slope: of LeakyReLU.
        name: name of the model.

    Returns:
        A functional model from `(n, image_size, image_size, channels)`, values -1..1, to
        `(n, latent_dim)`, values unbounded.

    Raises:
        GanlibError: the size or the number of channels is none of the above.

    Reference:
        Paper, section 4; Encoder of the GANomaly authors' code.
    """
    image, x = _convolutions(image_size, channels, filters, negative_slope)
    x = layers.Conv2D(latent_dim, 4, padding="valid", **_weights())(x)  # (1, 1, z)
    return keras.Model(image, layers.Reshape((latent_dim,), dtype="float32")(x), name=name)


def decoder(
    image_size: int, channels: int, latent_dim: int = 100, filters: int = 64, name: str = "decoder"
) -> keras.Model:
    """Build the network that makes an image from a latent vector (G of DCGAN, G_D of GANomaly).

    Args:
        image_size: height and width in pixels, one of 32, 64, 128, 256.
        channels: 1 (grey) or 3 (RGB).
        latent_dim: length of the latent vector.
        filters: channels of the last hidden layer; each earlier one doubles them.
        name: name of the model.

    Returns:
        A functional model from `(n, latent_dim)` to `(n, image_size, image_size, channels)`,
        values -1..1.

    Raises:
        GanlibError: the size or the number of channels is none of the above.

    Reference:
        Paper, sections 2 and 4; Decoder of the GANomaly authors' code. The published AnoGAN
        notebook begins with a dense layer to 4x4x1024 instead, which is the same function with the
        weights in another order.
    """
    _check(image_size, channels)
    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Reshape((1, 1, latent_dim))(latent)
    depth = filters * image_size // (2 * SMALLEST_MAP)
    x = _upwards(x, depth, strides=1, padding="valid")  # (4, 4, depth)
    while depth > filters:
        depth //= 2
        x = _upwards(x, depth, strides=2, padding="same")
    x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same", **_weights())(x)
    image = layers.Activation("tanh", dtype="float32", name="image")(x)
    return keras.Model(latent, image, name=name)


def discriminator(
    image_size: int,
    channels: int,
    filters: int = 64,
    negative_slope: float = 0.2,
    sees_batch: bool = False,
    name: str = "discriminator",
) -> keras.Model:
    """Build the network that tells real images from generated ones, and extracts features f.

    Args:
        image_size: height and width in pixels, one of 32, 64, 128, 256.
        channels: 1 (grey) or 3 (RGB).
        filters: channels of the first convolution; each further one doubles them.
        negative_slope: of LeakyReLU.
        sees_batch: have biases and Keras's own initialisation in place of batch normalisation and
            N(0, 0.02), and judge each image together with how much the images of its batch differ.
            The features remain those of the single image.
        name: name of the model.

    Returns:
        A functional model from `(n, image_size, image_size, channels)`, values -1..1, to a list of
        two: features f(x) `(n, 4, 4, depth)`, the last hidden layer, and logits `(n, 1)`, positive
        for real.

    Raises:
        GanlibError: the size or the number of channels is none of the above.

    Reference:
        Paper, sections 2 to 4; NetD of the GANomaly authors' code, whose f this is. With
        `sees_batch` it resembles the discriminator of the published AnoGAN notebook, which has no
        batch normalisation either, but dropout, and takes f one block earlier.
    """
    image, features = _convolutions(
        image_size, channels, filters, negative_slope, normalise=not sees_batch
    )
    x = MinibatchDeviation()(features) if sees_batch else features
    x = layers.Conv2D(1, 4, padding="valid", **_weights(not sees_batch))(x)  # (1, 1, 1)
    logits = layers.Reshape((1,), dtype="float32", name="logits")(x)
    return keras.Model(image, [features, logits], name=name)


def _convolutions(
    image_size: int, channels: int, filters: int, negative_slope: float, normalise: bool = True
):
    """Halve the image down to 4x4: what encoder and discriminator share."""
    _check(image_size, channels)
    image = keras.Input((image_size, image_size, channels), name="image")
    x, depth, size = image, filters, image_size
    while size > SMALLEST_MAP:
        wide = size == 2 * SMALLEST_MAP and 4 * 4 * x.shape[-1] * depth >= WIDE
        convolution = PatchConv2D if wide else layers.Conv2D
        x = convolution(depth, 4, strides=2, padding="same", **_weights(normalise))(x)
        if normalise and size < image_size:  # DCGAN: no batch normalisation next to the image
            x = _batch_normalisation()(x)
        last = size == 2 * SMALLEST_MAP  # f, whose distances are losses and scores
        x = layers.LeakyReLU(negative_slope, dtype="float32" if last else None)(x)
        depth, size = 2 * depth, size // 2
    return image, x


def _upwards(x, depth: int, strides: int, padding: str):
    wide = x.shape[1] == SMALLEST_MAP and 4 * 4 * x.shape[-1] * depth >= WIDE
    convolution = PatchConv2DTranspose if wide else layers.Conv2DTranspose
    x = convolution(depth, 4, strides=strides, padding=padding, **_weights())(x)
    return layers.ReLU()(_batch_normalisation()(x))


def _weights(normalise: bool = True) -> dict:
    if not normalise:
        # Without batch normalisation N(0, 0.02) lets the signal of narrow networks die away.
        return {}
    return {"use_bias": False, "kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02)}


def _batch_normalisation() -> layers.Layer:
    gamma = keras.initializers.RandomNormal(1.0, 0.02)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma)


def _check(image_size: int, channels: int) -> None:
    if image_size not in IMAGE_SIZES:
        nearest = sorted(sorted(IMAGE_SIZES, key=lambda size: abs(size - image_size))[:2])
        raise GanlibError(
            f"image_size is {image_size}, but the networks halve an image until it is 4x4, so it "
            f"must be 4*2^k from {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]}: choose {nearest[0]} or "
            f"{nearest[1]}."
        )
    if channels not in (1, 3):
        raise GanlibError(f"channels is {channels}: choose 1 for grey images or 3 for colour.")
