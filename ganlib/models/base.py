"""What all models share: arguments that are kept, scaling, named loss terms, answers as a detector.

A model is one file: a subclass of `AnomalyModel` that says how it calls, which terms its loss has
and how it scores. It can then be trained, saved, calibrated, wrapped in a `Detector` and compared,
without any other file being touched; `autoencoder.py` is the shortest example.
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
METHODS: dict[str, type["AnomalyModel"]] = {}  # the name of a method -> its class

# With TensorFlow's generators glibc gives freed memory back at once; to take it again is a third of
# an epoch of small networks: let each thread keep some (M_TOP_PAD, bytes).
with contextlib.suppress(OSError, AttributeError, TypeError):  # other C libraries have no such need
    ctypes.CDLL(None).mallopt(-2, 128 * 2**20)


def scale(images):
    """Map pixels 0..255 of any number type to float32 -1..1, the range of tanh."""
    return ops.cast(images, "float32") / HALF_RANGE - 1.0


class Trainable(keras.Model):
    """A Keras model that takes uint8 images and learns from a weighted sum of named terms.

    Subclasses write `forward` and `terms`. Their constructor arguments are kept, so `get_config`
    and `from_config` come by themselves; an argument may be a `Trainable` or a list of them.

    Args:
        term_weights: name of a term of the loss to its weight. `fit` reports each term, unweighted,
            as `<name>_loss`.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable(cls.__module__.split(".")[0])(cls)

    def __new__(cls, *args, **kwargs):
        """Keep the arguments."""
        model = super().__new__(cls, *args, **kwargs)
        arguments = inspect.signature(cls.__init__).bind(model, *args, **kwargs)
        arguments.apply_defaults()
        arguments = dict(list(arguments.arguments.items())[1:])
        arguments |= arguments.pop("kwargs", {})
        arguments = {name: _description(value) for name, value in arguments.items()}
        object.__setattr__(model, "_arguments", arguments)  # not to be tracked by Keras
        return model

    def __init__(self, term_weights: Mapping[str, float] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.term_weights = dict(term_weights or {})
        self.term_metrics = {n: keras.metrics.Mean(name=f"{n}_loss") for n in self.term_weights}
        self.built = True  # as its networks are

    def call(self, images, training=None):
        """Scale images `(n, height, width, channels)`, 0..255, and pass them to `forward`."""
        return self.forward(devices.split_rows(scale(images)), training)

    def forward(self, images, training=None) -> dict:
        """Compute from images -1..1 their "reconstruction" -1..1, and what else is needed.

        A model that knows better than |x - reconstruction| where an image is not normal returns it
        as "residual" `(n, height, width, 1)`, 0 and up.
        """
        raise NotImplementedError

    def terms(self, images, outputs: dict) -> dict:
        """Compute the terms of the loss, name to scalar, from images -1..1 and the outputs."""
        raise NotImplementedError

    def lessons(self, images) -> Callable | None:
        """Return the `transform` of `Batches` by which it learns; `images` are some to look at."""
        return None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Weight and add the terms of one batch; targets, if there are any, are an output."""
        terms = self.terms(scale(x), y_pred if y is None else {**y_pred, "target": y})
        for name, value in terms.items():
            self.term_metrics[name].update_state(value)
        loss = sum(self.term_weights[name] * value for name, value in terms.items())
        return loss / devices.replicas()

    def make_train_function(self, force: bool = False):
        """Make Adam's variables first: TensorFlow would throw away the trace that makes them."""
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
    """Build a model of this process from the name it is registered by and plain arguments."""
    cls = keras.saving.get_registered_object(registered_name)
    if not (isinstance(cls, type) and issubclass(cls, Trainable)):
        found = f"{str(registered_name)[:80]!r} is not a model that ganlib knows"
        advice = "import it first, or name its file in the environment variable GANLIB_MODELS"
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
    """A model that scores images. Subclasses also write `score`.

    `thresholds`, set by `calibrate`, are by the name of the rule; `about` holds arguments that
    training may change, also for the card of a detector.
    """

    method: str | None = None  # in tables and on the command line; None: not in `METHODS`
    family = "GAN"  # or "features" or "baseline"
    batch = BATCH  # images per pass of `detect`
    stages = 1  # how many models `train` fits, one after the other; they share a time limit
    default_image_size: int | None = None  # the size that suits it in a `Detector`; None: any
    scored_by = "heat"  # what a `Detector` goes by: the hottest place; or "own", by `score`
    any_scale = False  # whether `detect` accepts floats of any scale, as `ganlib.errata` needs

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
        """Compute A(x) `(n,)`, 0 and up, from images -1..1 and the outputs."""
        raise NotImplementedError

    def detect(self, images: np.ndarray) -> Detection:
        """Score images, uint8 `(n, image_size, image_size, channels)`, each by itself."""
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
        # TensorFlow repeats them for each device that the model was built on.
        outputs = keras.tree.map_structure(lambda each: each[: len(batch)], answers)
        named = (outputs[name] for name in ("reconstruction", "residual") if name in outputs)
        return self.score(scale(batch), outputs), *named

    def calibrate(
        self, normal_scores: np.ndarray, false_alarm_rate: float = 0.05, deviations: float = 3.0
    ) -> None:
        """Choose thresholds, see `ganlib.evaluation`, by scores of normal images it never saw."""
        self.thresholds = evaluation.fit_thresholds(normal_scores, false_alarm_rate, deviations)

    def is_anomaly(self, images: np.ndarray, rule: str = "quantile") -> np.ndarray:
        """Tell which images `(n,)` have a score at or above the threshold of the rule."""
        if self.thresholds is None:
            advice = "call calibrate(scores) with its scores of normal images that it never saw"
            raise GanlibError(f"This model has no threshold yet: {advice}, then save it.")
        if rule not in self.thresholds:
            raise GanlibError(f"rule is {rule!r}: choose one of {', '.join(self.thresholds)}.")
        return self.detect(images).scores.astype("float64") >= self.thresholds[rule]

    def get_config(self):
        """Add the thresholds."""
        thresholds = None if self.thresholds is None else dict(self.thresholds)
        return {**super().get_config(), **self.about, "thresholds": thresholds}


def predict(answer: Callable, images: np.ndarray, size: int = BATCH, *others: np.ndarray):
    """Compute answers batch by batch, as `model.predict`; `others` are divided as images are.

    Backends add up in another order for another number of images. So the last batch is filled up,
    and on processors with AVX-512 an image's answer has the same bits alone and in any company.
    """
    answers, n = [], len(images)
    for start in range(0, n, size):
        rows = np.minimum(np.arange(start, start + size), n - 1)  # the last one again
        found = answer(*(np.asarray(each[rows]) for each in (images, *others)))
        answers.append(
            keras.tree.map_structure(lambda each: ops.convert_to_numpy(each)[:size], found)
        )
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts)[:n], *answers)


def gaussian(size: int, sigma: float) -> np.ndarray:
    """Return the `(size, size)` that smooths with a Gaussian, cut at 3 sigma; outside is 0."""
    apart = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-0.5 * (apart / sigma) ** 2) * (abs(apart) <= round(3 * sigma))
    return (weights / weights.sum(axis=1).max()).astype("float32")


def bilinear(size: int, small: int) -> np.ndarray:
    """Return the `(size, small)` that enlarges as `keras.ops.image.resize` does."""
    places = np.clip((np.arange(size) + 0.5) * small / size - 0.5, 0, small - 1)
    return np.maximum(1 - abs(places[:, np.newaxis] - np.arange(small)), 0).astype("float32")


def along_both(matrix: np.ndarray, maps):
    """Apply a matrix `(m, h)` to columns and rows of maps `(n, h, h)`: `(n, m, m)`."""
    return ops.matmul(ops.matmul(matrix, maps), matrix.T)


def feed(batches: keras.utils.PyDataset):
    """Make of batches what `fit(..., shuffle=False)` takes without waiting after every epoch.

    `tf.data` tunes its pipeline in a thread, for whose next look an epoch's end waits. Keras cannot
    switch that off, so this makes the `tf.data.Dataset` itself; other backends get the batches.
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
