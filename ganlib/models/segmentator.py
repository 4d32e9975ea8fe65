"""A segmentation network trained from scratch on synthetic defects."""

from collections.abc import Callable, Mapping
from functools import partial

import keras
import numpy as np
from keras import ops

from ganlib.models import defects, losses, networks
from ganlib.models.base import AnomalyModel, along_both
from ganlib.models.orientation import any_orientation


class Segmentator(AnomalyModel):
    """U-Net that segments defects, trained on the synthetic defects of `ganlib.models.defects`.

    The residual is higher where a defect is more likely; the score is its maximum. The network does
    not reconstruct: the reconstruction fills defects with the mean of their surroundings.

    Args:
        latent_dim: not used; all methods take the same sizes.
        filters: see `ganlib.models.networks.segmentator`.
        turns: whether training may rotate and mirror images, for objects in any orientation.

    Reference: the task of NSA (Schlueter et al. 2022), with a smaller network.
    """

    method, family = "segmentator", "baseline"
    scored_by, default_image_size = "own", 128
    pictures = 1  # images that the network gets, concatenated
    batch_size = 16  # more steps train better than larger batches

    def __init__(
        self,
        image_size: int,
        channels: int,
        latent_dim: int = 0,
        filters: int = 16,
        turns: bool | None = None,
        term_weights: Mapping[str, float] | None = None,
        **kwargs,
    ):
        weights = {"segmentation": 1.0, **(term_weights or {})}
        super().__init__(image_size, channels, weights, **kwargs)
        self.about["turns"] = turns
        self.segmentator = networks.segmentator(image_size, self.pictures * channels, filters)

    @classmethod
    def train(cls, fit: Callable, **sizes) -> "Segmentator":
        """Train a model on images with synthetic defects."""
        model = cls(**sizes)
        model.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0))
        fit(model, cooling=True)
        return model

    def lessons(self, images):
        """Add defects to batches, and rotate images if objects come in any orientation."""
        if self.about["turns"] is None:
            self.about["turns"] = any_orientation(images)
        return partial(defects.lessons, turns=self.about["turns"])

    def forward(self, images, training=None):
        """Segment defects and fill them in."""
        logits = self.segmentator(images, training=training)
        normal = ops.sigmoid(-logits) + 1e-6  # if nothing around is normal, average it all
        around = _sum(images * normal, self.image_size // 4) / _sum(normal, self.image_size // 4)
        filled = normal * images + (1.0 - normal) * around
        return {"reconstruction": filled, "residual": foreign(logits), "logits": logits}

    def terms(self, images, outputs):
        """Compute the segmentation loss."""
        labels = outputs["target"]["label"]
        return {"segmentation": losses.segmentation_loss(labels, outputs["logits"])}

    def score(self, images, outputs):
        """Return the highest residual."""
        return ops.max(outputs["residual"], axis=(1, 2, 3))


def foreign(logits):
    """Compute log(1 + p / (1 - p)), where p is the mean probability around each place.

    As in DRAEM, the window is 21 of 256 pixels. The odds rank like p, even where p rounds to 1.
    """
    size = logits.shape[1] * 21 // 256
    odds = _sum(ops.sigmoid(logits), size) / (_sum(ops.sigmoid(-logits), size) + 1e-30)
    return ops.softplus(ops.log(odds))  # log(1 + odds), accurate for small odds


def _sum(maps, size: int):
    """Sum the square of odd side around each place, as far as it is inside the image."""
    # Two matrix products: pooling in TensorFlow takes longer than the whole network.
    places = np.arange(maps.shape[1])
    near = (abs(np.subtract.outer(places, places)) <= size // 2).astype("float32")
    return ops.moveaxis(along_both(near, ops.moveaxis(maps, -1, 1)), 1, -1)
