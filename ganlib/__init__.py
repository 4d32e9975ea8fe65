"""Find defects in images with GANs trained on normal images only.

Public names are imported on first use, so `import ganlib` is fast.
"""

import contextlib
import importlib
import os

__version__ = "0.1.0"

# TensorFlow disables its faster kernels on CPUs without AVX-512. Its log is silenced: errors reach
# Python as exceptions.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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


def import_keras() -> None:
    """Import Keras and hide TensorFlow's oneDNN messages, which ignore its log level."""
    from ganlib.files import standard_error_in

    with standard_error_in(os.devnull):
        importlib.import_module("keras")
        with contextlib.suppress(ImportError):  # Keras uses it on JAX, too
            importlib.import_module("tensorflow")


def __getattr__(name: str):
    """Import a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module 'ganlib' has no attribute {name!r}")
    if _HOME[name] != "ganlib.data":
        import_keras()
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return [*globals(), *__all__]
