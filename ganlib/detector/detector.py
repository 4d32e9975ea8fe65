"""A trained model with all that turns its scores into verdicts, in one file."""

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

SMOOTHING = 1 / 32  # sigma of the Gaussian that smooths residuals, in sides of the image


class Detector(AnomalyModel):
    """A trained model, its threshold, and what is normal at every place of an image.

    The score is the "heat" of the hottest place, see `heat_maps`, so that an image is an anomaly
    exactly if its heat map shows why; or the model's "own"; None leaves that to the model.
    The card, values that JSON can hold, says where the detector comes from. `normal_scores` and
    `normal_peaks`, of the maps before they have a unit, are those of held-out normal pictures.
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
            raise GanlibError(f"score is {score!r}: choose heat | own.")
        self.model = model
        self.by_heat = score == "heat"
        self.card = dict(card or {})
        self.normal_scores = np.sort(np.asarray(normal_scores or [], "float32"))
        self.normal_peaks = np.sort(np.asarray(normal_peaks or [], "float32"))
        # Of the smoothed residuals of training images, and the deviations of a heat of 1.
        shape = (self.image_size, self.image_size)
        add = functools.partial(self.add_weight, trainable=False)
        self.residual_mean = add(shape, "zeros", name="residual_mean")
        self.residual_deviation = add(shape, "ones", name="residual_deviation")
        self.heat_unit = add((), "ones", name="heat_unit")

    @property
    def resize(self) -> str:
        """How images become square, see `ganlib.data.images.decode`."""
        return self.card.get("resize", "squeeze")

    @property
    def white(self) -> int:
        """The 16-bit level that is read as 255, see `ganlib.data.images.decode`."""
        return self.card.get("white", WHITE)

    @property
    def threshold(self) -> float | None:
        """Images with this score or a higher one are anomalies; None before calibration."""
        return (self.thresholds or {}).get("quantile")

    @functools.cached_property
    def own_map(self) -> bool:
        """Whether the model itself says where an image is not normal, see `Trainable.forward`."""
        shape = (None, self.image_size, self.image_size, self.channels)
        return "residual" in self.model.compute_output_spec(keras.KerasTensor(shape, "uint8"))

    def call(self, images, training=None):
        """Compute all answers at once, for `export`; the model must answer in one pass."""
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
        """Compute where residuals, of a `Detection`, are higher than those of normal images.

        They are compared place by place: an edge that is never rebuilt well is not hot. The model's
        own maps stay as they are. The heat is `(n, image_size, image_size)`, 0 and up; of normal
        images, the false-alarm rate in force reaches 1 anywhere.
        """
        return predict(self._heat, residuals)

    def calibrate_on(
        self,
        normal: Detection,
        false_alarm_rate: float = 0.05,
        training: Detection | None = None,
        pictures: Sequence | None = None,
    ) -> None:
        """Choose threshold and unit of the heat maps by normal images that were not trained on.

        `normal` is what `model` detects in them, as in new ones; `training`, in images that were
        trained on, is what is usual at every place: without it, and for a model that has its own
        maps, all places are alike. Of equal `pictures`, `(n,)` names, the highest score counts. The
        card says what they promise: if they are few, the lowest possible rate is used; odd ones do
        not set the threshold.
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
                f"{', '.join(map(str, names))} would set the threshold, {above / below:.3g} times "
                "as anomalous as the next, and was left out. Look at it: if it is not good, remove "
                f"it and train again; if it is, only a rate of {most:.3g} % is promised."
            )
        if rate > false_alarm_rate:
            few = f"{n} held-out good pictures are too few for a rate of {false_alarm_rate:g}"
            notes.append(f"{few}: the threshold is for {lowest:.3g}.")
        self.card = {**self.card, "held_out_pictures": n, "lowest_rate": lowest, "notes": notes}
        self.normal_scores, self.normal_peaks = np.sort(usual.to_numpy("float32").T)
        self.set_rate(rate)

    def set_rate(self, false_alarm_rate: float) -> None:
        """Choose threshold and unit of the heat maps for a share of normal pictures, 0..1."""
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
    """Raise deviations of pixels at which the few normal images happen to agree."""
    return np.maximum(deviations, max(np.median(deviations), 1.0))
