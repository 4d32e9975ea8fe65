"""A trained model with all that turns its scores into verdicts, in one file."""

import functools

import numpy as np
from keras import ops

from ganlib.errors import GanlibError
from ganlib.evaluation import quantile_threshold
from ganlib.models.base import AnomalyModel, predict, scale
from ganlib.models.detection import HALF_RANGE, Detection

SMOOTHING = 1 / 32  # sigma of the Gaussian that smooths residuals, in sides of the image


class Detector(AnomalyModel):
    """A trained model, its threshold, and what is normal at every place of an image.

    The score is the model's "own", which describes the whole image, or by default the "heat" of the
    hottest place, see `heat_maps`: an image is an anomaly exactly if its heat map shows why.
    The card, values that JSON can hold, says where the detector comes from.
    """

    def __init__(
        self,
        model: AnomalyModel,
        card: dict | None = None,
        score: str = "heat",
        normal_scores: list[float] | None = None,
        **kwargs,
    ):
        super().__init__(model.image_size, model.channels, **kwargs)
        if score not in ("heat", "own"):
            raise GanlibError(f"score is {score!r}: choose heat | own.")
        self.model = model
        self.by_heat = score == "heat"
        self.card = dict(card or {})
        self.normal_scores = np.sort(np.asarray(normal_scores or [], "float32"))
        # Of the smoothed residuals of held-out normal images, and the deviations of a heat of 1.
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
    def threshold(self) -> float | None:
        """Images with this score or a higher one are anomalies; None before calibration."""
        return (self.thresholds or {}).get("quantile")

    def call(self, images, training=None):
        """Compute all answers at once, for `export`; the model must answer in one pass."""
        outputs = self.model(images, training=False)
        images = scale(images)
        residuals = ops.abs(images - outputs["reconstruction"]) * HALF_RANGE
        heat, own = self._heat(residuals), self.model.score(images, outputs)
        return {
            "score": ops.max(heat, axis=(1, 2)) if self.by_heat else own,
            "reconstruction": (outputs["reconstruction"] + 1.0) * HALF_RANGE,
            "residual": residuals,
            "heat_map": heat,
        }

    def _heat(self, residuals):
        excess = _smooth(residuals, self.image_size) - ops.convert_to_tensor(self.residual_mean)
        return ops.maximum(excess / (self.residual_deviation * self.heat_unit), 0.0)

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

        They are compared place by place: an edge that is never rebuilt well is not hot. The maps
        are `(n, image_size, image_size)`, 0 and up; of normal images, the false-alarm rate of
        `calibrate_on` reaches 1 anywhere.
        """
        return predict(self._heat, residuals)

    def calibrate_on(self, normal: Detection, false_alarm_rate: float = 0.05) -> None:
        """Choose threshold and scale of the heat maps by normal images that were not trained on.

        `normal` is what `model` detects in them. The heat of each is measured by the mean and
        deviation of all the others: with its own, it would be lower than that of a new image.
        """
        maps = predict(lambda part: _smooth(part, self.image_size), normal.residuals)
        highest = _highest_left_out(maps.astype("float64"))
        unit = quantile_threshold(highest, false_alarm_rate)
        scores = (highest / unit).astype("float32") if self.by_heat else normal.scores
        self.calibrate(scores, false_alarm_rate)
        self.normal_scores = np.sort(scores)
        self.residual_mean.assign(maps.mean(axis=0, dtype="float64"))
        self.residual_deviation.assign(_floored(maps.std(axis=0, ddof=1, dtype="float64")))
        self.heat_unit.assign(unit)

    def above(self, scores: np.ndarray) -> np.ndarray:
        """Return the share of held-out normal images with a lower score, 0..1, for each score."""
        return np.searchsorted(self.normal_scores, scores) / max(1, len(self.normal_scores))

    def get_config(self):
        """Return the constructor's arguments as plain values."""
        normal_scores = self.normal_scores.tolist()
        return {**super().get_config(), "card": dict(self.card), "normal_scores": normal_scores}


def _smooth(residuals, image_size: int):
    sigma = image_size * SMOOTHING
    places = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
    weights = np.exp(-0.5 * (places / sigma) ** 2)
    weights = (weights / weights.sum()).astype("float32")
    maps = ops.mean(ops.cast(residuals, "float32"), axis=-1, keepdims=True)
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):  # along columns, then along rows
        kernel = ops.convert_to_tensor(weights.reshape(shape))
        maps = ops.conv(maps, kernel, padding="same", data_format="channels_last")
    return maps[..., 0]


def _floored(deviations: np.ndarray) -> np.ndarray:
    """Raise deviations of pixels at which the few normal images happen to agree."""
    return np.maximum(deviations, max(np.median(deviations), 1.0))


def _highest_left_out(maps: np.ndarray) -> np.ndarray:
    """Compute the highest deviation of each map from all the others: `(n,)` of `(n, h, w)`."""
    n, rests, highest = len(maps), maps - maps.mean(axis=0), []
    squares = (rests**2).sum(axis=0)
    for rest in rests:
        without = np.maximum(squares - rest**2 * n / (n - 1), 0)
        deviation = _floored(np.sqrt(without / max(1, n - 2)))
        # From the mean of the others a map is n / (n - 1) times as far away.
        highest.append((rest * n / (n - 1) / deviation).max())
    return np.maximum(highest, 1e-6)  # a unit must not be 0
