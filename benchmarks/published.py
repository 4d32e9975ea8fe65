"""The published notebooks' loops, rewritten from their description, as a reference for speed.

Slow parts are kept: one image at a time through `fit`, three separate calls per training step, and
`predict` for each network separately. The five defects that change results (`ganlib.errata`) are
left out where they do not change the time.
"""

import time

import keras
import numpy as np
from keras import layers, ops


def generator() -> keras.Model:
    """Build the generator of the published AnoGAN notebook for castings, 128x128x1."""
    latent = keras.Input((100,))
    x = layers.Dense(4 * 4 * 1024, use_bias=False)(latent)
    x = layers.Reshape((4, 4, 1024))(layers.ReLU()(layers.BatchNormalization()(x)))
    for filters in (512, 128, 128, 64):
        x = layers.Conv2DTranspose(filters, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    image = layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh")(x)
    return keras.Model(latent, image, name="generator")


def discriminator() -> keras.Model:
    """Build the discriminator of that notebook; f is the output of the second-to-last block."""
    image = x = keras.Input((128, 128, 1))
    for filters in (32, 64, 128, 256, 512, 1024):
        features = x
        x = layers.Conv2D(filters, 4, strides=2, padding="same")(x)
        x = layers.Dropout(0.3)(layers.LeakyReLU(negative_slope=0.2)(x))
    return keras.Model(image, [features, layers.Dense(1)(layers.Flatten()(x))])


class Search:
    """AnoGAN for one image at a time: `fit` trains a dense layer before the frozen generator."""

    def __init__(self, generator: keras.Model, discriminator: keras.Model, weight: float = 0.1):
        generator.trainable = discriminator.trainable = False
        latent = keras.Input((100,))
        self.dense = layers.Dense(100)
        image = generator(self.dense(latent))
        pixels = discriminator.inputs[0]
        self.features = keras.Model(pixels, discriminator.outputs[0])
        self.model = keras.Model(latent, [image, self.features(image)])

        def distance(expected, found):
            return ops.sum(ops.abs(expected - found))

        self.model.compile(
            keras.optimizers.Adam(1e-3), loss=[distance] * 2, loss_weights=[1 - weight, weight]
        )
        self.random = np.random.default_rng(0)

    def __call__(self, image: np.ndarray, steps: int) -> tuple[np.ndarray, float]:
        """Search z for one image `(1, h, w, c)`, uint8; return z and the seconds it took."""
        started = time.perf_counter()
        x = image.astype("float32") / 127.5 - 1
        z = self.random.random((1, 100), dtype="float32")
        self.model.fit(z, [x, self.features.predict(x, verbose=0)], epochs=steps, verbose=0)
        found = self.dense(z)
        return ops.convert_to_numpy(found), time.perf_counter() - started


class _Distance(layers.Layer):
    """A loss as a layer that calls networks defined outside it, as in the notebook."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return ops.reshape(self.function(*inputs), (1,))

    def compute_output_shape(self, shapes):
        return (1,)


class GANomaly:
    """GANomaly with three calls per step: predict, train the discriminator, train the generator."""

    def __init__(self, channels: int = 1):
        shape = (128, 128, channels)

        def trunk():
            image = x = keras.Input(shape)
            for filters in (64, 128, 256, 512, 1024):
                x = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)(x)
                if filters > 64:
                    x = layers.BatchNormalization()(x)
                x = layers.LeakyReLU(negative_slope=0.3)(x)
            return image, x

        def encoder():
            image, x = trunk()
            return keras.Model(
                image, layers.Reshape((100,))(layers.Conv2D(100, 4, use_bias=False)(x))
            )

        latent = keras.Input((100,))
        x = layers.Conv2DTranspose(1024, 4, use_bias=False)(layers.Reshape((1, 1, 100))(latent))
        for filters in (512, 256, 128, 64):
            x = layers.ReLU()(layers.BatchNormalization()(x))
            x = layers.Conv2DTranspose(filters, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same", activation="tanh")(x)
        decoder, second = keras.Model(latent, x), encoder()
        self.encoder = encoder()
        image = keras.Input(shape)
        self.generator = keras.Model(image, decoder(self.encoder(image)))
        features = keras.Model(*trunk())
        judged = layers.GlobalAveragePooling2D()(layers.Conv2D(100, 4)(features(image)))
        self.discriminator = keras.Model(image, layers.Dense(1, activation="sigmoid")(judged))
        self.discriminator.compile("adam", loss="binary_crossentropy")

        def adversarial(x, made):
            return ops.mean(ops.square(features(x) - features(made)))

        def contextual(x, made):
            return ops.mean(ops.abs(x - made))

        def encoding(x, made):
            return ops.mean(ops.square(self.encoder(x) - second(made)))

        made = self.generator(image)
        terms = [_Distance(term)([image, made]) for term in (adversarial, contextual, encoding)]
        self.trainer = keras.Model(image, terms)
        self.trainer.compile(
            "adam", loss=[lambda _, value: ops.mean(value)] * 3, loss_weights=[1, 50, 1]
        )

    def step(self, x: np.ndarray) -> None:
        """Train on one batch of images, float32, -1..1."""
        made = self.generator.predict(x, verbose=0)
        truth = np.repeat([[1.0], [0.0]], len(x), axis=0)
        self.discriminator.train_on_batch(np.concatenate([x, made]), truth)
        self.trainer.train_on_batch(x, [np.zeros(1)] * 3)

    def score(self, x: np.ndarray) -> np.ndarray:
        """Score images, float32, -1..1."""
        latents = self.encoder.predict(x, verbose=0)
        again = self.encoder.predict(self.generator.predict(x, verbose=0), verbose=0)
        return np.abs(latents - again).sum(axis=1)
