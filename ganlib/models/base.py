"""Base classes of all models: saved arguments, scaling, named loss terms and detection.

A model is one file: a subclass of `AnomalyModel` that defines its forward pass, its loss terms and
its score. It can then be trained, saved, calibrated, wrapped in a `Detector` and compared without
changes to any other file. `autoencoder.py` is the shortest example.
"""

import contextlib
import ctypes
import inspect
from collections.abc import Callable, Mapping

import keras
import numpy as np
from keras import ops

from ganlib import evaluation
from ganlib.errors import GanlibError
from ganlib.models import devices
from ganlib.models.detection import HALF_RANGE, Detection, check_images, residual, unscale

BATCH = 32  # images per pass of `predict`
METHODS: dict[str, type["AnomalyModel"]] = {}  # name of a method -> its class

# With TensorFlow's generators, glibc returns freed memory at once. Requesting it again takes
# a third of an epoch of small networks, so let each thread keep some (M_TOP_PAD, bytes).
with contextlib.suppress(OSError, AttributeError, TypeError):  # other C libraries do not need this
    ctypes.CDLL(None).mallopt(-2, 128 * 2**20)


def scale(images):
    """Map pixels 0..255 of any number type to float32 -1..1, the range of tanh."""
    return ops.cast(images, "float32") / HALF_RANGE - 1.0


class Trainable(keras.Model):
    """A Keras model that takes uint8 images and minimizes a weighted sum of named loss terms.

    Subclasses implement `forward` and `terms`. Constructor arguments are saved automatically for
    `get_config` and `from_config`. An argument may be a `Trainable` or a list of them.

    Args:
        term_weights: weights of the loss terms by name. `fit` reports each term, unweighted, as
            `<name>_loss`.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable(cls.__module__.split(".")[0])(cls)

    def __new__(cls, *args, **kwargs):
        """Save the constructor's arguments."""
        model = super().__new__(cls, *args, **kwargs)
        arguments = inspect.signature(cls.__init__).bind(model, *args, **kwargs)
        arguments.apply_defaults()
        arguments = dict(list(arguments.arguments.items())[1:])
        arguments |= arguments.pop("kwargs", {})
        arguments = {name: _description(value) for name, value in arguments.items()}
        object.__setattr__(model, "_arguments", arguments)  # bypasses tracking by Keras
        return model

    def __init__(self, term_weights: Mapping[str, float] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.term_weights = dict(term_weights or {})
        self.term_metrics = {n: keras.metrics.Mean(name=f"{n}_loss") for n in self.term_weights}
        self.built = True  # its networks are built

    def call(self, images, training=None):
        """Scale images `(n, height, width, channels)`, 0..255, and pass them to `forward`."""
        return self.forward(devices.split_rows(scale(images)), training)

    def forward(self, images, training=None) -> dict:
        """Return the "reconstruction", -1..1, of images -1..1, and any other outputs needed.

        A model with a better anomaly map than |x - reconstruction| returns it as "residual",
        `(n, height, width, 1)`, at least 0.
        """
        raise NotImplementedError

    def terms(self, images, outputs: dict) -> dict:
        """Compute the loss terms, name to scalar, from images -1..1 and the outputs."""
        raise NotImplementedError

    def lessons(self, images) -> Callable | None:
        """Return the `transform` of the training `Batches`, or None; `images` are a sample."""
        return None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the weighted sum of the terms. `terms` gets targets, if any, as an output."""
        terms = self.terms(scale(x), y_pred if y is None else {**y_pred, "target": y})
        for name, value in terms.items():
            self.term_metrics[name].update_state(value)
        loss = sum(self.term_weights[name] * value for name, value in terms.items())
        return loss / devices.replicas()

    def make_train_function(self, force: bool = False):
        """Build the optimizer first: TensorFlow would discard a trace that creates variables."""
        self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def get_config(self):
        """Return the constructor's arguments as plain values."""
        return {**self._arguments, "name": self.name, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config):
        """Build the model that `get_config` describes."""
        return cls(**{name: _described(value) for name, value in config.items()})


def construct(registered_name: str, config: dict) -> Trainable:
    """Build a model from its name, registered in this process, and its plain arguments."""
    cls = keras.saving.get_registered_object(registered_name)
    if not (isinstance(cls, type) and issubclass(cls, Trainable)):
        found = f"{str(registered_name)[:80]!r} is not a registered model"
        advice = "import it first or list its file in the environment variable GANLIB_MODELS"
        raise GanlibError(f"{found}. If it is your own, {advice}.")
    return cls.from_config(config)


def _description(value):
    if isinstance(value, list):
        return [_description(each) for each in value]
    if not isinstance(value, Trainable):
        return value
    name = keras.saving.get_registered_name(type(value))
    return {"registered_name": name, "config": value.get_config()}


def _described(value):
    if isinstance(value, list):
        return [_described(each) for each in value]
    if isinstance(value, dict) and set(value) == {"registered_name", "config"}:
        return construct(**value)
    return value


class AnomalyModel(Trainable):
    """A model that scores images. Subclasses also implement `score`.

    `thresholds` maps a rule to its threshold and is set by `calibrate`. `about` holds arguments
    that training may change; the card of a detector includes them.
    """

    method: str | None = None  # name in tables and on the command line; None: not in `METHODS`
    family = "GAN"  # or "features" or "baseline"
    batch = BATCH  # images per pass of `detect`
    stages = 1  # models that `train` fits one after another; they share a time limit
    default_image_size: int | None = None  # recommended size in a `Detector`; None: any
    scored_by = "heat"  # how a `Detector` scores: by the hottest place, or "own": by `score`
    any_scale = False  # whether `detect` accepts floats of any scale, for `ganlib.errata`

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.__dict__.get("method"):
            METHODS[cls.method] = cls

    def __init__(
        self,
        image_size: int,
        channels: int,
        term_weights: Mapping[str, float] | None = None,
        thresholds: dict[str, float] | None = None,
        **kwargs,
    ):
        super().__init__(term_weights, **kwargs)
        self.image_size, self.channels, self.thresholds = image_size, channels, thresholds
        self.about: dict[str, str | bool | None] = {}

    @classmethod
    def train(cls, fit: Callable[[Trainable], object], **sizes) -> "AnomalyModel":
        """Build a model of these sizes (image_size, channels, latent_dim, filters) and fit it."""
        model = cls(**sizes)
        fit(model)
        return model

    def score(self, images, outputs: dict):
        """Compute A(x) `(n,)`, at least 0, from images -1..1 and the outputs."""
        raise NotImplementedError

    def detect(self, images: np.ndarray) -> Detection:
        """Score images, uint8 `(n, image_size, image_size, channels)`, independently."""
        images = self.check_images(images)
        scores, reconstructions, *own = predict(self._answers, images, self.batch)
        residuals = own[0] if own else residual(images, reconstructions)
        return Detection(scores, unscale(reconstructions), residuals)

    def check_images(self, images: np.ndarray) -> np.ndarray:
        """Validate images for this model."""
        shape = (self.image_size, self.image_size, self.channels)
        return check_images(images, shape, self.any_scale)

    def _answers(self, batch: np.ndarray) -> tuple:
        answers = self.predict_on_batch(batch)
        # TensorFlow repeats the outputs for each device that the model was built on.
        outputs = keras.tree.map_structure(lambda each: each[: len(batch)], answers)
        named = (outputs[name] for name in ("reconstruction", "residual") if name in outputs)
        return self.score(scale(batch), outputs), *named

    def calibrate(
        self, normal_scores: np.ndarray, false_alarm_rate: float = 0.05, deviations: float = 3.0
    ) -> None:
        """Set thresholds from scores of normal images not trained on; see `ganlib.evaluation`."""
        self.thresholds = evaluation.fit_thresholds(normal_scores, false_alarm_rate, deviations)

    def is_anomaly(self, images: np.ndarray, rule: str = "quantile") -> np.ndarray:
        """Return bool `(n,)`: whether each score is at or above the threshold of the rule."""
        if self.thresholds is None:
            advice = "call calibrate(scores) with scores of normal images it was not trained on"
            raise GanlibError(f"This model has no threshold yet: {advice}, then save it.")
        if rule not in self.thresholds:
            raise GanlibError(f"rule is {rule!r}: choose one of {', '.join(self.thresholds)}.")
        return self.detect(images).scores.astype("float64") >= self.thresholds[rule]

    def get_config(self):
        """Add `about` and the thresholds."""
        thresholds = None if self.thresholds is None else dict(self.thresholds)
        return {**super().get_config(), **self.about, "thresholds": thresholds}


def predict(answer: Callable, images: np.ndarray, size: int = BATCH, *others: np.ndarray):
    """Call `answer` batch by batch, like `model.predict`; `others` are split like `images`.

    Backends sum in a different order for a different batch size, so the last batch is padded. On
    processors with AVX-512, an image's result is then bit-identical alone or in any batch.
    """
    answers, n = [], len(images)
    for start in range(0, n, size):
        rows = np.minimum(np.arange(start, start + size), n - 1)  # repeat the last one
        found = answer(*(np.asarray(each[rows]) for each in (images, *others)))
        answers.append(
            keras.tree.map_structure(lambda each: ops.convert_to_numpy(each)[:size], found)
        )
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts)[:n], *answers)


