"""GANomaly: encoder, decoder, encoder and a discriminator, and no search."""

import keras
import numpy as np
from keras import ops

from ganlib.errors import GanlibError
from ganlib.models import devices, losses, networks
from ganlib.models.calibrated import Calibrated
from ganlib.models.detection import Detection, check_images
from ganlib.models.feed import predict
from ganlib.models.frozen import call_frozen, call_with, read_weights
from ganlib.models.pixels import residual, scale, unscale
from ganlib.models.trained import Trained

SCORES = {"l1": losses.latent_l1_score, "l2": losses.latent_l2_score}


@keras.saving.register_keras_serializable(package="ganlib")
class GANomaly(Trained, Calibrated, keras.Model):
    """Encoder G_E, decoder G_D, second encoder E and discriminator D, trained on normal images.

    An image is compressed (z), rebuilt (x_hat) and compressed again (z_hat). On normal images z and
    z_hat learn to agree; an anomaly is lost in the rebuilding, and they differ. All four networks
    learn at once, see `DCGAN` for how one loss and one optimiser do that exactly.

    Args:
        image_size: height and width in pixels: 32, 64, 128 or 256.
        channels: 1 (grey) or 3 (RGB).
        latent_dim: length of z.
        filters: width of the networks, see `ganlib.models.networks`.
        adversarial_weight: weight of the adversarial loss.
        contextual_weight: weight of the contextual loss.
        encoder_weight: weight of the encoder loss.
        score: "l1", the paper's anomaly score (sum of |z - z_hat|), or "l2", that of the authors'
            code (mean of (z - z_hat)^2).
        negative_slope: of LeakyReLU in the encoders and the discriminator.
        thresholds: see `Calibrated`.

    Raises:
        GanlibError: the size, the number of channels or the score is none of the above.

    Example:
        >>> ganomaly = GANomaly(image_size=64, channels=1)
        >>> ganomaly.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
        >>> ganomaly.fit(normal_images, batch_size=32, epochs=15)  # uint8 (n, 64, 64, 1)
        >>> scores, reconstructions, residuals = ganomaly.detect(images)

    Reference:
        Paper, section 4; Akcay et al. 2018 and the authors' code. Deviations: batch normalisation
        uses its averages when scoring (the authors' code never leaves training mode, so its scores
        depend on the batch), and a discriminator that has won is not drawn anew.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        latent_dim: int = 100,
        filters: int = 64,
        adversarial_weight: float = 1.0,
        contextual_weight: float = 50.0,
        encoder_weight: float = 1.0,
        score: str = "l1",
        negative_slope: float = 0.2,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if score not in SCORES:
            raise GanlibError(f"score is {score!r}: choose one of {', '.join(SCORES)}.")
        self.image_size = image_size
        self.channels = channels
        self.latent_dim = latent_dim
        self.filters = filters
        self.adversarial_weight = adversarial_weight
        self.contextual_weight = contextual_weight
        self.encoder_weight = encoder_weight
        self.score = score
        self.negative_slope = negative_slope
        shape = (image_size, channels, latent_dim, filters)
        self.encoder = networks.encoder(*shape, negative_slope)
        self.decoder = networks.decoder(*shape)
        self.encoder2 = networks.encoder(*shape, negative_slope, name="encoder2")
        self.discriminator = networks.discriminator(image_size, channels, filters, negative_slope)
        self.adversarial_loss = keras.metrics.Mean(name="adversarial_loss")
        self.contextual_loss = keras.metrics.Mean(name="contextual_loss")
        self.encoder_loss = keras.metrics.Mean(name="encoder_loss")
        self.discriminator_loss = keras.metrics.Mean(name="discriminator_loss")
        self.built = True  # as its networks are

    def call(self, images, training=None):
        """Compress, rebuild and compress again.

        Args:
            images: `(n, image_size, image_size, channels)`, 0..255.
            training: whether batch normalisation uses the batch (True) or its averages.

        Returns:
            x_hat `(n, image_size, image_size, channels)`, -1..1; z and z_hat `(n, latent_dim)`.
        """
        images = devices.split_rows(scale(images))
        latents = self.encoder(images, training=training)
        reconstructions = self.decoder(latents, training=training)
        return reconstructions, latents, self.encoder2(reconstructions, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Add the losses of generator and discriminator on one batch."""
        images = devices.split_rows(scale(x))
        reconstructions, latents, reconstructed_latents = y_pred
        weights, detached = read_weights(self.discriminator), ops.stop_gradient(reconstructions)
        image_features, real_logits = call_with(self.discriminator, weights, images)
        _, fake_logits = call_with(self.discriminator, weights, detached)
        reconstruction_features, _ = call_frozen(self.discriminator, weights, reconstructions)
        terms = {
            # f(x) is a target: through it the generator's loss would reach the discriminator.
            self.adversarial_loss: losses.adversarial_loss(
                ops.stop_gradient(image_features), reconstruction_features
            ),
            self.contextual_loss: losses.contextual_loss(images, reconstructions),
            self.encoder_loss: losses.encoder_loss(latents, reconstructed_latents),
            self.discriminator_loss: losses.discriminator_loss(real_logits, fake_logits),
        }
        weights = (self.adversarial_weight, self.contextual_weight, self.encoder_weight, 1.0)
        values = devices.batch_means(list(terms.values()), ops.shape(x)[0])
        for metric, value in zip(terms, values, strict=True):
            metric.update_state(value)
        loss = sum(weight * value for weight, value in zip(weights, values, strict=True))
        return loss / devices.replicas()

    def detect(self, images: np.ndarray) -> Detection:
        """Score images: one pass through the networks, no search.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.

        Returns:
            A `Detection` for the n images, in their order.

        Raises:
            GanlibError: the images are none that the model takes, see `ganlib.models.detection`.
        """
        images = check_images(images, self.decoder.output_shape[1:], self.any_scale)
        reconstructions, scores = predict(self._judge, images)
        return Detection(scores, unscale(reconstructions), residual(images, reconstructions))

    def _judge(self, batch: np.ndarray) -> tuple:
        reconstructions, latents, reconstructed_latents = self.predict_on_batch(batch)
        return reconstructions, SCORES[self.score](latents, reconstructed_latents)

    def get_config(self):
        """Return the arguments of `__init__`."""
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "channels": self.channels,
            "latent_dim": self.latent_dim,
            "filters": self.filters,
            "adversarial_weight": self.adversarial_weight,
            "contextual_weight": self.contextual_weight,
            "encoder_weight": self.encoder_weight,
            "score": self.score,
            "negative_slope": self.negative_slope,
        }
