"""The bugs of the published notebooks as switches, so that what each one costs is measured."""

from dataclasses import dataclass, fields, replace

import keras
import numpy as np
import pandas as pd
from keras import ops

from ganlib import evaluation
from ganlib.models import DCGAN, AnoGAN, GANomaly, networks
from ganlib.models.detection import HALF_RANGE
from ganlib.settings import Settings


class OneEncoderGANomaly(GANomaly):
    """GANomaly whose second encoder never learns and is left out of the score.

    In training E keeps its initial weights, and the generator learns to please them. In scoring
    z_hat = G_E(G(x)).

    Reference:
        The published GANomaly notebooks: E is called as a global inside a layer's `call`, so Keras
        does not know its weights, and the score is sum |G_E(x) - G_E(G(x))|.
    """

    method = None

    def forward(self, images, training=None):
        """Use the initial E in training and G_E in scoring."""
        latents = self.encoder(images, training=training)
        reconstructions = self.decoder(latents, training=training)
        if training:
            initial = networks.read_weights(self.encoder2)
            again = networks.call_frozen(self.encoder2, initial, reconstructions)
        else:
            again = self.encoder(reconstructions, training=False)
        return {
            "reconstruction": reconstructions,
            "latent": latents,
            "reconstruction_latent": again,
        }


class CarriedAnoGAN(AnoGAN):
    """AnoGAN whose search goes through a dense layer carried from image to image.

    The search changes kernel and bias, and the next image begins with those, and with Adam's
    moments, as the last one left them: a score depends on the images before it. Image i is searched
    by layer i modulo `batch_size`; the published notebook has one.

    Reference:
        The published AnoGAN notebooks: `Dense(100)` in front of the frozen generator, created once,
        Adam with a step of 1e-3.
    """

    method = None

    def __init__(self, dcgan: DCGAN, **kwargs):
        super().__init__(dcgan, **kwargs)
        self.latents.trainable = False
        limit = (3.0 / self.latent_dim) ** 0.5  # Glorot's, as Dense draws its kernel
        self.kernel = self.add_weight(
            shape=(self.batch_size, self.latent_dim, self.latent_dim),
            initializer=keras.initializers.RandomUniform(-limit, limit, seed=self.seed),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.batch_size, self.latent_dim), initializer="zeros", name="bias"
        )
        self._compile()

    def current_latents(self):
        """Return z: the first z through the dense layer."""
        return ops.einsum("ni,nij->nj", self.latents, self.kernel) + self.bias

    def _start(self, latents):
        self.latents.assign(latents)


@dataclass(frozen=True)
class Preset:
    """One way to compute; each default is the corrected value.

    Attributes:
        second_encoder: whether GANomaly's second encoder E learns and takes part in the score. In
            the published notebooks it does neither: G_E is used twice.
        half_range: pixels become x / half_range - 1. The published cloud notebooks have 31.5, which
            gives -1..7.1, while the generator's tanh ends at 1.
        fresh_search: whether AnoGAN's search starts fresh for each image. In the published
            notebooks a dense layer in front of the generator is carried from image to image.
        prior: what the first z of the search is drawn from. The published notebooks draw it from
            "uniform" U(0, 1), though the generator was trained on N(0, 1).
        negative_slope: of LeakyReLU in GANomaly's encoders and discriminator. The published
            notebooks leave it at Keras's default, 0.3.
        first_files: test only so many images of each label, the first by name; None: all. The
            published scatter plots show the first 100, in an unknown order.
    """

    second_encoder: bool = True
    half_range: float = HALF_RANGE
    fresh_search: bool = True
    prior: str = "normal"
    negative_slope: float = 0.2
    first_files: int | None = None


CORRECTED = Preset()
# Of a folder of images: the bugs that both published data sets have.
_EVERYWHERE = Preset(False, HALF_RANGE, False, "uniform", 0.3, 100)
PUBLISHED = {"cloud": replace(_EVERYWHERE, half_range=31.5)}
# Which values a method looks at, with the name of the bug.
BUGS = {
    "AnoGAN": {
        "half_range": "pixels scaled by 31.5",
        "fresh_search": "dense layer carried on",
        "prior": "search from uniform z",
        "first_files": "first 100 files only",
    },
    "GANomaly": {
        "second_encoder": "second encoder untrained",
        "half_range": "pixels scaled by 31.5",
        "negative_slope": "LeakyReLU slope 0.3",
        "first_files": "first 100 files only",
    },
}


