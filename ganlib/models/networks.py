"""The three networks of DCGAN, AnoGAN and GANomaly, and a U-Net.

They work on values in -1..1. The settings are those of DCGAN (Radford et al. 2015) as used by the
authors of GANomaly: 4x4 convolutions with stride 2 and no pooling, no bias, weights from
N(0, 0.02), batch normalization except next to the image, LeakyReLU with slope 0.2 downwards, ReLU
and a final tanh upwards (Keras's defaults differ). Outputs are float32, even in `mixed_bfloat16`.

All builders take `image_size` (height and width in pixels: 32, 64, 128 or 256), `channels` (1 grey,
3 RGB), `latent_dim` (length of z) and `filters` (channels next to the image; each halving of the
image doubles them), and raise a GanlibError for other sizes or channels.
"""

import keras
from keras import layers, ops

from ganlib.errors import GanlibError
from ganlib.models import devices, fast

SMALLEST_MAP = 4  # every network ends or starts with a 4x4 map
UPSAMPLINGS = ("transposed", "resize", "residual")
IMAGE_SIZES = (32, 64, 128, 256)


def encoder(
    image_size: int,
    channels: int,
    latent_dim: int = 100,
    filters: int = 64,
    negative_slope: float = 0.2,
    name: str = "encoder",
) -> keras.Model:
    """Build the network from an image to z `(n, latent_dim)`: G_E and E of GANomaly.

    Reference: paper, section 4; Encoder of the GANomaly authors' code.
    """
    image, x = _downwards(image_size, channels, filters, negative_slope)
    x = layers.Conv2D(latent_dim, 4, padding="valid", **_weights())(x)  # (1, 1, z)
    return keras.Model(image, layers.Reshape((latent_dim,), dtype="float32")(x), name=name)


def decoder(
    image_size: int,
    channels: int,
    latent_dim: int = 100,
    filters: int = 64,
    upsampling: str = "transposed",
    name: str = "decoder",
) -> keras.Model:
    """Build the network from z to an image -1..1: G of DCGAN, G_D of GANomaly.

    `upsampling` selects how maps are doubled: "transposed", a transposed convolution; "resize",
    repeated values and a 3x3 convolution (Odena et al. 2016, against checkerboards); "residual",
    repeated values and two 3x3 convolutions plus a 1x1 shortcut (He et al. 2016).

    Reference: paper, sections 2 and 4; Decoder of the GANomaly authors' code. The first layer is
    equivalent to the dense layer at the start of the published AnoGAN notebook.
    """
    _check(image_size, channels)
    if upsampling not in UPSAMPLINGS:
        raise GanlibError(f"upsampling is {upsampling!r}: choose one of {', '.join(UPSAMPLINGS)}.")
    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Reshape((1, 1, latent_dim))(latent)
    depth = filters * image_size // (2 * SMALLEST_MAP)
    x = _upwards(x, depth, strides=1, padding="valid")  # (4, 4, depth)
    while depth > filters:
        depth //= 2
        if upsampling == "transposed":
            x = _upwards(x, depth, strides=2, padding="same")
        else:
            x = _enlarged(x, depth, residual=upsampling == "residual")
    if upsampling == "transposed":
        x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same", **_weights())(x)
    else:
        x = layers.Conv2D(channels, 3, padding="same", **_weights())(layers.UpSampling2D()(x))
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
    """Build the network from an image to a list: features f `(n, 4, 4, depth)` and logits `(n, 1)`.

    f is the last hidden layer; logits are positive for real. With `sees_batch`, the network has
    biases and Keras's initializers instead of batch normalization and N(0, 0.02), and the logits
    also depend on how much the batch varies.
    Reference: paper, sections 2 to 4; NetD of the GANomaly authors' code. The published AnoGAN
    notebook has no batch normalization either; it uses dropout and takes f one block earlier.
    """
    image, features = _downwards(image_size, channels, filters, negative_slope, not sees_batch)
    x = MinibatchDeviation()(features) if sees_batch else features
    x = layers.Conv2D(1, 4, padding="valid", **_weights(not sees_batch))(x)  # (1, 1, 1)
    logits = layers.Reshape((1,), dtype="float32", name="logits")(x)
    return keras.Model(image, [features, logits], name=name)


