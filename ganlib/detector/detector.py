"""A detector to hand on: a trained GANomaly with all that turns its scores into verdicts."""

import keras
import numpy as np
from keras import ops

from ganlib.errors import GanlibError
from ganlib.evaluation import quantile_threshold
from ganlib.models.calibrated import Calibrated
from ganlib.models.detection import Detection, check_images
from ganlib.models.feed import predict
from ganlib.models.ganomaly import SCORES, GANomaly
from ganlib.models.pixels import HALF_RANGE, scale, unscale

# Of the Gauss that smooths residuals: a 32nd of the image's side, two pixels of 64. Single pixels
# are noise, and a defect that is smaller than this is drawn as large as this.
SMOOTHING = 1 / 32


@keras.saving.register_keras_serializable(package="ganlib")
class Detector(Calibrated, keras.Model):
    """A trained GANomaly, its threshold, and what is normal at every place of an image.

    One file holds all of it: the networks, which take raw pixels, the threshold, the scores and
    residuals of the held-out normal images that it was chosen by, and a card that says where all
    this comes from. It gives the same verdicts wherever it is opened.

    Its score is not the paper's. GANomaly compares two vectors that tell of the whole image; a
    defect of one part is small, and a user wants to see it. So the score is the heat of the hottest
    place, see `heat_maps`: an image is an anomaly if, and only if, its heat map shows why.

    Args:
        ganomaly: a trained `GANomaly`. It is copied.
        card: what a reader must know of the detector: plain values that JSON can hold.
        score: "heat", the highest of the heat map, or "latent", the score of `ganomaly`.
        normal_scores: scores of the held-out normal images, set by `calibrate_on`.
        thresholds: see `Calibrated`, set by `calibrate_on`.

    Attributes:
        residual_mean: float32 weight `(image_size, image_size)`, mean of the smoothed residuals of
            the held-out normal images at every pixel, grey levels.
        residual_deviation: the same for their standard deviation.
        heat_unit: scalar weight, how many standard deviations a heat of 1 is.

    Example:
        >>> detector = Detector(ganomaly, card={"images": "bottle"})
        >>> detector.calibrate_on(ganomaly.detect(held_out_normals), false_alarm_rate=0.05)
        >>> detector.save("bottle.keras")
        >>> detector = ganlib.detector.load.load_model("bottle.keras")
        >>> detector.is_anomaly(images[:1])
        array([ True])
    """

    def __init__(
        self,
        ganomaly: GANomaly,
        card: dict | None = None,
        score: str = "heat",
        normal_scores: list[float] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if score not in ("heat", "latent"):
            raise GanlibError(f"score is {score!r}: choose heat | latent.")
        self.score = score
        self.ganomaly = GANomaly.from_config({**ganomaly.get_config(), "name": "ganomaly"})
        self.ganomaly.set_weights(ganomaly.get_weights())
        self.ganomaly.trainable = False
        self.image_size = ganomaly.image_size
        self.channels = ganomaly.channels
        self.card = dict(card or {})
        self.normal_scores = np.sort(np.asarray(normal_scores or [], "float32"))
        self.residual_mean = self._map("residual_mean", "zeros")
        self.residual_deviation = self._map("residual_deviation", "ones")
        self.heat_unit = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="heat_unit"
        )
        self.built = True  # as its networks are

    def _map(self, name: str, initializer: str):
        shape = (self.image_size, self.image_size)
        return self.add_weight(shape=shape, initializer=initializer, trainable=False, name=name)

    @property
    def resize(self) -> str:
        """How images become square, see `ganlib.data.images.decode`: what the card says."""
        return self.card.get("resize", "squeeze")

    @property
    def threshold(self) -> float | None:
        """The score from which an image is called an anomaly; None until it is calibrated."""
        return (self.thresholds or {}).get("quantile")

    def call(self, images, training=None):
        """Answer all at once: what `export` writes.

        Args:
            images: `(n, image_size, image_size, channels)`, 0..255.
            training: not used, the networks are frozen.

        Returns:
            A dictionary: `score` `(n,)`; `reconstruction` and `residual`
            `(n, image_size, image_size, channels)`, float32, grey levels 0..255; `heat_map`
            `(n, image_size, image_size)`, see `heat_maps`.
        """
        made, latents, reconstructed_latents = self.ganomaly(images, training=False)
        residuals = ops.abs(scale(images) - made) * HALF_RANGE
        heat = self._heat(residuals)
        latent_score = SCORES[self.ganomaly.score](latents, reconstructed_latents)
        return {
            "score": ops.max(heat, axis=(1, 2)) if self.score == "heat" else latent_score,
            "reconstruction": (made + 1.0) * HALF_RANGE,
            "residual": residuals,
            "heat_map": heat,
        }

    def _heat(self, residuals):
        rest = _smooth(residuals, self.image_size) - ops.convert_to_tensor(self.residual_mean)
        scaled = rest / (self.residual_deviation * self.heat_unit)
        return ops.maximum(scaled, 0.0)

    def detect(self, images: np.ndarray) -> Detection:
        """Score images: one pass through the networks.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.

        Returns:
            A `Detection` for the n images, in their order.

        Raises:
            GanlibError: the images are none that the model takes, see `ganlib.models.detection`.
        """
        return self.examine(images)[0]

    def examine(self, images: np.ndarray) -> tuple[Detection, np.ndarray]:
        """Score images and say where they differ from normal ones, in the same pass.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.

        Returns:
            A `Detection` for the n images, and their heat maps, see `heat_maps`.

        Raises:
            GanlibError: the images are none that the model takes, see `ganlib.models.detection`.
        """
        shape = (self.image_size, self.image_size, self.channels)
        images = check_images(images, shape, self.any_scale)
        # Keras's order of a dictionary's values is that of its keys.
        heat, made, residuals, scores = predict(self.predict_on_batch, images)
        return Detection(scores, unscale(made / HALF_RANGE - 1.0), residuals), heat

    def heat_maps(self, residuals: np.ndarray) -> np.ndarray:
        """Say where images differ more from their reconstructions than normal ones do there.

        Residuals are averaged over the channels and smoothed, then compared with those of the
        held-out normal images pixel by pixel: an edge that is never rebuilt well is not hot for
        that. The scale is the detector's, not the image's, so that pictures can be compared.

        Args:
            residuals: float32 `(n, image_size, image_size, channels)`, of a `Detection`.

        Returns:
            float32 `(n, image_size, image_size)`, 0 and up. Of normal images, as many have a pixel
            of 1 or more as `calibrate_on` was allowed false alarms.
        """
        return predict(self._heat, residuals)[0]

    def calibrate_on(self, normal: Detection, false_alarm_rate: float = 0.05) -> None:
        """Choose threshold and scale of the heat maps, by normal images not trained on.

        Every image's heat is measured by the mean and the deviation of all the others, or it would
        look cooler than that of a new image.

        Args:
            normal: what `ganomaly` said of these images.
            false_alarm_rate: share of normal images that may be called anomalies, 0..1.

        Raises:
            GanlibError: the images are too few for the rate, see `ganlib.evaluation`.
        """
        maps = predict(lambda part: _smooth(part, self.image_size), normal.residuals)[0]
        highest = _highest_left_out(maps.astype("float64"))
        unit = quantile_threshold(highest, false_alarm_rate)
        scores = normal.scores if self.score == "latent" else (highest / unit).astype("float32")
        self.calibrate(scores, false_alarm_rate)
        self.normal_scores = np.sort(scores)
        self.residual_mean.assign(maps.mean(axis=0, dtype="float64"))
        deviations = maps.std(axis=0, ddof=1, dtype="float64")
        self.residual_deviation.assign(_floored(deviations))
        self.heat_unit.assign(unit)

    def above(self, scores: np.ndarray) -> np.ndarray:
        """Say where scores stand among those of the held-out normal images.

        Args:
            scores: `(n,)`.

        Returns:
            float64 `(n,)`, share of the held-out normal images with a lower score, 0..1.
        """
        return np.searchsorted(self.normal_scores, scores) / max(1, len(self.normal_scores))

    def get_compile_config(self):
        """Save no optimiser: there is nothing to train."""
        return None

    def get_config(self):
        """Return the arguments of `__init__`."""
        return {
            **super().get_config(),
            "ganomaly": self.ganomaly.get_config(),
            "card": dict(self.card),
            "score": self.score,
            "normal_scores": self.normal_scores.tolist(),
        }

    @classmethod
    def from_config(cls, config):
        """Make the model that `get_config` describes; loading then fills in the weights."""
        return cls(**{**config, "ganomaly": GANomaly.from_config(config["ganomaly"])})