def presets(dataset: str, method: str) -> dict[str, Preset]:
    """Name the presets of a method: corrected, each of its `BUGS` alone, all as published."""
    published = PUBLISHED.get(dataset, _EVERYWHERE)
    wrong = {name: getattr(published, name) for name in BUGS[method]}
    wrong = {name: value for name, value in wrong.items() if value != getattr(CORRECTED, name)}
    alone = {BUGS[method][name]: replace(CORRECTED, **{name: wrong[name]}) for name in wrong}
    return {"corrected": CORRECTED, **alone, "published": replace(CORRECTED, **wrong)}


def differences(preset: Preset) -> list[str]:
    """Name the values in which a preset differs from the corrected one."""
    names = [field.name for field in fields(Preset)]
    return [name for name in names if getattr(preset, name) != getattr(CORRECTED, name)]


def pixels(preset: Preset, images: np.ndarray) -> np.ndarray:
    """Give images the pixels that make the models scale them as the preset says.

    The models always compute x / 127.5 - 1, so x / 31.5 - 1 is what they make of pixels 127.5 /
    31.5 times as bright: float32, 0..1032.
    """
    if preset.half_range == HALF_RANGE:
        return images
    return images.astype("float32") * np.float32(HALF_RANGE / preset.half_range)


def ganomaly(preset: Preset, settings: Settings) -> GANomaly:
    """Build GANomaly as the preset says, not yet compiled."""
    cls = GANomaly if preset.second_encoder else OneEncoderGANomaly
    sizes = settings.image_size, settings.channels, settings.latent_dim, settings.filters
    model = cls(*sizes, negative_slope=preset.negative_slope)
    model.any_scale = preset.half_range != HALF_RANGE
    return model


def anogan(
    preset: Preset, dcgan: DCGAN, settings: Settings, seed: int = 0, chains: int = 1
) -> AnoGAN:
    """Build the search that the preset says on top of a DCGAN trained on `pixels` of the preset.

    `chains` dense layers, where they are carried on, share the images: more are faster, and each is
    carried over fewer images.
    """
    common = {"steps": settings.search_steps, "prior": preset.prior, "seed": seed}
    if preset.fresh_search:
        common["learning_rate"] = settings.search_learning_rate
        model = AnoGAN(dcgan, batch_size=settings.search_batch_size, **common)
    else:
        model = CarriedAnoGAN(dcgan, learning_rate=1e-3, batch_size=chains, **common)
    model.any_scale = preset.half_range != HALF_RANGE
    return model


def evaluate(
    truth: pd.DataFrame, scores: np.ndarray, corrected: np.ndarray, first_files: int | None = None
) -> dict[str, float]:
    """Measure what a preset reaches, and how far it is from the corrected one.

    Args:
        truth: the test images, as `ganlib.data.add_truth` returns them.
        scores: `(n,)`, the preset's score of each row.
        corrected: `(n,)`, the corrected preset's.
        first_files: see `Preset`. The images then differ, so the interval of the difference is that
            of the preset's AUROC alone.

    Returns:
        Numbers of images, `auroc` and its `difference`, both with 95 % intervals.
    """
    scores, corrected = np.asarray(scores), np.asarray(corrected)
    whole = evaluation.evaluate(truth["label"], corrected)["auroc"]
    rows = np.ones(len(truth), bool)
    if first_files is not None:
        rank = truth.sort_values("file").groupby("label").cumcount()
        rows = (rank.reindex(truth.index) < first_files).to_numpy()
    labels, groups = truth["label"].to_numpy()[rows], truth["cluster"].to_numpy()[rows]
    auroc = evaluation.evaluate(labels, scores[rows])["auroc"]
    low, high = evaluation.auroc_interval(labels, scores[rows], groups)
    difference = {"low": low - whole, "high": high - whole}
    if first_files is None:
        difference = evaluation.paired_difference(labels, scores, corrected, groups)
    return {
        "n_test_normal": int((labels == 0).sum()),
        "n_test_anomaly": int((labels == 1).sum()),
        "auroc": auroc,
        "auroc_low": low,
        "auroc_high": high,
        "difference": auroc - whole,
        "difference_low": difference["low"],
        "difference_high": difference["high"],
    }
