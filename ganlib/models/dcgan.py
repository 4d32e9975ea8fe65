"""DCGAN: a generator and a discriminator that learn what normal images look like."""

import keras
import numpy as np
from keras import ops

from ganlib.models import devices, losses, networks
from ganlib.models.frozen import call_frozen, call_with, read_weights
from ganlib.models.pixels import scale, unscale
from ganlib.models.trained import Trained


@keras.saving.register_keras_serializable(package="ganlib")
class DCGAN(Trained, keras.Model):
    """Deep convolutional GAN, step 1 of AnoGAN.

    Both networks learn at once from one loss and one optimiser: the generator's loss sees the
    discriminator's weights as constants and the discriminator's loss sees the images as constants,
    so the sum has for each network the gradient of its own loss alone. With Adam, which treats
    every weight by itself, that is the same as two optimisers of equal settings stepping
    simultaneously.

    Args:
        image_size: height and width in pixels: 32, 64, 128 or 256.
        channels: 1 (grey) or 3 (RGB).
        latent_dim: length of z.
        filters: width of the generator, see `ganlib.models.networks`; the discriminator has half of
            it, as in the published notebook.
        seed: seed of the z drawn in training. The weights are drawn by Keras: call
            `keras.utils.set_random_seed` first.

    Example:
        >>> dcgan = DCGAN(image_size=64, channels=1)
        >>> dcgan.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
        >>> dcgan.fit(normal_images, batch_size=32, epochs=30)  # uint8 (n, 64, 64, 1)
        >>> dcgan.generate(dcgan.draw_latents(16))

    Reference:
        Paper, section 2; Radford et al. 2015. Deviation: the discriminator has no batch
        normalisation (with it, it wins and G makes noise) and sees how much a batch varies (without
        that, G makes one image of every z). Measured on held-out normal castings at 64x64, the mean
        residual of a search fell from 34 to 14 grey levels.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        latent_dim: int = 100,
        filters: int = 64,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_size = image_size
        self.channels = channels
        self.latent_dim = latent_dim
        self.filters = filters
        self.seed = seed
        self.generator = networks.decoder(
            image_size, channels, latent_dim, filters, name="generator"
        )
        self.discriminator = networks.discriminator(
            image_size, channels, filters // 2, sees_batch=True
        )
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.generator_loss = keras.metrics.Mean(name="generator_loss")
        self.discriminator_loss = keras.metrics.Mean(name="discriminator_loss")
        self.built = True  # as its networks are

    def call(self, images, training=None):
        """Let the discriminator judge images.

        Args:
            images: `(n, image_size, image_size, channels)`, 0..255.
            training: whether batch normalisation uses the batch (True) or its averages.

        Returns:
            Features `(n, 4, 4, depth)` and logits `(n, 1)`.
        """
        images = devices.split_rows(scale(images))
        return self.discriminator(images, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Add the losses of generator and discriminator on one batch, see the class."""
        _, real_logits = y_pred
        rows = ops.shape(x)[0]
        latents = devices.draw_rows(
            lambda n: keras.random.normal((n, self.latent_dim), seed=self.seed_generator), rows
        )
        fakes = self.generator(latents, training=True)
        weights = read_weights(self.discriminator)
        _, fake_logits = call_with(self.discriminator, weights, ops.stop_gradient(fakes))
        _, fooling_logits = call_frozen(self.discriminator, weights, fakes)
        generator_loss, discriminator_loss = devices.batch_means(
            [
                losses.generator_loss(fooling_logits),
                losses.discriminator_loss(real_logits, fake_logits),
            ],
            rows,
        )
        self.generator_loss.update_state(generator_loss)
        self.discriminator_loss.update_state(discriminator_loss)
        return (generator_loss + discriminator_loss) / devices.replicas()

    def draw_latents(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw z from the prior N(0, 1).

        Args:
            n: how many.
            seed: the same seed gives the same z.

        Returns:
            float32 `(n, latent_dim)`.
        """
        return np.random.default_rng(seed).standard_normal((n, self.latent_dim), dtype="float32")

    def generate(self, latents: np.ndarray) -> np.ndarray:
        """Make images.

        Args:
            latents: float `(n, latent_dim)`.

        Returns:
            uint8 `(n, image_size, image_size, channels)`, 0..255.
        """
        return unscale(ops.convert_to_numpy(self.generator(latents, training=False)))

    def save_own_variables(self, store):
        """Save the state of the random numbers, which Keras leaves out."""
        store["random_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        """Load the state of the random numbers, so that training goes on as if uninterrupted."""
        self.seed_generator.state.assign(store["random_state"])

    def get_config(self):
        """Return the arguments of `__init__`."""
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "channels": self.channels,
            "latent_dim": self.latent_dim,
            "filters": self.filters,
            "seed": self.seed,
        }
