"""AnoGAN: the search for the latent vector whose image is nearest to the image in question."""

import zlib
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from ganlib.errors import GanlibError
from ganlib.models import losses
from ganlib.models.calibrated import Calibrated
from ganlib.models.detection import Detection, check_images
from ganlib.models.feed import feed
from ganlib.models.frozen import frozen_copy, networks_of
from ganlib.models.pixels import residual, scale, unscale

# name of the prior -> method of a NumPy generator that draws from it
PRIORS = {"normal": "standard_normal", "uniform": "random"}


@keras.saving.register_keras_serializable(package="ganlib")
class AnoGAN(Calibrated, keras.Model):
    """Step 2 of AnoGAN: generator and discriminator are frozen, and z is searched image by image.

    The only trainable weight is z, one row per image of a batch. The loss is a sum over the images
    and Adam treats every value by itself, so a batch searches for each image exactly what a search
    for it alone would. A search begins anew for each image: its first z depends on the image's
    pixels and the seed, or on the encoder, alone, and Adam's moments start from zero. The last
    batch is filled up, so that every search runs the same compiled step.

    The steps run in rounds. After each, images that have converged leave, and the others are packed
    into full batches again, each with the z and the moments that it had: none is changed by it.

    Args:
        generator: a trained generator, z `(n, latent_dim)` to images in -1..1. It is copied.
        discriminator: its discriminator, images to [features, logits]. It is copied.
        discrimination_weight: lambda, 0..1, of the discrimination loss.
        steps: updates of z for each image, at most. 0 takes the first z as it is.
        learning_rate: Adam's step on z.
        prior: what the first z is drawn from, "normal" N(0, 1), as in the training of `DCGAN`, or
            "uniform" U(0, 1), as in the published notebooks.
        batch_size: images that are searched at once. It changes speed and memory, and scores by
            rounding alone. For one batch size, scores have the same bits alone, in any order and in
            any chunks (on processors with AVX-512; on others they agree to 1e-5).
        seed: seed of the first z.
        encoder: gives the first z, images in -1..1 to `(n, latent_dim)`, in place of the prior:
            `FAnoGAN.encoder`. It is copied.
        tolerance: an image leaves after a round that lowered its objective by less than this share.
            0 or less: only after all steps.
        round_steps: steps of a round.
        thresholds: see `Calibrated`.
        dtype: Keras's policy, what the networks compute in; "mixed_bfloat16" is faster where the
            processor has it. z, objectives and scores stay float32.

    Raises:
        GanlibError: the prior is none of the two, or the steps are not whole rounds while images
            may leave.

    Example:
        >>> anogan = AnoGAN(dcgan.generator, dcgan.discriminator)
        >>> scores, reconstructions, residuals = anogan.detect(images)

    Reference:
        Paper, section 3; Schlegl et al. 2017. Deviation: Adam works on z itself. The published
        notebooks train a dense layer in front of the generator instead and carry it from image to
        image.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        discrimination_weight: float = 0.1,
        steps: int = 200,
        learning_rate: float = 0.1,
        prior: str = "normal",
        batch_size: int = 32,
        seed: int = 0,
        encoder: keras.Model | None = None,
        tolerance: float = 0.0,
        round_steps: int = 50,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if prior not in PRIORS:
            raise GanlibError(f"prior is {prior!r}: choose one of {', '.join(PRIORS)}.")
        self.generator = frozen_copy(generator, self.dtype_policy)
        self.discriminator = frozen_copy(discriminator, self.dtype_policy)
        self.encoder = None if encoder is None else frozen_copy(encoder, self.dtype_policy)
        self.discrimination_weight = discrimination_weight
        self.steps = steps
        self.learning_rate = learning_rate
        self.prior = prior
        self.batch_size = batch_size
        self.seed = seed
        self.latent_dim = generator.input_shape[-1]
        self.tolerance = tolerance
        self.round_steps = round_steps if tolerance > 0 else max(1, steps)
        if steps % self.round_steps:
            raise GanlibError(
                f"steps is {steps}, but images leave after rounds of {round_steps}: choose a "
                "multiple of it, another round_steps, or tolerance 0."
            )
        self.latents = self._rows((self.latent_dim,), "latents", trainable=True)
        self.targets = self._rows(self.generator.output.shape[1:], "targets")
        self.target_features = self._rows(self.discriminator.output[0].shape[1:], "features")
        self.objectives = self._rows((self.round_steps,), "objectives")
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
        )
        self._compile()
        self.built = True  # as its networks are

    def _rows(self, shape: tuple, name: str, trainable: bool = False):
        """Make a variable with one row per image of the batch."""
        shape = (self.batch_size, *shape)
        return self.add_weight(shape=shape, initializer="zeros", trainable=trainable, name=name)

    def _compile(self):
        # One call runs a whole round on the device. torch cannot.
        looped = keras.backend.backend() != "torch"
        self.compile(
            keras.optimizers.Adam(self.learning_rate),
            steps_per_execution=self.round_steps if looped else 1,
        )
        self.optimizer.build(self.trainable_variables)

    def call(self, inputs, training=None):
        """Make the images that the present z stand for.

        Args:
            inputs: not used: the answer depends on z alone.
            training: not used, the networks are frozen.

        Returns:
            G(z) `(batch_size, image_size, image_size, channels)`, -1..1, and f(G(z)).
        """
        reconstructions = self.generator(self.current_latents(), training=False)
        features, _ = self.discriminator(reconstructions, training=False)
        return reconstructions, features

    def current_latents(self):
        """Return the present z of each image of the batch, `(batch_size, latent_dim)`."""
        return ops.convert_to_tensor(self.latents)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Sum the objective L(z) over the images of the batch."""
        reconstructions, features = y_pred
        objective = self._objective(
            ops.convert_to_tensor(self.targets),
            ops.convert_to_tensor(self.target_features),
            reconstructions,
            features,
        )
        now = ops.arange(self.round_steps) == self.step
        recorded = ops.convert_to_tensor(self.objectives)
        self.objectives.assign(ops.where(now, objective[:, None], recorded))
        self.step.assign(self.step + 1)
        return ops.sum(objective)

    def _objective(self, images, image_features, reconstructions, features):
        return losses.anogan_score(
            losses.residual_loss(images, reconstructions),
            losses.discrimination_loss(image_features, features),
            self.discrimination_weight,
        )

    def search(self, images: np.ndarray, record_every: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Search z for each image.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.
            record_every: steps between two records of the objective.

        Returns:
            float32 `(n, latent_dim)`, the z found, and float32 `(records, n)`, the objective L(z)
            before steps 0, record_every, 2 record_every, ...; for an image that has left, the last
            one recorded.

        Raises:
            GanlibError: the images are none that the model takes, see `ganlib.models.detection`.
        """
        images = check_images(images, self.generator.output_shape[1:], self.any_scale)
        state = [np.zeros((len(images), self.latent_dim), "float32") for _ in self._state()]
        for rows, batch in self._batches(np.arange(len(images)), images):
            state[0][rows] = self._first_latents(batch)[: len(rows)]
        latents = state[0].copy()
        objectives = np.zeros((len(range(0, self.steps, record_every)), len(images)), "float32")
        lowest = np.full(len(images), np.inf, "float32")
        active = np.arange(len(images))
        for begun in range(0, self.steps, self.round_steps):
            recorded = np.arange(begun, begun + self.round_steps) % record_every == 0
            first = -(-begun // record_every)
            reached = np.empty(len(images), "float32")
            for rows, batch in self._batches(active, images):
                self._restore([self._filled(each[rows]) for each in state], begun)
                trace = self._run_round(batch)[: len(rows)]
                for each, variable in zip(state, self._state(), strict=True):
                    each[rows] = ops.convert_to_numpy(variable.value)[: len(rows)]
                latents[rows] = ops.convert_to_numpy(self.current_latents())[: len(rows)]
                reached[rows] = trace.min(axis=1)
                kept = trace[:, recorded].T
                objectives[first : first + len(kept), rows] = kept
                objectives[first + len(kept) :, rows] = kept[-1:] if len(kept) else trace[:, -1]
            before = np.where(np.isinf(lowest), objectives[0], lowest)[active]
            lowest[active] = np.minimum(before, reached[active])
            if self.tolerance > 0:
                active = active[lowest[active] < (1 - self.tolerance) * before]
        return latents, objectives

    def _state(self) -> list:
        """List what a search changes in every step: z and Adam's moments."""
        shape = self.latents.shape
        return [self.latents, *(v for v in self.optimizer.variables if v.shape == shape)]

    def _restore(self, state: list[np.ndarray], steps_done: int) -> None:
        """Go on where the images of this batch were."""
        for variable, value in zip(self._state(), state, strict=True):
            variable.assign(value)
        self.optimizer.iterations.assign(steps_done)

    def _run_round(self, batch: np.ndarray) -> np.ndarray:
        """Run a round's steps on the device; returns the objectives `(batch_size, steps)`."""
        targets = scale(batch)
        self.targets.assign(targets)
        self.target_features.assign(self.discriminator.predict_on_batch(targets)[0])
        self.step.assign(0)
        self.fit(feed(_Ticks(self.round_steps)), shuffle=False, verbose=0)
        return ops.convert_to_numpy(self.objectives.value)

    def detect(self, images: np.ndarray) -> Detection:
        """Score images: search z for each, then A(x) of the best image found.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.

        Returns:
            A `Detection` for the n images, in their order.

        Raises:
            GanlibError: the images are none that the model takes, see `ganlib.models.detection`.
        """
        return self.score(images, self.search(images)[0])

    def score(self, images: np.ndarray, latents: np.ndarray) -> Detection:
        """Score images against the z found for them.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.
            latents: float32 `(n, latent_dim)`, from `search`.

        Returns:
            A `Detection` for the n images, in their order.

        Raises:
            GanlibError: the images are none that the model takes, see `ganlib.models.detection`, or
                the z are not theirs.
        """
        images = check_images(images, self.generator.output_shape[1:], self.any_scale)
        if np.shape(latents) != (len(images), self.latent_dim):
            raise GanlibError(
                f"latents has the shape {np.shape(latents)}, expected "
                f"{(len(images), self.latent_dim)}: one z for every image, as `search` returns."
            )
        scores = np.zeros(len(images), "float32")
        values = np.zeros(images.shape, "float32")
        for rows, batch in self._batches(np.arange(len(images)), images):
            targets = scale(batch)
            reconstructions = self.generator.predict_on_batch(self._filled(latents[rows]))
            batch_scores = self._objective(
                targets,
                self.discriminator.predict_on_batch(targets)[0],
                reconstructions,
                self.discriminator.predict_on_batch(reconstructions)[0],
            )
            scores[rows] = ops.convert_to_numpy(batch_scores)[: len(rows)]
            values[rows] = reconstructions[: len(rows)]
        return Detection(scores, unscale(values), residual(images, values))

    def _batches(self, rows: np.ndarray, images: np.ndarray) -> Iterator[tuple]:
        """Yield row numbers and their images, filled up to the batch size."""
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            yield batch, self._filled(np.asarray(images[batch]))

    def _filled(self, rows: np.ndarray) -> np.ndarray:
        """Repeat the last row up to the batch size, so that no other shape is ever compiled."""
        return np.pad(rows, [(0, self.batch_size - len(rows))] + [(0, 0)] * (rows.ndim - 1), "edge")

    def _first_latents(self, batch: np.ndarray) -> np.ndarray:
        if self.encoder is not None:
            return self.encoder.predict_on_batch(scale(batch))
        first = []
        for image in batch:
            random = np.random.default_rng([self.seed, zlib.crc32(image.tobytes())])
            first.append(getattr(random, PRIORS[self.prior])(self.latent_dim, dtype="float32"))
        return np.stack(first)

    def save_own_variables(self, store):
        """Save nothing of its own: the networks are saved, and a search begins anew."""

    def load_own_variables(self, store):
        """Load nothing, see `save_own_variables`."""

    def get_compile_config(self):
        """Save no optimiser: every search makes its own anew, with the learning rate given."""
        return None

    def get_config(self):
        """Return the arguments of `__init__`."""
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "encoder": self.encoder and keras.saving.serialize_keras_object(self.encoder),
            "discrimination_weight": self.discrimination_weight,
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "prior": self.prior,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "tolerance": self.tolerance,
            "round_steps": self.round_steps,
        }

    @classmethod
    def from_config(cls, config):
        """Make the model that `get_config` describes; loading then fills in the weights."""
        return cls(**networks_of(config, "generator", "discriminator", "encoder"))


class _Ticks(keras.utils.PyDataset):
    """So many batches of nothing: the search has its images in its variables."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps = steps

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        return (np.zeros((1, 1), "float32"),)
