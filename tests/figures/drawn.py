"""Helpers of the figure tests: made-up data, cached figures, and reading a figure."""

import functools
import itertools

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd

from ganlib import figures
from ganlib.figures import architecture
from ganlib.models import networks

TITLE, CAPTION = "A title of the figure", " ".join(["source, profile, seed 7;"] * 30)
BASELINES = ["mean brightness", "grey histogram", "nearest neighbour", "PCA", "untrained GANomaly"]
GANS = ["AnoGAN", "GANomaly"]
METHODS = [*GANS, *BASELINES]
SIX_KINDS = ["blowhole", "scratch", "shrinkage", "chipped_edge", "stain", "normal"]
HISTORY = {
    "generator_loss": [1.0, 1.2, 1.1],
    "discriminator_loss": [0.7, 0.6, 0.65],
    "contextual_loss": [1.0, 0.1, 0.001],
    "encoder_loss": [0.5, 0.4, 0.3],
}


def random():
    return np.random.default_rng(0)


def pictures(n=4, channels=1):
    return random().integers(0, 256, (n, 8, 8, channels), dtype=np.uint8)


def rows(**columns):
    return pd.DataFrame(list(itertools.product(*columns.values())), columns=list(columns))


def score_panel(outliers=()):
    rng = random()
    parts = {
        "train normal": rng.gamma(4, 0.5, 50),
        "test normal": rng.gamma(4, 0.5, 20),
        "test anomaly": np.concatenate([rng.gamma(4, 1, 60), outliers]),
    }
    return pd.concat(pd.DataFrame({"group": k, "score": v}) for k, v in parts.items())


def pairs(n=3, channels=1):
    images = pictures(n, channels)
    return {kind: (images, 255 - images, np.arange(n)) for kind in ("normal", "anomaly")}


def ringed(n=3):
    """Return `pairs` with a spot to ring in each image; the first image's is outlined."""
    spots = np.array([[3, 4, 2, i == 0] for i in range(n)], "f4")
    return {kind: (*each, spots) for kind, each in pairs(n).items()}


def errors(n=3, channels=1, scale=1.0):
    images, rests = pictures(n, channels), random().random((n, 8, 8, channels)) * scale
    words = [f"partly cloudy, above {i} % of normals" for i in range(n)]
    return {
        kind: (images, 255 - images, (rests * size).astype("f4"), np.arange(n) + size, words)
        for kind, size in (("false alarms", 100), ("misses", 10))
    }


def residuals(channels=1, scale=1.0):
    kinds = zip(("normal", "anomaly"), errors(2, channels, scale).values(), strict=True)
    return {kind: (images, rest) for kind, (images, _, rest, *_) in kinds}


def strips():
    """Return test images with their nearest training images: far, identical, near; then two far."""
    images, others = pictures(3), 255 - pictures(3)
    others[1] = images[1]
    return {
        "paper": (images, others, np.array([20.0, 0.0, 3.25])),
        "grouped": (images[:2], 255 - images[:2], np.array([15.0, 17.5])),
    }


def forest():
    table = rows(dataset=["casting", "cloud"], protocol=["paper", "grouped"], method=METHODS)
    gan = table["method"].isin(GANS)
    table["family"] = np.where(gan, "GAN", "baseline")
    table["auroc"] = random().uniform(0.3, 0.99, len(table))
    table["published"] = np.where(gan & (table["protocol"] == "paper"), 0.907, np.nan)
    seeds = [[a, a + 0.01] if g else [a] for a, g in zip(table["auroc"], gan, strict=True)]
    return table.assign(low=table["auroc"] - 0.05, high=table["auroc"] + 0.01, seeds=seeds)


def rates():
    rules = ["quantile 5 %", "mean + 3 sd", "tail 5 %", "best accuracy"]
    table = rows(dataset=["casting", "cloud"], method=GANS, rule=rules)
    for rate, low, high in (("false_alarm", 0.004, 0.31), ("detection", 0.05, 0.98)):
        table[f"{rate}_rate"] = values = np.linspace(low, high, len(table))
        table[f"{rate}_low"], table[f"{rate}_high"] = values * 0.9, values * 1.01
    asked = np.where(table["rule"].str.contains("5 %"), 0.05, np.nan)
    return table.assign(oracle=table["rule"] == "best accuracy", asked=asked)


def effects():
    presets = ["corrected", "E never trained", "cloud scaled by 31.5", "published"]
    table = rows(dataset=["casting", "cloud"], method=GANS, preset=presets)
    table["difference"] = [0.0, -0.05, 0.03, -0.14] * 4
    changed = table["difference"].where(table["preset"] != "corrected")
    ends = {"difference_low": changed - 0.02, "difference_high": changed + 0.01}
    meaning = table["preset"].map({"E never trained": "it is called as a global"})
    return table.assign(auroc=0.8 + table["difference"], meaning=meaning, **ends)


