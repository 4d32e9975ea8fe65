"""GANomaly's generator alone, trained as a plain autoencoder."""

from keras import ops

from ganlib.models import losses, networks
from ganlib.models.base import AnomalyModel
from ganlib.models.detection import HALF_RANGE


class Autoencoder(AnomalyModel):
    """GANomaly's encoder and decoder, trained only to reconstruct normal images.

    Compared with `GANomaly`, it shows what the discriminator and the second encoder add. The score
    is the mean of |x - x_hat| in grey levels. For the arguments, see `ganlib.models.networks`.
    Reference: G_E and G_D of the paper, section 4, with only the contextual loss.
    """

    method, family = "autoencoder", "baseline"

    def __init__(
        self, image_size: int, channels: int, latent_dim: int = 100, filters: int = 64, **kwargs
    ):
        super().__init__(image_size, channels, {"contextual": 1.0}, **kwargs)
        self.encoder = networks.encoder(image_size, channels, latent_dim, filters)
        self.decoder = networks.decoder(image_size, channels, latent_dim, filters)

    def forward(self, images, training=None):
        """Encode and reconstruct images."""
        latents = self.encoder(images, training=training)
        return {"reconstruction": self.decoder(latents, training=training)}

    def terms(self, images, outputs):
        """Compute the contextual loss."""
        return {"contextual": losses.contextual_loss(images, outputs["reconstruction"])}

    def score(self, images, outputs):
        """Average the residual of each image."""
        return HALF_RANGE * ops.mean(ops.abs(images - outputs["reconstruction"]), axis=(1, 2, 3))
