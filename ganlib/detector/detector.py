"""A trained model, and everything that turns its scores into verdicts, in one file."""

import functools
from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd
from keras import ops

from ganlib.data.dataset import WHITE
from ganlib.errors import GanlibError
from ganlib.evaluation import count_odd, quantile_threshold
from ganlib.models.base import AnomalyModel, along_both, gaussian, predict, scale
from ganlib.models.detection import HALF_RANGE, Detection

SMOOTHING = 1 / 32  # sigma of the Gaussian that smooths residuals, relative to the image size


class Detector(AnomalyModel):
    """A trained model, its threshold, and what is normal at each pixel.

    `score` is "heat", the maximum of the heat map (see `heat_maps`), so an image is flagged exactly
    if its heat map shows why; "own", the model's score; or None, the default of the model.
    The card records the detector's origin as JSON-compatible values. `normal_scores` and
    `normal_peaks`, of the maps before scaling, are those of held-out normal pictures.
    """

    def __init__(
        self,
        model: AnomalyModel,
        card: dict | None = None,
        score: str | None = None,
        normal_scores: list[float] | None = None,
        normal_peaks: list[float] | None = None,
        **kwargs,
    ):
        super().__init__(model.image_size, model.channels, **kwargs)
        if (score := score or model.scored_by) not in ("heat", "own"):
            raise GanlibError(f"score is {score!r}: choose heat or own.")
        self.model = model
        self.by_heat = score == "heat"
        self.card = dict(card or {})
        self.normal_scores = np.sort(np.asarray(normal_scores or [], "float32"))
        self.normal_peaks = np.sort(np.asarray(normal_peaks or [], "float32"))
        # Of smoothed training residuals; `heat_unit` is the number of deviations at a heat of 1.
        shape = (self.image_size, self.image_size)
        add = functools.partial(self.add_weight, trainable=False)
        self.residual_mean = add(shape, "zeros", name="residual_mean")
        self.residual_deviation = add(shape, "ones", name="residual_deviation")
        self.heat_unit = add((), "ones", name="heat_unit")

    @property
    def resize(self) -> str:
        """How images are made square, see `ganlib.data.images.decode`."""
        return self.card.get("resize", "squeeze")

    @property
    def white(self) -> int:
        """The 16-bit level that is read as 255, see `ganlib.data.images.decode`."""
        return self.card.get("white", WHITE)

    @property
    def threshold(self) -> float | None:
        """The lowest score that is flagged as an anomaly; None before calibration."""
        return (self.thresholds or {}).get("quantile")

    @functools.cached_property
    def own_map(self) -> bool:
        """Whether the model returns its own map of anomalies, see `Trainable.forward`."""
        shape = (None, self.image_size, self.image_size, self.channels)
        return "residual" in self.model.compute_output_spec(keras.KerasTensor(shape, "uint8"))

    def call(self, images, training=None):
        """Compute all outputs in one pass, for `export`; the model must support this."""
        outputs = self.model(images, training=False)
        images = scale(images)
        residuals = ops.abs(images - outputs["reconstruction"]) * HALF_RANGE
        residuals = outputs.get("residual", residuals)
        heat, own = self._heat(residuals), self.model.score(images, outputs)
        return {
            "score": ops.max(heat, axis=(1, 2)) if self.by_heat else own,
            "reconstruction": (outputs["reconstruction"] + 1.0) * HALF_RANGE,
            "residual": residuals,
            "heat_map": heat,
        }

    def _heat(self, residuals):
        if self.own_map:
            return ops.cast(residuals, "float32")[..., 0] / self.heat_unit
        excess = _smooth(residuals, self.image_size) - ops.convert_to_tensor(self.residual_mean)
        return ops.maximum(excess / self.residual_deviation, 0.0) / self.heat_unit

    def detect(self, images: np.ndarray) -> Detection:
        """Score images."""
        return self.examine(images)[0]

    def examine(self, images: np.ndarray) -> tuple[Detection, np.ndarray]:
        """Score images, and return their heat maps too."""
        detection = self.model.detect(images)
        heat = self.heat_maps(detection.residuals)
        if self.by_heat:
            detection = detection._replace(scores=heat.max(axis=(1, 2)))
        return detection, heat

    def heat_maps(self, residuals: np.ndarray) -> np.ndarray:
        """Compute where the residuals of a `Detection` exceed those of normal images.

        They are compared pixel by pixel: an edge that is never reconstructed well is not hot. The
        model's own maps are only scaled. The heat is `(n, image_size, image_size)`, 0 and up; the
        share of normal images that reach 1 anywhere is the current false-alarm rate.
        """
        return predict(self._heat, residuals)

    def calibrate_on(
        self,
        normal: Detection,
        false_alarm_rate: float = 0.05,
        training: Detection | None = None,
        pictures: Sequence | None = None,
    ) -> None:
        """Choose the threshold and the heat unit from normal images that were not trained on.

        `normal` holds the model's detections on these images, computed as on new ones. `training`
        holds those on training images and gives the usual residual at each pixel; without it, or
        with the model's own maps, all pixels are treated alike. Of equal `pictures`, `(n,)` names,
        the highest score counts. The card records the promised rate: with few pictures it is the
        lowest possible one. Outliers do not set the threshold.
        """
        if training is not None and not self.own_map:
            maps = predict(lambda part: _smooth(part, self.image_size), training.residuals)
            self.residual_mean.assign(maps.mean(axis=0, dtype="float64"))
            self.residual_deviation.assign(_floored(maps.std(axis=0, ddof=1, dtype="float64")))
        self.heat_unit.assign(1.0)
        peaks = self.heat_maps(normal.residuals).max(axis=(1, 2))
        peaks = np.maximum(peaks, np.float32(1e-6))  # a unit must not be 0
        scores = {"scores": peaks if self.by_heat else normal.scores, "peaks": peaks}
        table = pd.DataFrame(scores, pictures).groupby(level=0).max().sort_values("scores")
        odd, notes = count_odd(table["scores"], false_alarm_rate), [*self.card.get("notes", [])]
        usual, n = table[: len(table) - odd], len(table) - odd
        rate = max(false_alarm_rate, lowest := 1 / (n + 1))
        if odd:
            names, (below, above) = table.index[n:], table["scores"].iloc[[n - 1, n]]
            most = 100 * ((n + 1) * rate + odd) / (n + odd + 1)
            notes.append(
                f"{', '.join(map(str, names))} would set the threshold, at {above / below:.3g} "
                "times the next-highest score, and was left out. Check it: if it is not good, "
                f"remove it and train again; if it is, only a rate of {most:.3g} % is promised."
            )
        if rate > false_alarm_rate:
            few = f"{n} held-out good pictures are too few for a rate of {false_alarm_rate:g}"
            notes.append(f"{few}: the threshold is set for {lowest:.3g}.")
        self.card = {**self.card, "held_out_pictures": n, "lowest_rate": lowest, "notes": notes}
        self.normal_scores, self.normal_peaks = np.sort(usual.to_numpy("float32").T)
        self.set_rate(rate)

    def set_rate(self, false_alarm_rate: float) -> None:
        """Choose the threshold and the heat unit for a share of normal pictures, 0..1."""
        unit = quantile_threshold(self.normal_peaks, false_alarm_rate)
        if self.by_heat:
            self.normal_scores = self.normal_peaks / np.float32(unit)
        self.calibrate(self.normal_scores, false_alarm_rate)
        self.heat_unit.assign(unit)
        self.card = {**self.card, "false_alarm_rate": false_alarm_rate}

    def above(self, scores: np.ndarray) -> np.ndarray:
        """Return the share of held-out normal pictures with a lower score, 0..1, for each score."""
        return np.searchsorted(self.normal_scores, scores) / max(1, len(self.normal_scores))

    def get_config(self):
        """Return the constructor's arguments as plain values."""
        normal = {name: getattr(self, name).tolist() for name in ("normal_scores", "normal_peaks")}
        return {**super().get_config(), "card": dict(self.card), **normal}


def _smooth(residuals, image_size: int):
    maps = ops.mean(ops.cast(residuals, "float32"), axis=-1)
    return along_both(gaussian(image_size, image_size * SMOOTHING), maps)


def _floored(deviations: np.ndarray) -> np.ndarray:
    """Raise the deviations of pixels where the few normal images happen to agree."""
    return np.maximum(deviations, max(np.median(deviations), 1.0))
