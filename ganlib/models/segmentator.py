"""A network that learns from forged defects to outline what is foreign, from scratch."""

from collections.abc import Callable, Mapping
from functools import partial

import keras
import numpy as np
from keras import ops

from ganlib.models import defects, losses, networks
from ganlib.models.base import AnomalyModel, along_both
from ganlib.models.orientation import any_orientation


class Segmentator(AnomalyModel):
    """U-Net that outlines defects, trained on those that `ganlib.models.defects` forges.

    Its residual tells how foreign each place is, its score is the highest one. It rebuilds nothing:
    the reconstruction has the mean of the surroundings in place of what is foreign.

    Args:
        latent_dim: not used; all methods take the same sizes.
        filters: see `ganlib.models.networks.segmentator`.
        turns: whether training may turn and mirror images, of things that lie in any direction.

    Reference: the task of NSA (Schlueter et al. 2022), with a smaller network.
    """

    method, family = "segmentator", "baseline"
    scored_by, default_image_size = "own", 128
    pictures = 1  # that the network sees side by side
    batch_size = 16  # more steps teach more than larger ones

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
        """Fit a model to forged images."""
        model = cls(**sizes)
        model.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0))
        fit(model, cooling=True)
        return model

    def lessons(self, images):
        """Forge defects into the batches, and turn them where things lie in any direction."""
        if self.about["turns"] is None:
            self.about["turns"] = any_orientation(images)
        return partial(defects.lessons, turns=self.about["turns"])

    def forward(self, images, training=None):
        """Outline what is foreign, and fill it in."""
        logits = self.segmentator(images, training=training)
        normal = ops.sigmoid(-logits) + 1e-6  # where nothing around is normal, all is taken
        around = _sum(images * normal, self.image_size // 4) / _sum(normal, self.image_size // 4)
        filled = normal * images + (1.0 - normal) * around
        return {"reconstruction": filled, "residual": foreign(logits), "logits": logits}

    def terms(self, images, outputs):
        """Compare with the labels."""
        labels = outputs["target"]["label"]
        return {"segmentation": losses.segmentation_loss(labels, outputs["logits"])}

    def score(self, images, outputs):
        """Return the highest residual."""
        return ops.max(outputs["residual"], axis=(1, 2, 3))


def foreign(logits):
    """Compute log(1 + p / (1 - p)), where p is the mean probability around each place.

    As in DRAEM, around are 21 of 256 pixels. The odds rank as p does, but also where p rounds to 1.
    """
    size = logits.shape[1] * 21 // 256
    odds = _sum(ops.sigmoid(logits), size) / (_sum(ops.sigmoid(-logits), size) + 1e-30)
    return ops.softplus(ops.log(odds))  # log(1 + odds), to the last digit of small ones


def _sum(maps, size: int):
    """Add up the square around each place, of an odd side, as far as it is in the image."""
    # Two matrix products: TensorFlow pools for longer than the network takes.
    places = np.arange(maps.shape[1])
    near = (abs(np.subtract.outer(places, places)) <= size // 2).astype("float32")
    return ops.moveaxis(along_both(near, ops.moveaxis(maps, -1, 1)), 1, -1)
