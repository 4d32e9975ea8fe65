"""DCGAN: a generator and a discriminator trained on normal images."""

import keras
import numpy as np
from keras import ops

from ganlib.models import devices, losses, networks
from ganlib.models.base import Trainable
from ganlib.models.detection import unscale


class DCGAN(Trainable):
    """Deep convolutional GAN, step 1 of AnoGAN.

    One loss and one optimizer train both networks at once. The generator's loss treats D's weights
    as constants, and D's loss the generated images, so each network gets only its own loss's
    gradient. Adam updates each weight independently, so this is equivalent to two optimizers.

    The discriminator has half the generator's `filters`, as in the published notebook. `seed` is
    for the z drawn in training. For the other arguments, see `ganlib.models.networks`.

    Example:
        >>> dcgan = DCGAN(image_size=64, channels=1)
        >>> dcgan.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
        >>> dcgan.fit(normal_images, batch_size=32, epochs=30)  # uint8 (n, 64, 64, 1)
        >>> dcgan.generate(dcgan.draw_latents(16))

    Reference: paper, section 2; Radford et al. 2015. Deviation: the discriminator has no batch
    normalization (with it, D wins and G generates noise) and sees how much a batch varies (or G
    maps every z to one image). Residuals of held-out castings fell from 34 to 14 grey levels.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        latent_dim: int = 100,
        filters: int = 64,
        seed: int = 0,
        upsampling: str = "transposed",
        **kwargs,
    ):
        super().__init__({"generator": 1.0, "discriminator": 1.0}, **kwargs)
        self.latent_dim = latent_dim
        sizes = image_size, channels
        self.generator = networks.decoder(*sizes, latent_dim, filters, upsampling, "generator")
        self.discriminator = networks.discriminator(*sizes, filters // 2, sees_batch=True)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def forward(self, images, training=None):
        """Return the discriminator's f(x) `(n, 4, 4, depth)` and logits `(n, 1)` for images."""
        features, logits = self.discriminator(images, training=training)
        return {"features": features, "logits": logits}

    def terms(self, images, outputs):
        """Compute the losses of generator and discriminator."""
        latents = devices.draw_normal(ops.shape(images)[0], self.latent_dim, self.seed_generator)
        fakes = self.generator(latents, training=True)
        weights = networks.read_weights(self.discriminator)
        _, fake_logits = networks.call_with(self.discriminator, weights, ops.stop_gradient(fakes))
        _, fooling_logits = networks.call_frozen(self.discriminator, weights, fakes)
        return {
            "generator": losses.generator_loss(fooling_logits),
            "discriminator": losses.discriminator_loss(outputs["logits"], fake_logits),
        }

    def draw_latents(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw z `(n, latent_dim)`, float32, from N(0, 1); the same seed gives the same z."""
        return np.random.default_rng(seed).standard_normal((n, self.latent_dim), dtype="float32")

    def generate(self, latents: np.ndarray) -> np.ndarray:
        """Generate uint8 `(n, image_size, image_size, channels)` from z `(n, latent_dim)`."""
        return unscale(ops.convert_to_numpy(self.generator(latents, training=False)))

    def save_own_variables(self, store):
        """Save the random state, which Keras omits, for resuming training."""
        store["random_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        """Load the random state."""
        self.seed_generator.state.assign(store["random_state"])
