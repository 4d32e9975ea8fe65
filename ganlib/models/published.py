"""What two of the published notebooks' defects make of the models. Not for use: for measuring."""

import keras
from keras import ops

from ganlib.models.anogan import AnoGAN
from ganlib.models.frozen import call_frozen, read_weights
from ganlib.models.ganomaly import GANomaly
from ganlib.models.pixels import scale


@keras.saving.register_keras_serializable(package="ganlib")
class OneEncoderGANomaly(GANomaly):
    """GANomaly whose second encoder never learns and is left out of the score.

    In training E keeps the weights it was drawn with, and the generator learns to please them. In
    scoring G_E takes its place: z_hat = G_E(G(x)).

    Reference:
        The published GANomaly notebooks: E is called as a global inside a layer's `call`, so Keras
        does not know its weights, and the score is sum |G_E(x) - G_E(G(x))|.
    """

    def call(self, images, training=None):
        """Compress, rebuild and compress again, with E as drawn or, when scoring, with G_E."""
        latents = self.encoder(scale(images), training=training)
        reconstructions = self.decoder(latents, training=training)
        if training:
            drawn = read_weights(self.encoder2)
            return reconstructions, latents, call_frozen(self.encoder2, drawn, reconstructions)
        return reconstructions, latents, self.encoder(reconstructions, training=False)


@keras.saving.register_keras_serializable(package="ganlib")
class CarriedAnoGAN(AnoGAN):
    """AnoGAN whose search goes through a dense layer that is carried from image to image.

    z = first z times kernel plus bias; the search changes kernel and bias, and the next image
    begins with those, and with Adam's moments, as the last one left them. A score so depends on
    the images before it.

    Args:
        *args: as `AnoGAN`'s, but `batch_size` is the number of dense layers: image i is searched by
            layer i modulo `batch_size`. The published notebook has one.
        **kwargs: as `AnoGAN`'s.

    Reference:
        The published AnoGAN notebooks: `Dense(100)` in front of the frozen generator, created once,
        Adam with a step of 1e-3.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.latents.trainable = False
        limit = (3.0 / self.latent_dim) ** 0.5  # Glorot's, as Dense draws its kernel
        self.kernel = self.add_weight(
            shape=(self.batch_size, self.latent_dim, self.latent_dim),
            initializer=keras.initializers.RandomUniform(-limit, limit, seed=self.seed),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.batch_size, self.latent_dim), initializer="zeros", name="bias"
        )
        self._compile()

    def current_latents(self):
        """Return the present z of each image of the batch, `(batch_size, latent_dim)`."""
        return ops.einsum("ni,nij->nj", self.latents, self.kernel) + self.bias

    def _restore(self, state, steps_done):
        self.latents.assign(state[0])
