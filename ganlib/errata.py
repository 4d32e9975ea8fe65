"""The defects of the published notebooks as switches, so that what each one costs is measured."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from ganlib import evaluation
from ganlib.data.folder import is_folder
from ganlib.errors import GanlibError
from ganlib.models.anogan import AnoGAN
from ganlib.models.dcgan import DCGAN
from ganlib.models.ganomaly import GANomaly
from ganlib.models.pixels import HALF_RANGE
from ganlib.models.published import CarriedAnoGAN, OneEncoderGANomaly
from ganlib.settings import Settings


@dataclass(frozen=True)
class Preset:
    """One way to compute; each value's default is the corrected one.

    Attributes:
        second_encoder: whether GANomaly's second encoder E learns and takes part in the score. In
            the published notebooks it does neither: G_E is used twice.
        half_range: pixels become x / half_range - 1. The published cloud notebooks have 31.5, which
            gives -1..7.1, while the generator's tanh ends at 1.
        fresh_search: whether AnoGAN's search begins anew for each image. In the published notebooks
            a dense layer in front of the generator is carried from image to image.
        prior: what the first z of the search is drawn from. The published notebooks draw it from
            "uniform" U(0, 1), though the generator was trained on N(0, 1).
        negative_slope: of LeakyReLU in GANomaly's encoders and discriminator. The published
            notebooks leave it at Keras's default, 0.3.
        first_files: judge only so many test images of each label, the first by name; None: all. The
            published scatter plots show the first 100 (in the order of the folder, which is not
            known; here it is the order of the names).
    """

    second_encoder: bool = True
    half_range: float = HALF_RANGE
    fresh_search: bool = True
    prior: str = "normal"
    negative_slope: float = 0.2
    first_files: int | None = None


CORRECTED = Preset()
PUBLISHED = {
    "casting": Preset(False, HALF_RANGE, False, "uniform", 0.3, 100),
    "cloud": Preset(False, 31.5, False, "uniform", 0.3, 100),
    # Of a folder of images there are none: the slips that both of the others have.
    "folder": Preset(False, HALF_RANGE, False, "uniform", 0.3, 100),
}
# Which values a method looks at, with the name of the defect.
DEFECTS = {
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
    """List what there is to compare: corrected, each defect alone, and all as published.

    Args:
        dataset: "casting", "cloud" or a folder of images.
        method: "AnoGAN" or "GANomaly".

    Returns:
        Name to preset, "corrected" first and "published" last. A defect that the notebooks of this
        data set or method do not have is left out.

    Raises:
        GanlibError: there are no published notebooks of that name.
    """
    row = "folder" if is_folder(dataset) else dataset
    if row not in PUBLISHED or method not in DEFECTS:
        raise GanlibError(
            f"There are no published notebooks of {method!r} on {dataset!r}: choose "
            f"{' | '.join(DEFECTS)} and {' | '.join(PUBLISHED)}."
        )
    published = PUBLISHED[row]
    wrong = {name: getattr(published, name) for name in DEFECTS[method]}
    wrong = {name: value for name, value in wrong.items() if value != getattr(CORRECTED, name)}
    alone = {
        DEFECTS[method][name]: replace(CORRECTED, **{name: value}) for name, value in wrong.items()
    }
    return {"corrected": CORRECTED, **alone, "published": replace(CORRECTED, **wrong)}


def differences(preset: Preset) -> list[str]:
    """Name the values in which a preset differs from the corrected one."""
    return [
        field.name
        for field in fields(Preset)
        if getattr(preset, field.name) != getattr(CORRECTED, field.name)
    ]


def pixels(preset: Preset, images: np.ndarray) -> np.ndarray:
    """Give images the pixels that make the models scale them as the preset says.

    The models always compute x / 127.5 - 1, so x / 31.5 - 1 is what they make of pixels 127.5 /
    31.5 times as bright.

    Args:
        preset: the preset.
        images: uint8 `(n, height, width, channels)`, 0..255.

    Returns:
        The images as they are, or as float32, 0..1032.
    """
    if preset.half_range == HALF_RANGE:
        return images
    return images.astype("float32") * np.float32(HALF_RANGE / preset.half_range)


def ganomaly(preset: Preset, settings: Settings) -> GANomaly:
    """Build GANomaly as the preset says, not yet compiled.

    Args:
        preset: the preset.
        settings: sizes of images and networks.

    Returns:
        The model.
    """
    kind = GANomaly if preset.second_encoder else OneEncoderGANomaly
    model = kind(
        settings.image_size,
        settings.channels,
        settings.latent_dim,
        settings.filters,
        negative_slope=preset.negative_slope,
    )
    model.any_scale = preset.half_range != HALF_RANGE
    return model


def anogan(
    preset: Preset, dcgan: DCGAN, settings: Settings, seed: int = 0, chains: int = 1
) -> AnoGAN:
    """Build the search that the preset says on top of a trained DCGAN.

    Args:
        preset: the preset.
        dcgan: trained on `pixels` of the same preset.
        settings: steps, step size and batch size of the search.
        seed: of the first z.
        chains: where a dense layer is carried on: how many of them, side by side, share the images
            between them. The published notebooks have one; more are faster, and each is carried
            over fewer images.

    Returns:
        The detector.
    """
    common = {"steps": settings.search_steps, "prior": preset.prior, "seed": seed}
    if preset.fresh_search:
        model = AnoGAN(
            dcgan.generator,
            dcgan.discriminator,
            learning_rate=settings.search_learning_rate,
            batch_size=settings.search_batch_size,
            **common,
        )
    else:
        model = CarriedAnoGAN(
            dcgan.generator, dcgan.discriminator, learning_rate=1e-3, batch_size=chains, **common
        )
    model.any_scale = preset.half_range != HALF_RANGE
    return model


def judge(
    truth: pd.DataFrame, scores: np.ndarray, corrected: np.ndarray, first_files: int | None = None
) -> dict[str, float]:
    """Say what a preset reaches, and how far it is from the corrected one.

    Args:
        truth: the test images, as `ganlib.data.add_truth` returns them.
        scores: `(n,)`, the preset's score of each line.
        corrected: `(n,)`, the corrected preset's.
        first_files: judge the preset on so many images of each label alone, the first by name. The
            images then differ, so the interval of the difference is that of its AUROC alone.

    Returns:
        `n_test_normal`, `n_test_anomaly`, `auroc`, `auroc_low`, `auroc_high`, `difference`,
        `difference_low` and `difference_high`; 95 % intervals.
    """
    scores, corrected = np.asarray(scores), np.asarray(corrected)
    whole = evaluation.evaluate(truth["label"], corrected)["auroc"]
    kept = np.ones(len(truth), bool)
    if first_files is not None:
        rank = truth.sort_values("file").groupby("label").cumcount()
        kept = (rank.reindex(truth.index) < first_files).to_numpy()
    labels, groups = truth["label"].to_numpy()[kept], truth["cluster"].to_numpy()[kept]
    auroc = evaluation.evaluate(labels, scores[kept])["auroc"]
    low, high = evaluation.auroc_interval(labels, scores[kept], groups)
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
