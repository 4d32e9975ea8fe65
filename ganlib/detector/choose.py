"""Choose among trained models without a single anomaly: by defects forged into good images."""

import math
import time

import numpy as np

from ganlib import evaluation
from ganlib.models import defects
from ganlib.models.base import AnomalyModel
from ganlib.models.experts import Experts

FORGED = 100  # images with forged defects, at least


def choose(models: dict[str, AnomalyModel], images: np.ndarray, seed: int = 0):
    """Choose the model that best tells good images from the same with a forged defect.

    The defects are of kinds that no model has trained on. Beside the models stand all of them
    together, "experts", see `Experts`; the first of equal ones wins, and they are the first.

    Args:
        models: name to a trained model; the largest image size is a multiple of the others.
        images: good images of the largest size that none of them was trained on, uint8.

    Returns:
        The name of the best, the model, and a row for each: `method`, `auroc`, `ms_per_image`.
    """
    random = np.random.default_rng([seed, 15])
    rounds = math.ceil(FORGED / len(images))
    forged = [defects.pseudo_anomalies(images, random) for _ in range(rounds)]
    both = np.concatenate([images, *forged])
    labels = np.arange(len(both)) >= len(images)
    normal = {name: model.detect(at_size(images, model)) for name, model in models.items()}
    if len(models) > 1:
        models = {"experts": Experts.of(list(models.values()), list(normal.values())), **models}
    rows = []
    for name, model in models.items():
        model.detect(at_size(images[:1], model))  # the first call compiles
        began = time.perf_counter()
        scores = model.detect(at_size(both, model)).scores
        ms = 1000 * (time.perf_counter() - began) / len(both)
        auroc = evaluation.evaluate(labels, scores)["auroc"]
        rows.append({"method": name, "auroc": round(auroc, 4), "ms_per_image": round(ms, 1)})
    best = max(rows, key=lambda row: row["auroc"])["method"]
    return best, models[best], rows


def at_size(images: np.ndarray, model: AnomalyModel) -> np.ndarray:
    """Reduce images to the size of a model: a pixel is the mean of those that it covers."""
    size = model.image_size
    factor = images.shape[1] // size
    parts = images.reshape(len(images), size, factor, size, factor, -1)
    return np.rint(parts.mean(axis=(2, 4))).astype("uint8")
