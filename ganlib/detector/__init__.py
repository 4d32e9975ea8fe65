"""Detectors: train, score, report, export and load them."""

from ganlib.detector.detector import Detector
from ganlib.detector.load import load_model

__all__ = ["Detector", "load_model"]
