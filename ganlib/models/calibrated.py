"""Thresholds as a part of the detector, so that one image alone gets a verdict."""

import numpy as np

from ganlib.errors import GanlibError
from ganlib.thresholds import fit_thresholds


class Calibrated:
    """What AnoGAN, GANomaly and Autoencoder share: thresholds that are saved with the model.

    Attributes:
        thresholds: name of the rule to threshold, see `ganlib.thresholds.fit_thresholds`; None
            until `calibrate` is called. `__init__` takes it, for loading.
        any_scale: whether `detect` takes floats, of any scale; only `ganlib.errata` needs that.

    Example:
        >>> detector.calibrate(detector.detect(held_out_normals).scores)
        >>> detector.save("detector.keras")
        >>> detector.is_anomaly(image[np.newaxis])
        array([ True])
    """

    any_scale = False

    def __init__(self, thresholds: dict[str, float] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.thresholds = thresholds

    def calibrate(
        self,
        normal_scores: np.ndarray,
        false_alarm_rate: float = 0.05,
        deviations: float = 3.0,
    ) -> None:
        """Choose thresholds from normal images that the model was not trained on, and keep them.

        Training images would not do: the model knows them, so their scores are too low, and the
        false alarms too many.

        Args:
            normal_scores: `(n,)`, the detector's own scores of these images.
            false_alarm_rate: share of normal images that may be called anomalies, 0..1.
            deviations: k of the rule "deviations".

        Raises:
            GanlibError: the scores are too few for the rate, see `fit_thresholds`.
        """
        self.thresholds = fit_thresholds(normal_scores, false_alarm_rate, deviations)

    def is_anomaly(self, images: np.ndarray, rule: str = "quantile") -> np.ndarray:
        """Tell whether images are anomalies, each by itself.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.
            rule: which threshold to use.

        Returns:
            bool `(n,)`, True where the score is at or above the threshold.

        Raises:
            GanlibError: there are no thresholds yet, or none of this name.
        """
        if self.thresholds is None:
            raise GanlibError(
                "This detector has no thresholds yet: call calibrate(scores) with its scores of "
                "normal images that it was not trained on, then save it."
            )
        if rule not in self.thresholds:
            raise GanlibError(f"rule is {rule!r}: choose one of {', '.join(self.thresholds)}.")
        return self.detect(images).scores.astype("float64") >= self.thresholds[rule]

    def get_config(self):
        """Return the arguments of `__init__`."""
        thresholds = None if self.thresholds is None else dict(self.thresholds)
        return {**super().get_config(), "thresholds": thresholds}
