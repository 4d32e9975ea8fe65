"""DCGAN: a generator and a discriminator that learn what normal images look like."""

import keras
import numpy as np
from keras import ops

from ganlib.models import devices, losses, networks
from ganlib.models.base import Trainable
from ganlib.models.detection import unscale


class DCGAN(Trainable):
    """Deep convolutional GAN, step 1 of AnoGAN.

    Both networks learn at once from one loss and one optimizer: the generator's loss sees the
    discriminator's weights as constants, the discriminator's the images, so each network gets the
    gradient of its own loss alone. Adam treats every weight by itself, as two optimizers would.

    The discriminator has half the generator's `filters`, as in the published notebook; `seed` is of
    the z drawn in training. The other arguments are those of `ganlib.models.networks`.

    Example:
        >>> dcgan = DCGAN(image_size=64, channels=1)
        >>> dcgan.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
        >>> dcgan.fit(normal_images, batch_size=32, epochs=30)  # uint8 (n, 64, 64, 1)
        >>> dcgan.generate(dcgan.draw_latents(16))

    Reference: paper, section 2; Radford et al. 2015. Deviation: the discriminator has no batch
    normalization (with it, it wins and G makes noise) and sees how much a batch varies (else G
    makes one image of every z). Residuals of held-out castings fell from 34 to 14 grey levels.
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
        """Let the discriminator judge images: f(x) `(n, 4, 4, depth)` and logits `(n, 1)`."""
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
        """Draw z from the prior N(0, 1): float32 `(n, latent_dim)`, the same for the same seed."""
        return np.random.default_rng(seed).standard_normal((n, self.latent_dim), dtype="float32")

    def generate(self, latents: np.ndarray) -> np.ndarray:
        """Make images: uint8 `(n, image_size, image_size, channels)` of z `(n, latent_dim)`."""
        return unscale(ops.convert_to_numpy(self.generator(latents, training=False)))

    def save_own_variables(self, store):
        """Save the random state, which Keras leaves out, so that training can go on."""
        store["random_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        """Load the random state."""
        self.seed_generator.state.assign(store["random_state"])
