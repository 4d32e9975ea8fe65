"""AnoGAN: search for the latent vector whose image is closest to a given image."""

import zlib
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from ganlib.errors import GanlibError
from ganlib.models import losses, networks
from ganlib.models.base import AnomalyModel, feed, predict, scale
from ganlib.models.dcgan import DCGAN
from ganlib.models.detection import Detection, residual, unscale
from ganlib.models.fanogan import FAnoGAN

PRIORS = {"normal": "standard_normal", "uniform": "random"}  # -> method of a NumPy generator


class AnoGAN(AnomalyModel):
    """Search z for each image with a frozen generator and discriminator (step 2 of AnoGAN).

    The only trainable weight is z, one row per image of a batch. The loss is a sum over the images
    and Adam updates each value independently, so images can be searched in batches or one by one.
    The initial z depends only on the image and the seed, or on the image and the encoder.

    Args:
        dcgan: a trained DCGAN. Its networks are copied.
        discrimination_weight: lambda, 0..1, the weight of the discrimination loss.
        steps: updates of z per image. 0 keeps the initial z.
        prior: initial z from "normal" N(0, 1), as in training, or "uniform" U(0, 1), as published.
        batch_size: images searched at once. It changes scores only by rounding.
        encoder: computes the initial z instead of the prior.
        dtype: with "mixed_bfloat16", only the networks compute in bfloat16.

    Reference: paper, section 3; Schlegl et al. 2017. Deviation: Adam updates z itself, not a
    dense layer in front of the generator; see `ganlib.errata.CarriedAnoGAN`.
    """

    method, family = "AnoGAN", "GAN"

    def __init__(
        self,
        dcgan: DCGAN,
        discrimination_weight: float = 0.1,
        steps: int = 200,
        learning_rate: float = 0.1,
        prior: str = "normal",
        batch_size: int = 32,
        seed: int = 0,
        encoder: FAnoGAN | None = None,
        **kwargs,
    ):
        image_size, _, channels = dcgan.generator.output_shape[1:]
        super().__init__(image_size, channels, **kwargs)
        if prior not in PRIORS:
            raise GanlibError(f"prior is {prior!r}: choose one of {', '.join(PRIORS)}.")
        self.generator = networks.frozen_copy(dcgan.generator, self.dtype_policy)
        self.discriminator = networks.frozen_copy(dcgan.discriminator, self.dtype_policy)
        self.encoder = encoder and networks.frozen_copy(encoder.encoder, self.dtype_policy)
        self.discrimination_weight, self.prior, self.seed = discrimination_weight, prior, seed
        self.steps, self.learning_rate = steps, learning_rate
        self.batch_size, self.latent_dim = batch_size, dcgan.latent_dim
        self.latents = self._rows((self.latent_dim,), "latents", trainable=True)
        self.targets = self._rows(self.generator.output.shape[1:], "targets")
        self.target_features = self._rows(self.discriminator.output[0].shape[1:], "features")
        self.objectives = self._rows((max(1, steps),), "objectives")
        self.step = self.add_weight((), "zeros", "int32", trainable=False, name="step")
        self._compile()

    @classmethod
    def train(cls, fit: Callable, **sizes) -> "AnoGAN":
        """Train the DCGAN."""
        dcgan = DCGAN(**sizes)
        fit(dcgan)
        return cls(dcgan)

    def _rows(self, shape: tuple, name: str, trainable: bool = False):
        shape = (self.batch_size, *shape)  # a row per image
        return self.add_weight(shape, "zeros", trainable=trainable, name=name)

    def _compile(self):
        # Run the whole search of a batch in one call on the device. torch cannot do this.
        looped = keras.backend.backend() != "torch"
        steps = max(1, self.steps) if looped else 1
        self.compile(keras.optimizers.Adam(self.learning_rate), steps_per_execution=steps)
        self.optimizer.build(self.trainable_variables)

    def call(self, images, training=None):
        """Return G(z) and f(G(z)) for the current z. The arguments are ignored."""
        reconstructions = self.generator(self.current_latents(), training=False)
        features, _ = self.discriminator(reconstructions, training=False)
        return {"reconstruction": reconstructions, "features": features}

    def current_latents(self):
        """Return the current z of each image of the batch, `(batch_size, latent_dim)`."""
        return ops.convert_to_tensor(self.latents)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Sum the objective L(z) over the images of the batch."""
        sought = map(ops.convert_to_tensor, (self.targets, self.target_features))
        objective = self._objective(*sought, y_pred["reconstruction"], y_pred["features"])
        now = ops.arange(self.objectives.shape[1]) == self.step
        recorded = ops.convert_to_tensor(self.objectives)
        self.objectives.assign(ops.where(now, objective[:, None], recorded))
        self.step.assign(self.step + 1)
        return ops.sum(objective)

    def _objective(self, images, features, reconstructions, reconstruction_features):
        in_pixels = losses.residual_loss(images, reconstructions)
        in_features = losses.discrimination_loss(features, reconstruction_features)
        return losses.anogan_score(in_pixels, in_features, self.discrimination_weight)

    def search(self, images: np.ndarray, record_every: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Search z for each image.

        Return the z found, float32 `(n, latent_dim)`, and the objective L(z) before steps 0,
        record_every, 2 record_every, ..., float32 `(records, n)`.
        """

        def answer(batch):
            self._start(self._first_latents(batch))
            trace = self._run(batch) if self.steps else np.empty((len(batch), 0), "float32")
            # Copies, because the next batch overwrites the variables.
            latents = np.array(ops.convert_to_numpy(self.current_latents()))
            return latents, trace[:, ::record_every].copy()

        latents, objectives = predict(answer, self.check_images(images), self.batch_size)
        return latents, objectives.T

    def _start(self, latents: np.ndarray) -> None:
        """Start from these z and reset Adam's moments and iterations."""
        self.latents.assign(latents)
        for variable in self.optimizer.variables:
            if variable.shape == self.latents.shape:
                variable.assign(np.zeros(variable.shape, "float32"))
        self.optimizer.iterations.assign(0)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        """Run all steps on the device; return the objectives `(batch_size, steps)`."""
        targets = scale(batch)
        self.targets.assign(targets)
        self.target_features.assign(self.discriminator.predict_on_batch(targets)[0])
        self.step.assign(0)
        self.fit(feed(_Ticks(self.steps)), shuffle=False, verbose=0)
        return ops.convert_to_numpy(self.objectives.value)

    def detect(self, images: np.ndarray) -> Detection:
        """Search z for each image, then score the image by A(x)."""
        return self.score_latents(images, self.search(images)[0])

    def score_latents(self, images: np.ndarray, latents: np.ndarray) -> Detection:
        """Score images against the z `(n, latent_dim)` that `search` found for them."""
        images = self.check_images(images)
        if np.shape(latents) != (expected := (len(images), self.latent_dim)):
            found = f"latents has shape {np.shape(latents)}, expected {expected}"
            raise GanlibError(f"{found}: one z per image, as returned by `search`.")

        def answer(batch, latents):
            targets, made = scale(batch), self.generator.predict_on_batch(latents)
            features = self.discriminator.predict_on_batch(targets)[0]
            made_features = self.discriminator.predict_on_batch(made)[0]
            return self._objective(targets, features, made, made_features), made

        scores, values = predict(answer, images, self.batch_size, np.asarray(latents))
        return Detection(scores, unscale(values), residual(images, values))

    def _first_latents(self, batch: np.ndarray) -> np.ndarray:
        if self.encoder is not None:
            return self.encoder.predict_on_batch(scale(batch))
        first = []
        for image in batch:
            random = np.random.default_rng([self.seed, zlib.crc32(image.tobytes())])
            first.append(getattr(random, PRIORS[self.prior])(self.latent_dim, dtype="float32"))
        return np.stack(first)

    def save_own_variables(self, store):
        """Save nothing: the networks save themselves, and each search starts fresh."""

    def load_own_variables(self, store):
        """Load nothing."""


class _Ticks(keras.utils.PyDataset):
    """Empty batches. The images of a search are in the model's variables."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps = steps

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        return (np.zeros((1, 1), "float32"),)
