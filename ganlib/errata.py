"""Reproduce the bugs of the published notebooks as switches, to measure the effect of each."""

from dataclasses import dataclass, replace

import keras
import numpy as np
import pandas as pd
from keras import ops

from ganlib import evaluation
from ganlib.models import DCGAN, AnoGAN, GANomaly, networks
from ganlib.models.detection import HALF_RANGE


class OneEncoderGANomaly(GANomaly):
    """GANomaly whose E keeps its initial weights in training and is left out of the score.

    Reference: the published GANomaly notebooks call E as a global inside a layer's `call`, so
    Keras does not know its weights, and score by sum |G_E(x) - G_E(G(x))|.
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
        outputs = {"reconstruction": reconstructions, "latent": latents}
        return outputs | {"reconstruction_latent": again}


class CarriedAnoGAN(AnoGAN):
    """AnoGAN that searches through a dense layer carried over from image to image.

    Each image starts with the kernel, bias and Adam moments of the previous one, so its score
    depends on the images before it. Layer i modulo `batch_size` searches image i. Reference: the
    published AnoGAN notebooks create one `Dense(100)` once; Adam's learning rate is 1e-3.
    """

    method = None

    def __init__(self, dcgan: DCGAN, **kwargs):
        super().__init__(dcgan, **kwargs)
        self.latents.trainable = False
        limit = (3.0 / self.latent_dim) ** 0.5  # Glorot's, as for the kernel of Dense
        uniform = keras.initializers.RandomUniform(-limit, limit, seed=self.seed)
        shape = self.batch_size, self.latent_dim
        self.kernel = self.add_weight((*shape, self.latent_dim), uniform, name="kernel")
        self.bias = self.add_weight(shape, "zeros", name="bias")
        self._compile()

    def current_latents(self):
        """Return z: the initial z passed through the dense layer."""
        return ops.einsum("ni,nij->nj", self.latents, self.kernel) + self.bias

    def _start(self, latents):
        self.latents.assign(latents)


@dataclass(frozen=True)
class Preset:
    """Switches for the bugs: defaults are corrected, comments end with the published values."""

    second_encoder: bool = True  # whether GANomaly's E is trained and used in the score; False
    half_range: float = HALF_RANGE  # pixels become x / half_range - 1; clouds: 31.5, up to 7.1
    fresh_search: bool = True  # whether AnoGAN's search restarts for each image; False
    prior: str = "normal"  # of the search's first z; "uniform" U(0, 1), not as in training
    negative_slope: float = 0.2  # of LeakyReLU in GANomaly's encoders and discriminator; 0.3
    first_files: int | None = None  # test only the first of each label by name; 100, order unknown


CORRECTED = Preset()
# For a folder of images: the bugs that both published data sets share.
_EVERYWHERE = Preset(False, HALF_RANGE, False, "uniform", 0.3, 100)
PUBLISHED = {"cloud": replace(_EVERYWHERE, half_range=31.5)}
# The name and the effect of each wrong value, and the values that affect a method.
_NAMES = {
    "second_encoder": ("second encoder untrained", "it never learns; the score uses the first"),
    "half_range": ("pixels scaled by 31.5", "they reach 7.1, the generator's tanh only 1"),
    "fresh_search": ("dense layer carried on", "a score depends on the images before it"),
    "prior": ("search from uniform z", "searched from U(0, 1), trained on N(0, 1)"),
    "negative_slope": ("LeakyReLU slope 0.3", "Keras's default; the authors have 0.2"),
    "first_files": ("first 100 files only", "tested on 100 files of each folder, not on all"),
}
MEANINGS = dict(_NAMES.values())
BUGS = {
    "AnoGAN": ("half_range", "fresh_search", "prior", "first_files"),
    "GANomaly": ("second_encoder", "half_range", "negative_slope", "first_files"),
}


def presets(dataset: str, method: str) -> dict[str, Preset]:
    """Return a method's presets by name: corrected, each of its `BUGS` alone, all as published."""
    published = PUBLISHED.get(dataset, _EVERYWHERE)
    bugs = [name for name in BUGS[method] if name in differences(published)]
    wrong = {name: getattr(published, name) for name in bugs}
    alone = {_NAMES[name][0]: replace(CORRECTED, **{name: wrong[name]}) for name in wrong}
    return {"corrected": CORRECTED, **alone, "published": replace(CORRECTED, **wrong)}


def differences(preset: Preset) -> list[str]:
    """Return the names of the values in which a preset differs from the corrected one."""
    return [name for name, value in vars(CORRECTED).items() if getattr(preset, name) != value]


def pixels(preset: Preset, images: np.ndarray, random=None) -> np.ndarray:
    """Rescale images (float32, 0..1032) so that the models' x / 127.5 - 1 equals the preset's."""
    if preset.half_range == HALF_RANGE:
        return images
    return images.astype("float32") * np.float32(HALF_RANGE / preset.half_range)


def ganomaly(preset: Preset, **sizes) -> GANomaly:
    """Build the preset's GANomaly. `sizes` are as for `GANomaly`."""
    cls = GANomaly if preset.second_encoder else OneEncoderGANomaly
    model = cls(**sizes, negative_slope=preset.negative_slope)
    model.any_scale = preset.half_range != HALF_RANGE
    return model


def anogan(preset: Preset, dcgan: DCGAN, chains: int = 1, **options) -> AnoGAN:
    """Build the preset's AnoGAN on top of a DCGAN trained on the preset's `pixels`.

    Options are those of `AnoGAN`. `chains` dense layers share the images, if they are carried over.
    """
    cls = AnoGAN if preset.fresh_search else CarriedAnoGAN
    if not preset.fresh_search:
        options |= {"learning_rate": 1e-3, "batch_size": chains}
    model = cls(dcgan, prior=preset.prior, **options)
    model.any_scale = preset.half_range != HALF_RANGE
    return model


def evaluate(
    truth: pd.DataFrame, scores: np.ndarray, corrected: np.ndarray, first_files: int | None = None
) -> dict[str, float]:
    """Compute a preset's `auroc`, and its `difference` from the corrected one, on test images.

    `truth` is from `ganlib.data.add_truth`; both score arrays have its rows. With `first_files` the
    images differ, so the interval of the difference reflects the preset's AUROC alone.
    """
    scores, corrected = np.asarray(scores), np.asarray(corrected)
    whole = evaluation.evaluate(truth["label"], corrected)["auroc"]
    rank = truth.sort_values("file").groupby("label").cumcount().reindex(truth.index)
    rows = (rank < (first_files or len(truth))).to_numpy()
    labels, groups = truth["label"].to_numpy()[rows], truth["cluster"].to_numpy()[rows]
    auroc = evaluation.evaluate(labels, scores[rows])["auroc"]
    low, high = evaluation.auroc_interval(labels, scores[rows], groups)
    difference = {"low": low - whole, "high": high - whole}
    if first_files is None:
        difference = evaluation.paired_difference(labels, scores, corrected, groups)
    counts = {"n_test_normal": int((labels == 0).sum()), "n_test_anomaly": int((labels == 1).sum())}
    reached = {"auroc": auroc, "auroc_low": low, "auroc_high": high, "difference": auroc - whole}
    ends = {f"difference_{end}": difference[end] for end in ("low", "high")}
    return counts | reached | ends
