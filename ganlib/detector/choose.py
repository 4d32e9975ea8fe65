"""Choose among trained models without real anomalies, by synthetic defects in good images."""

import itertools
import math
import time

import numpy as np

from ganlib import evaluation
from ganlib.models import defects
from ganlib.models.base import AnomalyModel
from ganlib.models.experts import Experts
from ganlib.models.segmentator import Segmentator

FORGED = 100  # images with synthetic defects, at least
LEAD = 0.02  # of AUROC, required to beat the combined models that are not trained on such defects


def choose(models: dict[str, AnomalyModel], images: np.ndarray, seed: int = 0):
    """Choose the model that best separates good images from copies with a synthetic defect.

    The defects are of kinds that no model was trained on. Combinations, see `Experts`, are tried
    too. The one of all but `Segmentator`s, which train on defects, wins unless others `LEAD`.

    Args:
        models: trained models by name; the largest image size is a multiple of the others.
        images: good images of the largest size, uint8, that no model was trained on.

    Returns:
        The model or `Experts`, and a row for each, best first: `method`, `auroc`, `ms_per_image`.
    """
    random = np.random.default_rng([seed, 15])
    rounds = math.ceil(FORGED / len(images))
    forged = np.concatenate([defects.pseudo_anomalies(images, random) for _ in range(rounds)])
    labels = np.repeat([0, 1], [len(images), len(forged)])
    normal, scores, ms = {}, {}, {}
    for name, model in models.items():
        normal[name] = model.detect(at_size(images, model))
        began = time.perf_counter()  # already compiled by the call above
        found = model.detect(at_size(forged, model)).scores
        ms[name] = 1000 * (time.perf_counter() - began) / len(forged)
        scores[name] = np.concatenate([normal[name].scores, found])

    def together(names) -> Experts:
        return Experts.of([models[name] for name in names], [normal[name] for name in names])

    usual = [name for name, model in models.items() if not isinstance(model, Segmentator)]
    rows = []
    for count in range(len(models), 0, -1):
        for names in itertools.combinations(models, count):
            mean = together(names).mean_z(np.stack([scores[name] for name in names], axis=1))
            auroc = round(evaluation.evaluate(labels, np.asarray(mean))["auroc"], 4)
            cost = round(sum(ms[name] for name in names), 1)
            rows.append({"method": " + ".join(names), "auroc": auroc, "ms_per_image": cost})
    # The sort is stable: ties keep their order.
    rows.sort(key=lambda row: LEAD * (row["method"] != " + ".join(usual)) - row["auroc"])
    names = rows[0]["method"].split(" + ")
    return models[names[0]] if len(names) == 1 else together(names), rows


def at_size(images: np.ndarray, model: AnomalyModel) -> np.ndarray:
    """Reduce images to the size of a model: each pixel is the mean of those it covers."""
    size = model.image_size
    factor = images.shape[1] // size
    parts = images.reshape(len(images), size, factor, size, factor, -1)
    return np.rint(parts.mean(axis=(2, 4))).astype("uint8")
