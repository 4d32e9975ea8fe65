"""AnoGAN: the search for the latent vector whose image is nearest to the image in question."""

import zlib

import keras
import numpy as np
from keras import ops

from ganlib import losses
from ganlib.detection import Detection
from ganlib.errors import GanlibError
from ganlib.models.calibrated import Calibrated
from ganlib.pixels import residual, scale, unscale

# name of the prior -> method of a NumPy generator that draws from it
PRIORS = {"normal": "standard_normal", "uniform": "random"}


@keras.saving.register_keras_serializable(package="ganlib")
class AnoGAN(Calibrated, keras.Model):
    """Step 2 of AnoGAN: generator and discriminator are frozen, and z is searched image by image.

    The only trainable weight is z, one row per image of a batch. The loss is a sum over the images
    and Adam treats every value by itself, so a batch searches for each image exactly what a search
    for it alone would. A search begins anew for each image: its first z depends on the seed and the
    image's pixels alone, and Adam's moments start from zero. The last batch is filled up, so that
    every search runs the same compiled step.

    Args:
        generator: a trained generator, z `(n, latent_dim)` to images in -1..1. It is copied.
        discriminator: its discriminator, images to [features, logits]. It is copied.
        discrimination_weight: lambda, 0..1, of the discrimination loss.
        steps: updates of z for each image.
        learning_rate: Adam's step on z.
        prior: what the first z is drawn from, "normal" N(0, 1), as in the training of `DCGAN`, or
            "uniform" U(0, 1), as in the published notebooks.
        batch_size: images that are searched at once. It changes speed and memory, not scores.
        seed: seed of the first z.
        thresholds: see `Calibrated`.

    Raises:
        GanlibError: the prior is none of the two.

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
        **kwargs,
    ):
        super().__init__(**kwargs)
        if prior not in PRIORS:
            raise GanlibError(f"prior is {prior!r}: choose one of {', '.join(PRIORS)}.")
        self.generator = _frozen_copy(generator)
        self.discriminator = _frozen_copy(discriminator)
        self.discrimination_weight = discrimination_weight
        self.steps = steps
        self.learning_rate = learning_rate
        self.prior = prior
        self.batch_size = batch_size
        self.seed = seed
        self.latent_dim = generator.input_shape[-1]
        self.latents = self.add_weight(
            shape=(batch_size, self.latent_dim), initializer="zeros", name="latents"
        )
        self.objective = self.add_weight(
            shape=(batch_size,), initializer="zeros", trainable=False, name="objective"
        )
        self.compile(keras.optimizers.Adam(learning_rate))
        self.optimizer.build([self.latents])
        self.fresh_optimizer = [ops.convert_to_numpy(v) for v in self.optimizer.variables]
        self.built = True  # as its networks are

    def call(self, inputs, training=None):
        """Make the images that the present z stand for.

        Args:
            inputs: the targets, not used: the answer depends on z alone.
            training: not used, the networks are frozen.

        Returns:
            G(z) `(batch_size, image_size, image_size, channels)`, -1..1, and f(G(z)).
        """
        return self._make(self.current_latents())

    def current_latents(self):
        """Return the present z of each image of the batch, `(batch_size, latent_dim)`."""
        return ops.convert_to_tensor(self.latents)

    def _make(self, latents):
        reconstructions = self.generator(latents, training=False)
        features, _ = self.discriminator(reconstructions, training=False)
        return reconstructions, features

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Sum the objective L(z) over the images of the batch."""
        images, features = x
        reconstructions, reconstruction_features = y_pred
        objective = losses.anogan_score(
            losses.residual_loss(images, reconstructions),
            losses.discrimination_loss(features, reconstruction_features),
            self.discrimination_weight,
        )
        self.objective.assign(objective)
        return ops.sum(objective)

    def search(self, images: np.ndarray, record_every: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Search z for each image.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.
            record_every: steps between two records of the objective.

        Returns:
            float32 `(n, latent_dim)`, the z found, and float32 `(records, n)`, the objective L(z)
            before steps 0, record_every, 2 record_every, ...
        """
        latents = np.zeros((len(images), self.latent_dim), "float32")
        records = len(range(0, self.steps, record_every))
        objectives = np.zeros((records, len(images)), "float32")
        for rows, batch in self._batches(images):
            targets = scale(batch)
            features, _ = self.discriminator(targets, training=False)
            self._start(batch)
            for step in range(self.steps):
                self.train_on_batch((targets, features))
                if step % record_every == 0:
                    objective = ops.convert_to_numpy(self.objective.value)
                    objectives[step // record_every, rows] = objective[: len(latents[rows])]
            latents[rows] = ops.convert_to_numpy(self.current_latents())[: len(latents[rows])]
        return latents, objectives

    def detect(self, images: np.ndarray) -> Detection:
        """Score images: search z for each, then A(x) of the best image found.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.

        Returns:
            A `Detection` for the n images, in their order.
        """
        return self.score(images, self.search(images)[0])

    def score(self, images: np.ndarray, latents: np.ndarray) -> Detection:
        """Score images against the z found for them.

        Args:
            images: uint8 `(n, image_size, image_size, channels)`, 0..255.
            latents: float32 `(n, latent_dim)`, from `search`.

        Returns:
            A `Detection` for the n images, in their order.
        """
        scores = np.zeros(len(images), "float32")
        values = np.zeros(images.shape, "float32")
        for rows, batch in self._batches(images):
            targets = scale(batch)
            features, _ = self.discriminator(targets, training=False)
            reconstructions, reconstruction_features = self._make(self._filled(latents[rows]))
            batch_scores = losses.anogan_score(
                losses.residual_loss(targets, reconstructions),
                losses.discrimination_loss(features, reconstruction_features),
                self.discrimination_weight,
            )
            scores[rows] = ops.convert_to_numpy(batch_scores)[: len(scores[rows])]
            values[rows] = ops.convert_to_numpy(reconstructions)[: len(scores[rows])]
        return Detection(scores, unscale(values), residual(images, values))

    def _batches(self, images):
        for start in range(0, len(images), self.batch_size):
            rows = slice(start, start + self.batch_size)
            yield rows, self._filled(np.asarray(images[rows]))

    def _filled(self, rows):
        """Repeat the last row up to the batch size, so that no other shape is ever compiled."""
        return np.pad(rows, [(0, self.batch_size - len(rows))] + [(0, 0)] * (rows.ndim - 1), "edge")

    def _start(self, batch):
        """Begin a search anew: z from the pixels and the seed, Adam from zero."""
        self.latents.assign(self._draw(batch))
        for variable, value in zip(self.optimizer.variables, self.fresh_optimizer, strict=True):
            variable.assign(value)

    def _draw(self, batch):
        first = []
        for image in batch:
            random = np.random.default_rng([self.seed, zlib.crc32(image.tobytes())])
            first.append(getattr(random, PRIORS[self.prior])(self.latent_dim, dtype="float32"))
        return np.stack(first)

    def get_compile_config(self):
        """Save no optimiser: every search makes its own anew, with the learning rate given."""
        return None

    def get_config(self):
        """Return the arguments of `__init__`."""
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "discrimination_weight": self.discrimination_weight,
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "prior": self.prior,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        """Make the model that `get_config` describes; loading then fills in the weights."""
        networks = {
            name: keras.saving.deserialize_keras_object(config.pop(name))
            for name in ("generator", "discriminator")
        }
        return cls(**networks, **config)


def _frozen_copy(network: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy
