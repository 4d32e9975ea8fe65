"""f-AnoGAN: an encoder that learns to answer AnoGAN's search at once."""

import keras
import numpy as np
from keras import ops

from ganlib.models import losses, networks
from ganlib.models.calibrated import Calibrated
from ganlib.models.detection import Detection, check_images
from ganlib.models.feed import predict
from ganlib.models.frozen import frozen_copy, networks_of
from ganlib.models.pixels import residual, scale, unscale
from ganlib.models.trained import Trained


@keras.saving.register_keras_serializable(package="ganlib")
class FAnoGAN(Trained, Calibrated, keras.Model):
    """Encoder in front of a trained, frozen DCGAN, trained on the same normal images.

    The encoder learns which z the search would find: image to z to image, so that G(E(x)) looks
    like x, to the eye and to the discriminator. Scoring is then one pass instead of hundreds of
    steps. `AnoGAN` takes the encoder too, and starts its search from the encoder's z.

    Args:
        generator: a trained generator, z `(n, latent_dim)` to images in -1..1. It is copied.
        discriminator: its discriminator, images to [features, logits]. It is copied.
        filters: width of the encoder, see `ganlib.models.networks`.
        kappa: weight of the feature loss.
        thresholds: see `Calibrated`.

    Example:
        >>> fanogan = FAnoGAN(dcgan.generator, dcgan.discriminator)
        >>> fanogan.compile(keras.optimizers.Adam(1e-3))
        >>> fanogan.fit(normal_images, batch_size=32, epochs=10)  # uint8 (n, 64, 64, 1)
        >>> scores, reconstructions, residuals = fanogan.detect(images)
        >>> anogan = AnoGAN(
        ...     dcgan.generator, dcgan.discriminator, encoder=fanogan.encoder, steps=25
        ... )

    Reference:
        Schlegl et al. 2019 and the authors' code, the encoder training "izi_f". Deviations: it sits
        on a DCGAN, not on a Wasserstein GAN; z is not bounded by tanh, as the prior of `DCGAN` is
        N(0, 1); f is the last hidden layer of this discriminator.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        filters: int = 64,
        kappa: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        image_size, _, channels = generator.output_shape[1:]
        self.filters = filters
        self.kappa = kappa
        self.generator = frozen_copy(generator)
        self.discriminator = frozen_copy(discriminator)
        self.encoder = networks.encoder(image_size, channels, generator.input_shape[-1], filters)
        self.built = True  # as its networks are

    def call(self, images, training=None):
        """Find z and make its image.

        Args:
            images: `(n, image_size, image_size, channels)`, 0..255.
            training: whether the encoder's batch normalisation uses the batch (True) or its
                averages. Generator and discriminator always use their averages.

        Returns:
            G(E(x)) `(n, image_size, image_size, channels)`, -1..1, and the score `(n,)`.
        """
        images = scale(images)
        reconstructions = self.generator(self.encoder(images, training=training), training=False)
        features, _ = self.discriminator(images, training=False)
        reconstruction_features, _ = self.discriminator(reconstructions, training=False)
        return reconstructions, losses.fanogan_score(
            images, reconstructions, features, reconstruction_features, self.kappa
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Average the score over the images of the batch."""
        _, scores = y_pred
        return ops.mean(scores)

    def detect(self, images: np.ndarray) -> Detection:
        """Score images: one pass through the networks, no search.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.

        Returns:
            A `Detection` for the n images, in their order.

        Raises:
            GanlibError: the images are none that the model takes, see `ganlib.models.detection`.
        """
        images = check_images(images, self.generator.output_shape[1:], self.any_scale)
        reconstructions, scores = predict(self.predict_on_batch, images)
        return Detection(scores, unscale(reconstructions), residual(images, reconstructions))

    def get_config(self):
        """Return the arguments of `__init__`."""
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "filters": self.filters,
            "kappa": self.kappa,
        }

    @classmethod
    def from_config(cls, config):
        """Make the model that `get_config` describes; loading then fills in the weights."""
        return cls(**networks_of(config, "generator", "discriminator"))