def gaussian(size: int, sigma: float) -> np.ndarray:
    """Return the `(size, size)` matrix of a Gaussian filter, cut at 3 sigma, zero-padded."""
    apart = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-0.5 * (apart / sigma) ** 2) * (abs(apart) <= round(3 * sigma))
    return (weights / weights.sum(axis=1).max()).astype("float32")


def bilinear(size: int, small: int) -> np.ndarray:
    """Return the `(size, small)` matrix that enlarges like `keras.ops.image.resize`."""
    places = np.clip((np.arange(size) + 0.5) * small / size - 0.5, 0, small - 1)
    return np.maximum(1 - abs(places[:, np.newaxis] - np.arange(small)), 0).astype("float32")


def along_both(matrix: np.ndarray, maps):
    """Apply a matrix `(m, h)` to columns and rows of maps `(n, h, h)`; return `(n, m, m)`."""
    return ops.matmul(ops.matmul(matrix, maps), matrix.T)


def feed(batches: keras.utils.PyDataset):
    """Prepare batches for `fit(..., shuffle=False)`, without a wait after every epoch.

    `tf.data` tunes its pipeline in a thread, and the end of an epoch waits for its next check.
    Keras cannot turn this off, so build the `tf.data.Dataset` here. Other backends use the batches.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    def generate():
        batches.on_epoch_begin()
        for index in range(len(batches)):
            yield batches[index]
        batches.on_epoch_end()

    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), batches[0]
    )
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