def _smooth(residuals, image_size: int):
    """Average over the channels and smooth: `(n, h, w, c)` to `(n, h, w)`."""
    sigma = image_size * SMOOTHING
    places = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
    weights = np.exp(-0.5 * (places / sigma) ** 2)
    weights = (weights / weights.sum()).astype("float32")
    maps = ops.mean(ops.cast(residuals, "float32"), axis=-1, keepdims=True)
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):  # a Gauss is one of rows after one of columns
        kernel = ops.convert_to_tensor(weights.reshape(shape))
        # Of depth one it is the same as `conv`, but exporting can tell it from the networks' own.
        maps = ops.depthwise_conv(maps, kernel, padding="same", data_format="channels_last")
    return maps[..., 0]


def _floored(deviations: np.ndarray) -> np.ndarray:
    """Keep a pixel at which the few normal images happen to agree from being hot for nothing."""
    typical = np.median(deviations, axis=(-2, -1), keepdims=True)
    return np.maximum(deviations, np.maximum(typical, 1.0))


def _highest_left_out(maps: np.ndarray) -> np.ndarray:
    """Say how hot each map is at its hottest, measured by all the others: `(n,)` of `(n, h, w)`."""
    n, mean = len(maps), maps.mean(axis=0)
    squares = ((maps - mean) ** 2).sum(axis=0)
    highest = np.empty(n)
    for index, one in enumerate(maps):
        rest = one - mean
        without = np.maximum(squares - rest**2 * n / (n - 1), 0)
        deviation = _floored(np.sqrt(without / max(1, n - 2)))
        # Of the mean without it, it is n / (n - 1) times as far away.
        highest[index] = (rest * n / (n - 1) / deviation).max()
    return np.maximum(highest, 1e-6)  # a unit must not be 0
