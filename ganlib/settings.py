"""How large and how long: the settings of every profile, in one table."""

import math
from dataclasses import dataclass, fields, replace

from ganlib.data.folder import is_folder
from ganlib.errors import GanlibError


@dataclass(frozen=True)
class Settings:
    """What one run of one data set uses.

    Attributes:
        image_size: height and width to which images are reduced, pixels.
        channels: 1 (grey) or 3 (RGB).
        latent_dim: length of z.
        filters: width of the networks, see `ganlib.models.networks`.
        batch_size: images per training step.
        dcgan_steps: updates of DCGAN, one batch each; whole epochs are trained, so it is the least
            number.
        dcgan_learning_rate: Adam's step for G and D of DCGAN.
        ganomaly_steps: updates of GANomaly, one batch each; whole epochs are trained, so it is the
            least number. The autoencoder of the baselines is trained as long.
        ganomaly_learning_rate: Adam's step for GANomaly.
        beta_1: Adam's first decay in both trainings.
        search_steps: updates of z per image in AnoGAN's search.
        search_learning_rate: Adam's step on z.
        search_batch_size: images searched at once.
        limit: keep a sample of this many training images, and of each kind of test image; 0: all.
    """

    image_size: int
    channels: int
    latent_dim: int = 100
    filters: int = 64
    batch_size: int = 32
    dcgan_steps: int = 9000
    dcgan_learning_rate: float = 1e-4
    ganomaly_steps: int = 1000
    ganomaly_learning_rate: float = 1e-3
    beta_1: float = 0.5
    search_steps: int = 200
    search_learning_rate: float = 0.1
    search_batch_size: int = 32
    limit: int = 0


def _quick(channels: int, dcgan_steps: int) -> Settings:
    """64x64 and narrow networks, so that two processor cores are enough.

    GANomaly has the authors' rate and the published number of steps; DCGAN a higher rate for its
    few steps.
    """
    return Settings(
        image_size=64,
        channels=channels,
        filters=16,  # a multiple of what a processor computes at once: 24 takes as long as 32
        dcgan_steps=dcgan_steps,
        dcgan_learning_rate=5e-4,
        ganomaly_learning_rate=2e-4,
        search_batch_size=64,
    )


def _smoke(channels: int) -> Settings:
    """Just enough to run every line in seconds. The pictures are worth nothing."""
    return Settings(
        image_size=32,
        channels=channels,
        latent_dim=16,
        filters=8,
        batch_size=16,
        dcgan_steps=8,
        ganomaly_steps=20,
        search_steps=20,
        limit=64,
    )


# "folder" is any folder of images. Its channels are those of colour: `ganlib.data.channels_of` says
# whether one would do.
PROFILES = {
    "smoke": {"casting": _smoke(1), "cloud": _smoke(3), "folder": _smoke(3)},
    "quick": {
        "casting": _quick(1, dcgan_steps=2700),
        "cloud": _quick(3, dcgan_steps=1400),
        "folder": _quick(3, dcgan_steps=2700),
    },
    # The published notebooks' sizes, lengths and rates; the widths of their networks. Steps, not
    # epochs: 100 epochs of 2,875 castings and 50 of 1,400 clear tiles, whatever a protocol leaves.
    "paper": {
        "casting": Settings(image_size=128, channels=1),
        "cloud": Settings(image_size=64, channels=3, filters=128, batch_size=50, dcgan_steps=1400),
        "folder": Settings(image_size=128, channels=3),
    },
}

# What `04_errata`, which trains up to seven models per data set, changes in a profile.
ERRATA = {"quick": {"image_size": 32}}


def epochs(steps: int, images: int, batch_size: int) -> int:
    """Reckon how many whole passes over the images have at least so many steps.

    Keras ends an epoch where the images end, whatever `steps_per_epoch` asks for, so a number of
    steps is trained as a number of epochs.

    Args:
        steps: updates, one batch each.
        images: training images.
        batch_size: images per step.

    Returns:
        Epochs, at least 1.
    """
    return max(1, math.ceil(steps / math.ceil(images / batch_size)))


def settings(profile: str, dataset: str, **overrides) -> Settings:
    """Look up the settings of a profile, with single values replaced.

    Args:
        profile: "smoke", "quick" or "paper".
        dataset: "casting", "cloud" or a folder of images.
        **overrides: values of `Settings` by name; None keeps the profile's value.

    Returns:
        The settings.

    Raises:
        GanlibError: no such profile, data set or setting.
    """
    if profile not in PROFILES:
        raise GanlibError(f"There is no profile {profile!r}: choose {' | '.join(PROFILES)}.")
    row = "folder" if is_folder(dataset) else dataset
    if row not in PROFILES[profile]:
        known = " | ".join(name for name in PROFILES[profile] if name != "folder")
        raise GanlibError(f"There is no data set {dataset!r}: choose {known}, or give a folder.")
    names = [field.name for field in fields(Settings)]
    for name in overrides:
        if name not in names:
            raise GanlibError(f"There is no setting {name!r}: choose among {', '.join(names)}.")
    given = {name: value for name, value in overrides.items() if value is not None}
    return replace(PROFILES[profile][row], **given)
