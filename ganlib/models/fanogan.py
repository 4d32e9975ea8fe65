"""f-AnoGAN: an encoder that replaces AnoGAN's search."""

from collections.abc import Callable

from keras import ops

from ganlib.models import losses, networks
from ganlib.models.base import AnomalyModel
from ganlib.models.dcgan import DCGAN


class FAnoGAN(AnomalyModel):
    """Encoder in front of a trained, frozen DCGAN, trained on the same normal images.

    The encoder learns to predict the z that the search would find: G(E(x)) should match x in pixels
    and in D's features. `AnoGAN` can start from this z. `kappa` is the weight of the feature loss.

    Reference: Schlegl et al. 2019 and the authors' code, encoder training "izi_f". Deviations: the
    GAN is a DCGAN, not a Wasserstein GAN; z is not bounded by tanh; f is D's last hidden layer.
    """

    method, family, stages = "f-AnoGAN", "GAN", 2

    def __init__(self, dcgan: DCGAN, filters: int = 64, kappa: float = 1.0, **kwargs):
        image_size, _, channels = dcgan.generator.output_shape[1:]
        super().__init__(image_size, channels, {"encoder": 1.0}, **kwargs)
        self.kappa = kappa
        self.generator = networks.frozen_copy(dcgan.generator)
        self.discriminator = networks.frozen_copy(dcgan.discriminator)
        self.encoder = networks.encoder(image_size, channels, dcgan.latent_dim, filters)

    @classmethod
    def train(cls, fit: Callable, **sizes) -> "FAnoGAN":
        """Train the DCGAN, then the encoder."""
        dcgan = DCGAN(**sizes)
        fit(dcgan)
        model = cls(dcgan, sizes["filters"])
        fit(model)
        return model

    def forward(self, images, training=None):
        """Return G(E(x)) and features. G and D always use their moving averages."""
        reconstructions = self.generator(self.encoder(images, training=training), training=False)
        return {
            "reconstruction": reconstructions,
            "features": self.discriminator(images, training=False)[0],
            "reconstruction_features": self.discriminator(reconstructions, training=False)[0],
        }

    def terms(self, images, outputs):
        """Average the score over the images of the batch."""
        return {"encoder": ops.mean(self.score(images, outputs))}

    def score(self, images, outputs):
        """Compare image and reconstruction in pixels and in features."""
        names = ("reconstruction", "features", "reconstruction_features")
        return losses.fanogan_score(images, *(outputs[name] for name in names), self.kappa)
