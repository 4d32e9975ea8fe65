"""GRD-Net: a GANomaly that removes synthetic defects, and a network that segments them."""

from keras import layers, ops

from ganlib.models import losses, networks
from ganlib.models.base import scale
from ganlib.models.segmentator import Segmentator, foreign


class GRDNet(Segmentator):
    """GANomaly's four networks and a segmentator, trained on synthetic defects in normal images.

    The generator gets an image with defects, x', and learns to reconstruct it without them, x_hat.
    The discriminator learns to tell the clean image, x, from both. The segmentator gets x' and
    x_hat and learns to locate defects. All are trained at once, see `DCGAN`. Residual and score are
    those of `Segmentator`; comparing shows what the generator adds. `width`: segmentator filters.

    Reference: Ferrari et al. 2023; x' for the discriminator is from OCR-GAN (Liang et al. 2022).
    Deviations: encoders and decoder are GANomaly's, without residual blocks, for at most 64x64
    values; the generator does not learn from the segmentator; one optimizer instead of three.
    """

    method, family = "GRDNet", "GAN"
    pictures = 2

    def __init__(
        self,
        image_size: int,
        channels: int,
        latent_dim: int = 100,
        filters: int = 64,
        width: int = 16,
        turns: bool | None = None,
        **kwargs,
    ):
        weights = dict.fromkeys(("adversarial", "encoder", "structure", "discriminator"), 1.0)
        weights |= {"contextual": 50.0}
        super().__init__(image_size, channels, 0, width, turns, weights, **kwargs)
        stride = max(1, image_size // 64)
        self.reduce = layers.AveragePooling2D(stride)
        self.enlarge = layers.UpSampling2D(stride, interpolation="bilinear")
        size = image_size // stride
        sizes = (size, channels, latent_dim, filters)
        self.encoder = networks.encoder(*sizes)
        self.decoder = networks.decoder(*sizes)
        self.encoder2 = networks.encoder(*sizes, name="encoder2")
        self.discriminator = networks.discriminator(size, channels, filters)

    def forward(self, images, training=None):
        """Reconstruct without defects, then segment; z and z_hat are as in `GANomaly`."""
        latents = self.encoder(self.reduce(images), training=training)
        small = self.decoder(latents, training=training)
        rebuilt = self.enlarge(small)
        both = ops.concatenate([images, ops.stop_gradient(rebuilt)], axis=-1)
        logits = self.segmentator(both, training=training)
        return {
            "reconstruction": rebuilt,
            "residual": foreign(logits),
            "logits": logits,
            "latent": latents,
            "reconstruction_latent": self.encoder2(small, training=training),
            "small": small,
        }

    def terms(self, images, outputs):
        """Compute the losses of generator, discriminator and segmentator."""
        target, rebuilt = outputs["target"], outputs["small"]
        clean = self.reduce(scale(target["image"]))
        weights = networks.read_weights(self.discriminator)
        features, real = networks.call_with(self.discriminator, weights, clean)
        _, fake = networks.call_with(self.discriminator, weights, ops.stop_gradient(rebuilt))
        _, forged = networks.call_with(self.discriminator, weights, self.reduce(images))
        made_features, _ = networks.call_frozen(self.discriminator, weights, rebuilt)
        defective = ops.max(target["label"], axis=(1, 2))  # (n, 1): x' without defects is no fake
        return {
            **super().terms(images, outputs),
            "adversarial": losses.adversarial_loss(ops.stop_gradient(features), made_features),
            "contextual": losses.contextual_loss(clean, rebuilt),
            "encoder": losses.encoder_loss(outputs["latent"], outputs["reconstruction_latent"]),
            "structure": losses.structure_loss(clean, rebuilt),
            "discriminator": losses.discriminator_loss(real, fake)
            + ops.mean(defective * ops.softplus(forged)),
        }
