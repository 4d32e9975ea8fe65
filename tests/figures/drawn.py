"""What the tests of figures share: made-up data, every figure, and reading what is drawn."""

import itertools

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd

from ganlib import figures
from ganlib.figures import architecture
from ganlib.models import networks

CAPTION = "Casting, profile quick, seed 7."
METHODS = {"AnoGAN": "GAN", "GANomaly": "GAN"} | dict.fromkeys(
    ["mean brightness", "grey histogram", "nearest neighbour", "PCA", "untrained GANomaly"],
    "baseline",
)
BASELINES = [method for method, family in METHODS.items() if family == "baseline"]
SIX_KINDS = ["blowhole", "scratch", "shrinkage", "chipped_edge", "stain", "normal"]
HISTORY = {
    "generator_loss": [1.0, 1.2, 1.1],
    "discriminator_loss": [0.7, 0.6, 0.65],
    "adversarial_loss": [0.3, 0.2, 0.1],
    "contextual_loss": [1.0, 0.1, 0.001],
    "encoder_loss": [0.5, 0.4, 0.3],
}


def random():
    return np.random.default_rng(0)


def pictures(n=4, channels=1):
    return random().integers(0, 256, (n, 16, 16, channels), dtype=np.uint8)


def rows(**columns):
    """A row for each combination of the columns' values."""
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


def errors(n=3, channels=1, scale=1.0):
    """False alarms and misses: images, reconstructions, residuals, scores and words."""
    return {
        kind: (
            pictures(n, channels),
            255 - pictures(n, channels),
            (random().random((n, 16, 16, channels)) * scale * factor).astype("float32"),
            np.arange(n) + factor,
            [f"partly cloudy, above {i} % of normals" for i in range(n)],
        )
        for kind, factor in (("false alarms", 100), ("misses", 10))
    }


def residuals(channels=1, scale=1.0):
    kinds = zip(("normal", "anomaly"), errors(2, channels, scale).values(), strict=True)
    return {kind: (images, rest) for kind, (images, _, rest, *_) in kinds}


def strips():
    """A test image that is a training image, one that is near, one that is far; then two far."""
    images, others = pictures(3), 255 - pictures(3)
    others[1] = images[1]
    return {
        "paper": (images, others, np.array([20.0, 0.0, 3.25])),
        "grouped": (images[:2], 255 - images[:2], np.array([15.0, 17.5])),
    }


def forest():
    table = rows(dataset=["casting", "cloud"], protocol=["paper", "grouped"], method=list(METHODS))
    table["family"] = table["method"].map(METHODS)
    table["auroc"] = random().uniform(0.3, 0.99, len(table))
    gan = table["family"] == "GAN"
    table["published"] = np.where(gan & (table["protocol"] == "paper"), 0.907, np.nan)
    seeds = [[a, a + 0.01] if g else [a] for a, g in zip(table["auroc"], gan, strict=True)]
    return table.assign(low=table["auroc"] - 0.05, high=table["auroc"] + 0.01, seeds=seeds)


def rates():
    rules = ["quantile 5 %", "mean + 3 sd", "tail 5 %", "best accuracy"]
    table = rows(dataset=["casting", "cloud"], method=["AnoGAN", "GANomaly"], rule=rules)
    for rate, low, high in (("false_alarm", 0.004, 0.31), ("detection", 0.05, 0.98)):
        table[f"{rate}_rate"] = values = np.linspace(low, high, len(table))
        table[f"{rate}_low"], table[f"{rate}_high"] = values * 0.9, values * 1.01
    table["oracle"] = table["rule"] == "best accuracy"
    table["asked"] = np.where(table["rule"].str.contains("5 %"), 0.05, np.nan)
    return table


def effects():
    presets = ["corrected", "E never trained", "cloud scaled by 31.5", "published"]
    table = rows(dataset=["casting", "cloud"], method=["AnoGAN", "GANomaly"], preset=presets)
    table["difference"] = [0.0, -0.05, 0.03, -0.14] * 4
    table["auroc"] = 0.8 + table["difference"]
    changed = table["difference"].where(table["preset"] != "corrected")
    return table.assign(difference_low=changed - 0.02, difference_high=changed + 0.01)


def by_kind():
    table = rows(kind=["cloudy", "partly_cloudy", "chipped_edge"], method=list(METHODS))
    table["dataset"] = table["kind"].map(lambda kind: "cloud" if "cloudy" in kind else "casting")
    auroc = np.linspace(0.04, 0.98, len(table))
    return table.assign(n=40, auroc=auroc, low=auroc - 0.02, high=auroc + 0.02)


