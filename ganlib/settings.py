"""Sizes and training lengths of all profiles, in one table."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ganlib.errors import GanlibError


@dataclass(frozen=True)
class Settings:
    """Sizes, training lengths and Adam's rates of a run. A step is one batch; epochs are whole."""

    image_size: int  # height and width of the images the networks see, pixels
    channels: int  # 1 (grey) or 3 (RGB)
    latent_dim: int = 100  # length of z
    filters: int = 64  # width of the networks, see `ganlib.models.networks`
    batch_size: int = 32  # images per training step
    dcgan_steps: int = 9000  # training steps of DCGAN
    dcgan_learning_rate: float = 1e-4  # of both networks of DCGAN
    dcgan_upsampling: str = "transposed"  # of its generator, see `ganlib.models.networks.decoder`
    steps: int = 1000  # training steps of every other model
    learning_rate: float = 1e-3  # of every other model
    beta_1: float = 0.5  # first decay in all trainings
    search_steps: int = 200  # updates of z per image in AnoGAN's search
    search_learning_rate: float = 0.1  # of z
    search_batch_size: int = 32  # images searched at once
    limit: int = 0  # at most this many training images, and test images per label; 0: all

    @property
    def search(self) -> dict:
        """The arguments of AnoGAN's search."""
        names = ("steps", "learning_rate", "batch_size")
        return {name: getattr(self, f"search_{name}") for name in names}


# Runs every line in seconds; the resulting images are useless.
_FEW = {"dcgan_steps": 8, "steps": 20, "search_steps": 20, "limit": 64}
_SMOKE = Settings(32, 3, latent_dim=16, filters=8, batch_size=16, **_FEW)
# Small enough for two CPU cores. GANomaly uses its authors' learning rate and the published number
# of steps. DCGAN uses a higher rate, as it has few steps.
_RATES = {"dcgan_learning_rate": 5e-4, "learning_rate": 2e-4}
_QUICK = Settings(64, 3, filters=16, dcgan_steps=2700, search_batch_size=64, **_RATES)
# Transposed convolutions cause checkerboards on clouds; without them castings vary less.
_CLOUD = {"dcgan_upsampling": "resize"}
_CASTING = Settings(image_size=128, channels=1, learning_rate=2e-4)
_TILES = {"image_size": 64, "channels": 3, "filters": 128, "batch_size": 50, **_CLOUD}
# "folder" is any other data set. `ganlib.data.channels_of` checks if one channel is enough.
PROFILES = {
    "smoke": {
        "casting": replace(_SMOKE, channels=1),
        "cloud": replace(_SMOKE, **_CLOUD),
        "folder": _SMOKE,
    },
    "quick": {
        "casting": replace(_QUICK, channels=1),
        "cloud": replace(_QUICK, dcgan_steps=1400, **_CLOUD),
        "folder": _QUICK,
    },
    # Sizes, lengths and widths of the published notebooks. Lengths are in steps, whatever number of
    # images a protocol leaves: 100 epochs of 2,875 castings, 50 of 1,400 clear tiles. GANomaly uses
    # its authors' learning rate.
    "paper": {
        "casting": _CASTING,
        "cloud": replace(_CASTING, dcgan_steps=1400, **_TILES),
        "folder": replace(_CASTING, channels=3),
    },
}
# The notebooks' rates and generator too; rate and decay are Keras's defaults for Adam.
_PUBLISHED = {"learning_rate": 1e-3, "beta_1": 0.9, "dcgan_upsampling": "transposed"}
PROFILES["published"] = {n: replace(row, **_PUBLISHED) for n, row in PROFILES["paper"].items()}
# Image size of `04_errata`, which trains up to seven models, where it differs from the profile's.
ERRATA_SIZE = {"quick": 32}


def figures_folder(figures_dir: str | Path, profile: str, sources: Iterable[str]) -> Path:
    """Return the folder for figures of images from these sources.

    `<profile>` is tracked by git: real images go there only if `GANLIB_PUBLISH` is set, else to
    `<profile>-local`. If any image is generated, the folder is `<profile>-generated`.
    """
    published = "" if os.environ.get("GANLIB_PUBLISH") else "-local"
    return Path(figures_dir, profile + ("-generated" if "generated" in sources else published))


def epochs(steps: int, images: int, batch_size: int) -> int:
    """Return the number of whole epochs that make at least this many steps."""
    return max(1, math.ceil(steps / math.ceil(images / batch_size)))


def settings(profile: str, dataset: str, **overrides) -> Settings:
    """Look up the settings of a profile; an override that is None keeps the profile's value."""
    if profile not in PROFILES:
        raise GanlibError(f"There is no profile {profile!r}: choose {' | '.join(PROFILES)}.")
    rows = PROFILES[profile]
    row = rows.get(str(dataset), rows["folder"])
    if unknown := set(overrides).difference(vars(row)):
        names = ", ".join(vars(row))
        raise GanlibError(f"There is no setting {min(unknown)!r}: choose among {names}.")
    return replace(row, **{name: value for name, value in overrides.items() if value is not None})
