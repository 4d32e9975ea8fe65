"""Gaussian: one normal distribution of whole-image features."""

import numpy as np
from keras import ops
from sklearn.covariance import LedoitWolf

from ganlib.models.base import along_both, bilinear, predict, scale
from ganlib.models.features import FeatureModel


class Gaussian(FeatureModel):
    """Mean and covariance S of the features f of good images, averaged over all places p.

    The score is the squared Mahalanobis distance, f^T S^-1 f: the mean of f_p^T S^-1 f over all p.
    The residual is the contribution of each p, if positive. The reconstruction is the mean image.

    Reference: Rippel et al. 2021. Deviation: one Gaussian for both maps, not one for each.
    """

    method = "Gaussian"

    def __init__(self, image_size=256, channels=3, **kwargs):
        super().__init__(image_size, channels, **kwargs)
        self.precision = self.memory("precision", self.depth, self.depth)
        self.mean_image = self.memory("mean_image", image_size, image_size, channels)
        self.enlarge = bilinear(image_size, self.places)

    def adapt(self, images):
        """Fit the Gaussian."""

        def moments(batch):
            maps = self.extractor.predict_on_batch(scale(batch))
            return maps.mean(axis=(1, 2)), maps.var(axis=(1, 2))

        means, variances = predict(moments, images, self.batch)
        deviation = np.sqrt(means.var(axis=0) + variances.mean(axis=0) + 1e-12)
        self.mean.assign(means.mean(axis=0))
        self.deviation.assign(deviation)
        self.precision.assign(LedoitWolf().fit(means / deviation).precision_)
        self.mean_image.assign(scale(images.mean(axis=0)))

    def forward(self, images, training=None):
        """Compute each place's contribution to the score."""
        features = (self.extractor(images, training=False) - self.mean) / self.deviation
        direction = ops.matmul(ops.mean(features, axis=(1, 2)), self.precision)
        shares = ops.sum(features * direction[:, None, None], axis=-1)
        residual = along_both(self.enlarge, ops.maximum(shares, 0.0))[..., None]
        made = ops.zeros_like(images) + self.mean_image
        return {"reconstruction": made, "residual": residual, "shares": shares}

    def score(self, images, outputs):
        """Average the contributions of all places."""
        return ops.maximum(ops.mean(outputs["shares"], axis=(1, 2)), 0.0)