def complexity(kinds=("normal", "haze", "cloudy")):
    rng = random()
    sizes = {kind: rng.normal(6000 - 1000 * i, 300, 31) for i, kind in enumerate(kinds)}
    return pd.concat(
        pd.DataFrame({"kind": kind, "complexity": size, "score": size / 1000 + rng.random(31)})
        for kind, size in sizes.items()
    )


def curves(methods=METHODS):
    rng, labels = random(), np.repeat([0, 1], 50)
    return {m: (labels, rng.normal(size=100) + labels * i / 3) for i, m in enumerate(methods)}


def models(side=64, channels=1, filters=4):
    """An encoder, a decoder and a discriminator."""
    size = side, channels
    decoder = networks.decoder(*size, 100, filters)
    return networks.encoder(*size, 100, filters), decoder, networks.discriminator(*size, filters)


def anogan(title="t", caption=CAPTION, **size):
    _, decoder, discriminator = models(**size)
    return architecture.anogan_architecture(decoder, discriminator, title, caption)


def ganomaly(title="t", caption=CAPTION, weights=(1, 50, 1), **size):
    encoder, decoder, discriminator = models(**size)
    networks_of = encoder, decoder, encoder, discriminator
    return architecture.ganomaly_architecture(*networks_of, title, caption, weights)


TWO = ("AnoGAN", "GANomaly")
GROUPS = ["test normal", "test anomaly"]
ARGUMENTS = {
    "score_scatter": (
        {"AnoGAN": score_panel(), "GANomaly": score_panel([500.0])},
        {"auroc": {"AnoGAN": 0.123, "GANomaly": 0.9876}},
    ),
    "score_histogram": ({"good images": random().gamma(4, 1, 64)}, {"threshold": 8.0}),
    "distance_histogram": (
        {"paper": random().gamma(2, 3, 262), "grouped": 12 + random().gamma(2, 3, 80)},
        {"threshold": 12.0},
    ),
    "reconstructions": (dict.fromkeys(TWO, pairs()), {}),
    "residual_images": ({"AnoGAN": residuals(3), "GANomaly": residuals(3, 0.5)}, {}),
    "residual_images, one method": ({"AnoGAN": residuals()}, {}),
    "worst_errors": ({"AnoGAN": errors(), "GANomaly": errors(scale=0.5)}, {}),
    "leaks": (strips(), {"shares": {"paper": "64 of 262 identical"}, "threshold": 10.0}),
    "samples_over_epochs": (pictures(6).reshape(2, 3, 16, 16, 1), {"epochs": [1, 20]}),
    "image_grid": (pictures(10, 3), {"titles": [f"image {i}" for i in range(10)]}),
    "training_curves": (HISTORY, {}),
    "search_loss": (random().random((5, 6)) + 0.1, {"groups": GROUPS * 3, "steps": range(5)}),
    "roc_and_precision_recall": (curves(), {"baselines": BASELINES}),
    "auroc_by_kind": (by_kind(), {}),
    "score_against_complexity": (dict.fromkeys([*TWO, "PCA"], complexity()), {}),
    "score_against_complexity, six kinds": ({"PCA": complexity(SIX_KINDS)}, {}),
    "auroc_forest": (forest(), {}),
    "auroc_forest, one panel": (forest().query("dataset == 'cloud' & published > 0"), {}),
    "threshold_rates": (rates(), {}),
    "errata_effects": (effects(), {}),
}
FIGURES = [*ARGUMENTS, "anogan", "ganomaly"]


def draw(name, title="t", caption=CAPTION):
    """Draw a figure of `FIGURES` from the data above."""
    if name not in ARGUMENTS:
        return {"anogan": anogan, "ganomaly": ganomaly}[name](title, caption)
    data, options = ARGUMENTS[name]
    function = getattr(figures, name.split(",")[0])
    return function(data, title=title, caption=caption, **options)


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def images_of(figure):
    """The images drawn, with their left and bottom edge in the figure."""
    places = [(axes, axes.get_position()) for axes in figure.axes if axes.images]
    return [(axes.images[0], place.x0, place.y0) for axes, place in places]


def lines_of(axes, gid):
    return [line for line in axes.get_lines() if line.get_gid() == gid]


def values_of(axes, gid):
    """The x of the symbols with a gid, from top to bottom, none for NaN."""
    points = sorted(tuple(line.get_xydata()[0][::-1]) for line in lines_of(axes, gid))
    return [float(x) for _, x in points if not np.isnan(x)]
