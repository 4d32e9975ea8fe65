"""Find defects in images with GANs trained on normal images only.

The names below are loaded when they are first used, so `import ganlib` is quick.
"""

import importlib
import os

__version__ = "0.1.0"

# TensorFlow leaves its faster kernels off on processors without AVX-512.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

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
