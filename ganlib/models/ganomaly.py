"""GANomaly: encoder, decoder, second encoder and discriminator, without a search."""

from keras import ops

from ganlib.errors import GanlibError
from ganlib.models import losses, networks
from ganlib.models.base import AnomalyModel

SCORES = {"l1": losses.latent_l1_score, "l2": losses.latent_l2_score}


class GANomaly(AnomalyModel):
    """Encoder G_E, decoder G_D, second encoder E and discriminator D, trained on normal images.

    An image is encoded (z), reconstructed (x_hat) and encoded again (z_hat). Training makes z and
    z_hat agree on normal images. They differ on anomalies, which the reconstruction loses. All four
    networks are trained at once; see `DCGAN` for why one loss and one optimizer are enough.

    Args:
        image_size, channels, latent_dim, filters: see `ganlib.models.networks`.
        score: "l1", the paper's anomaly score, or "l2", the score of the authors' code.
        negative_slope: of LeakyReLU in the encoders and the discriminator.
        upsampling: of the decoder, see `ganlib.models.networks.decoder`.

    Reference: paper, section 4; Akcay et al. 2018 and the authors' code. Deviations: scoring uses
    the moving averages of batch normalization (the authors' scores depend on the batch), and a
    discriminator that has won is not reinitialized.
    """

    method, family = "GANomaly", "GAN"

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
        upsampling: str = "transposed",
        **kwargs,
    ):
        weights = {
            "adversarial": adversarial_weight,
            "contextual": contextual_weight,
            "encoder": encoder_weight,
            "discriminator": 1.0,
        }
        super().__init__(image_size, channels, weights, **kwargs)
        if score not in SCORES:
            raise GanlibError(f"score is {score!r}: choose one of {', '.join(SCORES)}.")
        self.distance = SCORES[score]
        sizes = (image_size, channels, latent_dim, filters)
        self.encoder = networks.encoder(*sizes, negative_slope)
        self.decoder = networks.decoder(*sizes, upsampling)
        self.encoder2 = networks.encoder(*sizes, negative_slope, name="encoder2")
        self.discriminator = networks.discriminator(image_size, channels, filters, negative_slope)

    def forward(self, images, training=None):
        """Encode, decode and encode again: return x_hat, and z and z_hat `(n, latent_dim)`."""
        latents = self.encoder(images, training=training)
        reconstructions = self.decoder(latents, training=training)
        return {
            "reconstruction": reconstructions,
            "latent": latents,
            "reconstruction_latent": self.encoder2(reconstructions, training=training),
        }

    def terms(self, images, outputs):
        """Compute the losses of generator and discriminator."""
        reconstructions = outputs["reconstruction"]
        weights = networks.read_weights(self.discriminator)
        detached = ops.stop_gradient(reconstructions)
        features, real_logits = networks.call_with(self.discriminator, weights, images)
        _, fake_logits = networks.call_with(self.discriminator, weights, detached)
        made_features, _ = networks.call_frozen(self.discriminator, weights, reconstructions)
        return {
            # f(x) is a constant target, or the generator's loss would train the discriminator.
            "adversarial": losses.adversarial_loss(ops.stop_gradient(features), made_features),
            "contextual": losses.contextual_loss(images, reconstructions),
            "encoder": losses.encoder_loss(outputs["latent"], outputs["reconstruction_latent"]),
            "discriminator": losses.discriminator_loss(real_logits, fake_logits),
        }

    def score(self, images, outputs):
        """Return the distance between z and z_hat."""
        return self.distance(outputs["latent"], outputs["reconstruction_latent"])
