"""GANomaly's generator alone, trained as a plain autoencoder."""

import keras
import numpy as np
from keras import ops

from ganlib.models import devices, losses, networks
from ganlib.models.calibrated import Calibrated
from ganlib.models.detection import Detection, check_images
from ganlib.models.feed import predict
from ganlib.models.pixels import residual, scale, unscale
from ganlib.models.trained import Trained


@keras.saving.register_keras_serializable(package="ganlib")
class Autoencoder(Trained, Calibrated, keras.Model):
    """Encoder and decoder of GANomaly, trained on normal images to rebuild them, and nothing else.

    No discriminator and no second encoder: beside `GANomaly` it tells what those add.

    Args:
        image_size: height and width in pixels: 32, 64, 128 or 256.
        channels: 1 (grey) or 3 (RGB).
        latent_dim: length of z.
        filters: width of the networks, see `ganlib.models.networks`.
        thresholds: see `Calibrated`.

    Raises:
        GanlibError: the size or the number of channels is none of the above.

    Example:
        >>> autoencoder = Autoencoder(image_size=64, channels=1)
        >>> autoencoder.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
        >>> autoencoder.fit(normal_images, batch_size=32, epochs=15)  # uint8 (n, 64, 64, 1)
        >>> scores, reconstructions, residuals = autoencoder.detect(images)

    Reference:
        G_E and G_D of the paper, section 4, with the contextual loss alone.
    """

    def __init__(
        self, image_size: int, channels: int, latent_dim: int = 100, filters: int = 64, **kwargs
    ):
        super().__init__(**kwargs)
        self.image_size = image_size
        self.channels = channels
        self.latent_dim = latent_dim
        self.filters = filters
        shape = (image_size, channels, latent_dim, filters)
        self.encoder = networks.encoder(*shape)
        self.decoder = networks.decoder(*shape)
        self.contextual_loss = keras.metrics.Mean(name="contextual_loss")
        self.built = True  # as its networks are

    def call(self, images, training=None):
        """Compress and rebuild.

        Args:
            images: `(n, image_size, image_size, channels)`, 0..255.
            training: whether batch normalisation uses the batch (True) or its averages.

        Returns:
            x_hat `(n, image_size, image_size, channels)`, -1..1.
        """
        images = devices.split_rows(scale(images))
        return self.decoder(self.encoder(images, training=training), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the contextual loss of one batch."""
        images = devices.split_rows(scale(x))
        contextual_loss = losses.contextual_loss(images, y_pred)
        (contextual_loss,) = devices.batch_means([contextual_loss], ops.shape(x)[0])
        self.contextual_loss.update_state(contextual_loss)
        return contextual_loss / devices.replicas()

    def detect(self, images: np.ndarray) -> Detection:
        """Score images: one pass through the networks.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.

        Returns:
            A `Detection` for the n images, in their order. Scores are the mean of |x - x_hat| in
            grey levels, 0..255: 127.5 times the image's contextual loss.

        Raises:
            GanlibError: the images are none that the model takes, see `ganlib.models.detection`.
        """
        images = check_images(images, self.decoder.output_shape[1:], self.any_scale)
        (reconstructions,) = predict(self.predict_on_batch, images)
        residuals = residual(images, reconstructions)
        return Detection(
            scores=residuals.mean(axis=(1, 2, 3), dtype="float64").astype("float32"),
            reconstructions=unscale(reconstructions),
            residuals=residuals,
        )

    def get_config(self):
        """Return the arguments of `__init__`."""
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "channels": self.channels,
            "latent_dim": self.latent_dim,
            "filters": self.filters,
        }