def levels(values=(32, 64, 128), protocols=("paper", "grouped")):
    """Return levels of a factor: the second is the usual one, the last is clearly lower."""
    table = rows(dataset=["casting", "cloud"], protocol=list(protocols), level=list(values))
    auroc = random().uniform(0.6, 0.9, len(table))
    verdicts = ["unclear", np.nan, "lower"] * (len(table) // 3)
    table = table.assign(auroc=auroc, low=auroc - 0.1, high=auroc + 0.05, verdict=verdicts)
    return table.assign(factor="image_size", usual=values[1], n_seeds=3)


def by_kind(methods=METHODS):
    table = rows(kind=["cloudy", "partly_cloudy", "chipped_edge"], method=methods)
    table["dataset"] = np.where(table["kind"].str.contains("cloudy"), "cloud", "casting")
    auroc = np.linspace(0.04, 0.98, len(table))
    return table.assign(n=40, auroc=auroc, low=auroc - 0.02, high=auroc + 0.02)


def on_sets():
    """Return seven sets: the first has only good test images, on the third one method failed."""
    table = rows(set=[f"solar-set-{i}" for i in range(7)], method=METHODS).assign(asked=0.05)
    table["family"] = np.where(table["method"].isin(GANS), "GAN", "baseline")
    for name in ("auroc", "detection", "false_alarm"):
        value = random().uniform(0.4, 0.8, len(table))
        table = table.assign(**{f"{name}_low": value - 0.05, f"{name}_high": value + 0.1})
        table[name if name == "auroc" else f"{name}_rate"] = value
    table.loc[table["set"] == "solar-set-0", ["auroc", "detection_rate"]] = np.nan
    table.loc[(table["set"] == "solar-set-2") & (table["method"] == "PCA"), "auroc":] = np.nan
    return table


def complexity(kinds=("normal", "haze", "cloudy")):
    table, rng = rows(kind=list(kinds), image=range(31)), random()
    table["complexity"] = rng.normal(6000, 1000, len(table))
    return table.assign(score=table["complexity"] / 1000 + rng.random(len(table)))


def curves(methods=METHODS):
    rng, labels = random(), np.repeat([0, 1], 50)
    return {m: (labels, rng.normal(size=100) + labels * i / 3) for i, m in enumerate(methods)}


DECODER, DISCRIMINATOR = networks.decoder(32, 3, 100, 4), networks.discriminator(32, 3, 4)
ENCODER = networks.encoder(32, 3, 100, 4)
# Function name -> its data, then options. Text after a comma tells cases apart.
FIGURES = {
    "anogan_architecture": [DECODER, DISCRIMINATOR, {}],
    "ganomaly_architecture": [ENCODER, DECODER, ENCODER, DISCRIMINATOR, {"weights": (2, 30, 0.5)}],
    "score_scatter": [
        {"AnoGAN": score_panel(), "GANomaly": score_panel([500.0])},
        {"auroc": {"AnoGAN": 0.123, "GANomaly": 0.9876}, "scaled": "GANomaly"},
    ],
    "score_histogram": [{"good images": random().gamma(4, 1, 64)}, {"threshold": 8.0}],
    "distance_histogram": [
        {"paper": random().gamma(2, 3, 262), "grouped": 12 + random().gamma(2, 3, 80)},
        {"threshold": 12.0},
    ],
    "reconstructions": [dict.fromkeys(GANS, pairs()), {}],
    "reconstructions, ringed": [dict.fromkeys(GANS, ringed()), {}],
    "residual_images": [{"AnoGAN": residuals(3), "GANomaly": residuals(3, 0.5)}, {}],
    "residual_images, one method": [{"AnoGAN": residuals()}, {}],
    "worst_errors": [{"AnoGAN": errors(), "GANomaly": errors(scale=0.5)}, {}],
    "leaks": [strips(), {"shares": {"paper": "64 of 262 identical"}, "threshold": 10.0}],
    "samples_over_epochs": [pictures(6).reshape(2, 3, 8, 8, 1), [1, 20], {}],
    "samples_over_epochs, real": [np.stack([pictures(3)] * 2), [1, 20], {"real": pictures(3)}],
    "image_grid": [pictures(10, 3), [f"image {i}" for i in range(10)], {}],
    "training_curves": [HISTORY, {}],
    "search_loss": [random().random((5, 4)) + 0.1, ["test normal", "test anomaly"] * 2, {}],
    "roc_and_precision_recall": [curves(METHODS[:4]), {"baselines": BASELINES}],
    "auroc_by_kind": [by_kind(), {}],
    "auroc_by_kind, many": [by_kind([*METHODS, *(f"{name} again" for name in METHODS[:6])]), {}],
    "levels_of_factor": [levels(), {}],
    "levels_of_factor, words": [levels(("transposed", "resize", "residual"), ["paper"]), {}],
    "score_against_complexity": [dict.fromkeys([*GANS, "PCA"], complexity()), {}],
    "score_against_complexity, six kinds": [{"PCA": complexity(SIX_KINDS)}, {}],
    "auroc_forest": [forest(), {}],
    "auroc_forest, one panel": [forest().query("dataset == 'cloud' & published > 0"), {}],
    "threshold_rates": [rates(), {}],
    "errata_effects": [effects(), {}],
    "methods_on_sets": [on_sets(), {}],
}


@functools.cache
def draw(name):
    *data, options = FIGURES[name]
    name = name.split(",")[0]
    modules = architecture, figures.forest, figures
    function = next(getattr(module, name) for module in modules if hasattr(module, name))
    return function(*data, title=TITLE, caption=CAPTION, **options)


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def images_of(figure):
    """Return the images drawn, with their left and bottom edge in the figure."""
    places = [(axes, axes.get_position()) for axes in figure.axes if axes.images]
    return [(axes.images[0], place.x0, place.y0) for axes, place in places]


def lines_of(axes, gid):
    return [line for line in axes.get_lines() if line.get_gid() == gid]


def values_of(axes, gid):
    """Return x of the symbols with a gid, from top to bottom, without NaN."""
    points = sorted(tuple(line.get_xydata()[0][::-1]) for line in lines_of(axes, gid))
    return [float(x) for _, x in points if not np.isnan(x)]
