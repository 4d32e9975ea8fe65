"""Find defects in images with GANs trained on normal images only.

The names below are loaded when they are first used, so `import ganlib` is quick.
"""

import importlib

__version__ = "0.1.0"

_MODULES = {
    "ganlib.data": ("load_images", "open_dataset", "split_dataset"),
    "ganlib.detector": ("Detector", "load_model"),
    "ganlib.models": (
        *("METHODS", "AnoGAN", "AnomalyModel", "Autoencoder", "DCGAN"),
        *("FAnoGAN", "GANomaly", "GRDNet", "Segmentator"),
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    """Import a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module 'ganlib' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return [*globals(), *__all__]
