"""Find defects in images with GANs trained on normal images only."""

__version__ = "0.1.0"