def segmentator(image_size: int, channels: int, filters: int = 16) -> keras.Model:
    """Build a U-Net from concatenated images, `channels` in total, to a map of logits.

    Logits `(n, image_size, image_size, 1)` are positive for defects. The network works on at most
    64x64 values. The finest map has no skip connection: with one, the network would find the seams
    of synthetic defects instead of the defects.
    """
    _check(image_size, 1)
    picture = keras.Input((image_size, image_size, channels), name="image")
    stride, depths, maps = max(1, image_size // 64), [filters * 2**i for i in range(4)], []
    x = layers.Conv2D(filters, 7, stride, padding="same", use_bias=False)(picture)
    for depth in depths:
        maps.append(_smoothed(_smoothed(x, depth), depth))
        x = layers.MaxPooling2D()(maps[-1])
    x = _smoothed(_smoothed(x, depth), depth)
    for depth, finer in zip(depths[::-1], [*maps[:0:-1], None], strict=True):
        x = layers.UpSampling2D(interpolation="bilinear")(_smoothed(x, depth))
        x = _smoothed(x if finer is None else layers.Concatenate()([x, finer]), depth)
    # Most places are normal, so start with a low probability.
    rare = keras.initializers.Constant(-4.0)
    logits = layers.Conv2D(1, 1, bias_initializer=rare, dtype="float32")(x)
    logits = layers.UpSampling2D(stride, interpolation="bilinear", dtype="float32")(logits)
    return keras.Model(picture, logits, name="segmentator")


def _smoothed(x, depth: int):
    x = layers.Conv2D(depth, 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(_batch_normalization()(x))


class MinibatchDeviation(layers.Layer):
    """Append a map of how much the images of the batch differ from each other.

    A discriminator that sees one image at a time is fooled by a generator that maps every z to the
    same good image. The map holds the standard deviation over the batch, averaged over all values:
    `(n, height, width, depth)` becomes `(n, height, width, depth + 1)`.
    Reference: Salimans et al. 2016, minibatch discrimination, in the form of Karras et al. 2018.
    """

    def call(self, inputs):
        """Append the map."""
        _, variance = ops.moments(inputs, axes=[0], synchronized=devices.replicas() > 1)
        deviation = ops.mean(ops.sqrt(variance + 1e-8))  # keeps the root's gradient finite at 0
        return ops.concatenate([inputs, ops.ones_like(inputs[..., :1]) * deviation], axis=-1)

    def compute_output_shape(self, input_shape):
        """Return the shape with one more map."""
        return (*input_shape[:-1], input_shape[-1] + 1)


def _downwards(image_size, channels, filters, negative_slope, normalize=True):
    """Halve the image down to 4x4, for encoder and discriminator."""
    _check(image_size, channels)
    image = keras.Input((image_size, image_size, channels), name="image")
    x, depth, size = image, filters, image_size
    while size > SMALLEST_MAP:
        x = fast.Conv2D(depth, 4, strides=2, padding="same", **_weights(normalize))(x)
        if normalize and size < image_size:  # DCGAN: no batch normalization next to the image
            x = _batch_normalization()(x)
        last = size == 2 * SMALLEST_MAP  # f, used in losses and scores
        x = layers.LeakyReLU(negative_slope, dtype="float32" if last else None)(x)
        depth, size = 2 * depth, size // 2
    return image, x


def _upwards(x, depth: int, strides: int, padding: str):
    x = fast.Conv2DTranspose(depth, 4, strides=strides, padding=padding, **_weights())(x)
    return layers.ReLU()(_batch_normalization()(x))


def _enlarged(x, depth: int, residual: bool):
    enlarged = layers.UpSampling2D()(x)
    x = layers.Conv2D(depth, 3, padding="same", **_weights())(enlarged)
    x = layers.ReLU()(_batch_normalization()(x))
    if not residual:
        return x
    x = _batch_normalization()(layers.Conv2D(depth, 3, padding="same", **_weights())(x))
    return layers.ReLU()(layers.Add()([x, layers.Conv2D(depth, 1, **_weights())(enlarged)]))


def _weights(normalize: bool = True) -> dict:
    if not normalize:
        # Without batch normalization, the signal of narrow networks vanishes with N(0, 0.02).
        return {}
    return {"use_bias": False, "kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02)}


def _batch_normalization() -> layers.Layer:
    return layers.BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02),
        synchronized=devices.replicas() > 1,
    )


def _check(image_size: int, channels: int) -> None:
    if image_size not in IMAGE_SIZES:
        nearest = sorted(sorted(IMAGE_SIZES, key=lambda size: abs(size - image_size))[:2])
        raise GanlibError(
            f"image_size is {image_size}, but the networks halve an image until it is 4x4: choose "
            f"{nearest[0]} or {nearest[1]} (possible: {', '.join(map(str, IMAGE_SIZES))})."
        )
    if channels not in (1, 3):
        raise GanlibError(f"channels is {channels}: choose 1 for grey images or 3 for RGB.")


def read_weights(network: keras.Model) -> list:
    """Read the trainable weights of a network once, for all its calls in one training step.

    TensorFlow may run a later read after the optimizer has changed some weights.
    """
    # Copy, because `convert_to_tensor` returns TensorFlow's variable unread.
    return [ops.copy(variable.value) for variable in network.trainable_variables]


def call_with(network: keras.Model, weights: list, inputs):
    """Call a network in training mode with weights from `read_weights`; update moving averages."""
    others = network.non_trainable_variables
    outputs, updated = network.stateless_call(
        weights, [variable.value for variable in others], inputs, training=True
    )
    for variable, value in zip(others, updated, strict=True):
        variable.assign(value)
    return outputs


def call_frozen(network: keras.Model, weights: list, inputs):
    """Call a network in training mode with constant weights; keep its moving averages.

    A generator trained through the discriminator must not change it. With this call, both share
    one loss and one optimizer on every backend, and neither gets a gradient of the other's loss.
    """
    outputs, _ = network.stateless_call(
        [ops.stop_gradient(weight) for weight in weights],
        [variable.value for variable in network.non_trainable_variables],
        inputs,
        training=True,
    )
    return outputs


def frozen_copy(network: keras.Model, dtype: keras.DTypePolicy | None = None) -> keras.Model:
    """Copy a functional model with frozen weights and fast wide convolutions.

    `dtype` is the dtype policy of all layers except the outputs; None keeps the network's.
    """
    last = [output._keras_history.operation for output in network.outputs]

    def copied(layer):
        copy = fast.CONVOLUTIONS.get(type(layer), type(layer)).from_config(layer.get_config())
        if dtype is not None and layer not in last:
            copy.dtype_policy = dtype
        return copy

    copy = keras.models.clone_model(network, clone_function=copied)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy
