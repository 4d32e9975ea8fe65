"""A complete user-defined model: a denoising autoencoder of four layers."""

import keras
from keras import layers, ops

from ganlib.models import AnomalyModel


class Denoiser(AnomalyModel):
    """Learns to remove noise from normal images."""

    method, family = "denoiser", "baseline"

    def __init__(self, image_size, channels, latent_dim=8, filters=8, noise=0.2, **kwargs):
        super().__init__(image_size, channels, {"rebuilding": 1.0}, **kwargs)
        conv = {"kernel_size": 4, "strides": 2, "padding": "same"}
        self.network = keras.Sequential(
            [
                keras.Input((image_size, image_size, channels)),
                layers.GaussianNoise(noise, seed=0),
                layers.Conv2D(filters, activation="relu", **conv),
                layers.Conv2D(latent_dim, activation="relu", **conv),
                layers.Conv2DTranspose(filters, activation="relu", **conv),
                layers.Conv2DTranspose(channels, activation="tanh", **conv),
            ]
        )

    def forward(self, images, training=None):
        return {"reconstruction": self.network(images, training=training)}

    def terms(self, images, outputs):
        return {"rebuilding": ops.mean(ops.square(images - outputs["reconstruction"]))}

    def score(self, images, outputs):
        return ops.mean(ops.square(images - outputs["reconstruction"]), axis=(1, 2, 3))
