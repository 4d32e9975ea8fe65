"""An ensemble of models."""

import numpy as np
from keras import ops

from ganlib.models.base import AnomalyModel
from ganlib.models.detection import HALF_RANGE

SMALLEST = 1e-12  # a score may be 0, which has no logarithm


class Experts(AnomalyModel):
    """Ensemble of models trained on the same images; their scores are standardized and averaged.

    The score s of a member becomes z = (log s - centre) / spread, which is 0 for a typical normal
    image whatever the member measures. A(x) = softplus(mean z). The residual is the mean of the
    members' residuals, each in units of its typical maximum on a normal image. The reconstruction
    is that of the first member.

    Args:
        members: the models. A member for smaller images sees the means of 2x2, 3x3, ... pixels.
        centres, spreads: median and scaled MAD of each member's log scores of unseen normal images.
        units: for each member, the median of the highest residuals of the same images.
    """

    scored_by = "own"

    def __init__(
        self,
        members: list[AnomalyModel],
        centres: list[float],
        spreads: list[float],
        units: list[float],
        **kwargs,
    ):
        largest = max(members, key=lambda member: member.image_size)
        super().__init__(largest.image_size, largest.channels, **kwargs)
        self.members, self.centres = list(members), list(centres)
        self.spreads, self.units = list(spreads), list(units)

    @classmethod
    def of(cls, members: list[AnomalyModel], detections: list) -> "Experts":
        """Combine members, given the detections of each in normal images that none has seen."""
        logs = [np.log(np.maximum(each.scores, SMALLEST)) for each in detections]
        centres = [float(np.median(log)) for log in logs]
        spreads = [
            1.4826 * float(np.median(np.abs(log - centre))) + 1e-3  # equal scores have no spread
            for log, centre in zip(logs, centres, strict=True)
        ]
        highest = [each.residuals.mean(axis=-1).max(axis=(1, 2)) for each in detections]
        units = [float(np.median(each)) + 1e-6 for each in highest]
        return cls(members, centres, spreads, units)

    def forward(self, images, training=None):
        """Run every member."""
        answers = [self._ask(*each, images) for each in zip(self.members, self.units, strict=True)]
        scores, residuals, reconstructions = zip(*answers, strict=True)
        return {
            "scores": ops.stack(scores, axis=1),
            "residual": sum(residuals) / len(residuals),
            "reconstruction": reconstructions[0],
        }

    def _ask(self, member, unit: float, images):
        factor = self.image_size // member.image_size
        small = images
        if factor > 1:
            small = ops.average_pool(images, factor, factor, data_format="channels_last")
        outputs = member.forward(small, training=False)
        made = outputs["reconstruction"]
        residual = outputs.get("residual", HALF_RANGE * ops.abs(small - made))
        residual = ops.mean(residual, axis=-1, keepdims=True) / unit
        return member.score(small, outputs), self._enlarged(residual), self._enlarged(made)

    def _enlarged(self, images):
        size = (self.image_size, self.image_size)
        if images.shape[1:3] == size:
            return images
        return ops.image.resize(images, size, data_format="channels_last")

    def score(self, images, outputs):
        """Return the softplus of the members' mean z."""
        return ops.softplus(self.mean_z(outputs["scores"]))

    def mean_z(self, scores):
        """Average z over the members, from their scores `(n, members)`."""
        logs = ops.log(ops.maximum(ops.cast(scores, "float32"), SMALLEST))
        return ops.mean((logs - ops.array(self.centres)) / ops.array(self.spreads), axis=1)
