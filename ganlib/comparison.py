"""Build the tables of the comparison from the scores of all runs.

Shared arguments:
    scores: a run's `scores.csv`, with `role`, `label`, `kind`, `cluster`, `score`.
    runs: a row per run, with `dataset`, `source`, `protocol`, `family`, `method`, `seed`, `folder`,
        and from `merits` (kind "all") `auroc` and the image counts.
    tables: `folder` mapped to the run's scores.
"""

import io
import itertools

import numpy as np
import pandas as pd
from PIL import Image

from ganlib import evaluation

FALSE_ALARM_RATE = 0.05
YARDSTICKS = ("nearest neighbour", "mean brightness", "image statistics")
# Read off the published notebooks' final scatter plots: they print no AUROC. One unseeded run each.
PUBLISHED = pd.DataFrame(
    [
        ("casting", "paper", "AnoGAN", 0.552, "100 + 100"),
        ("casting", "paper", "GANomaly", 0.907, "262 + 453"),
        ("cloud", "paper", "AnoGAN", 0.703, "100 + 100"),
        ("cloud", "paper", "GANomaly", 0.727, "100 + 100"),
    ],
    columns=["dataset", "protocol", "method", "published", "published_on"],
)
RUN = ["dataset", "protocol", "method"]  # shared by runs that differ in the seed


def tested(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the test images."""
    return scores[scores["role"] == "test"]


def merge_folds(
    runs: pd.DataFrame, tables: dict[str, pd.DataFrame]
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Merge a method's runs "kfold-1", "kfold-2", ... of one seed into a single run, "kfold".

    Each fold's scores become z: deviations (1.4826 MAD) from the median of its calibration images.
    Each test image has one row, with the mean z of its folds and all else from the first one.
    """
    runs = runs.assign(protocol=runs["protocol"].str.replace(r"^kfold-.*", "kfold", regex=True))
    first = runs.drop_duplicates([*RUN, "seed"])
    merged = {folder: tables[folder] for folder in first["folder"]}
    for _, same in runs[runs["protocol"] == "kfold"].groupby([*RUN, "seed"]):
        folds = []
        for scores in map(tables.get, same["folder"]):
            held_out = scores.loc[scores["role"] == "calibration", "score"]
            deviation = 1.4826 * (held_out - held_out.median()).abs().median()
            z = (scores["score"] - held_out.median()) / (deviation or 1.0)
            folds.append(tested(scores.assign(score=z)))
        every = pd.concat(folds)
        every["score"] = every.groupby("row")["score"].transform("mean")
        merged[same["folder"].iloc[0]] = every.drop_duplicates("row").sort_values("row")
    return first, merged


def merits(scores: pd.DataFrame) -> pd.DataFrame:
    """Evaluate a run: one row with `kind` "all" and the metrics, and one per kind if several.

    All rows have `n_test_normal`, `n_test_anomaly`, `auroc`, `auroc_low` and `auroc_high` (95 %).
    """
    test = tested(scores)
    metrics = evaluation.evaluate(test["label"], test["score"])
    whole, kinds = (
        evaluation.by_kind(test["label"], kinds, test["score"], test["cluster"])
        for kinds in (np.full(len(test), "all"), test["kind"])
    )
    rows = [whole.assign(**metrics), kinds] if len(kinds) > 1 else [whole.assign(**metrics)]
    columns = ["kind", "n_test_normal", "n_test_anomaly", *metrics, "auroc_low", "auroc_high"]
    return pd.concat(rows, ignore_index=True)[columns]


def summarise(runs: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Average the seeds of each method per data set and protocol; add published results.

    `auroc` is the mean, `low` and `high` its 95 % interval over other test images ("kfold": also
    other trainings), `seeds` the AUROC of each seed. Image counts and times are medians.
    `pictures` counts clusters of normal test images and of anomalies.
    """
    rows = []
    for (_, protocol, _), same in runs.groupby(RUN, sort=False):
        found = [tested(tables[folder]) for folder in same["folder"]]
        mean = evaluation.over_seeds(found, draw_runs=protocol == "kfold")
        pictures = pd.concat(found).groupby("label")["cluster"].nunique()
        counts = same[["n_train", "n_test_normal", "n_test_anomaly"]].median().astype(int)
        times = same[["train_seconds", "score_ms_per_image"]].median()
        seeds = {"seeds": same["auroc"].round(4).tolist(), "n_seeds": len(same)}
        seeds["pictures"] = " + ".join(map(str, pictures))
        auroc = {"auroc": mean.pop("value"), "sd": same["auroc"].std(), **mean, **seeds}
        rows.append({**same[[*RUN, "source", "family"]].iloc[0], **auroc, **counts, **times})
    table = pd.DataFrame(rows).merge(PUBLISHED, on=RUN, how="left")
    published = ["published", "published_on"]
    # Published results do not apply to generated images.
    table[published] = table[published].mask(table["source"] == "generated")
    return table


def differences(runs: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Compare GANomaly with AnoGAN, the best GAN with the best baseline, methods with `YARDSTICKS`.

    The best are chosen on the test images, which favors both sides alike. Each row is a `question`
    whose methods `a` and `b` share a seed. `difference` is the AUROC of a minus that of b, averaged
    over the shared seeds, with its 95 % interval (as in `summarise`) and `p_value`.
    """
    numbers, rows = ["low", "high", "p_value", "value"], []
    for names, same in runs.groupby(["dataset", "protocol"], sort=False):
        folders = same.pivot_table("folder", "seed", "method", aggfunc="first")
        means = same.groupby(["family", "method"])["auroc"].mean()
        best = [means[f].idxmax() for f in ("GAN", "baseline") if f in means]
        learnt = same.loc[same["family"] != "baseline", "method"].unique()
        simple = itertools.product(["method or simple baseline"], learnt, YARDSTICKS)
        questions = [("GANomaly or AnoGAN", "GANomaly", "AnoGAN")]
        questions += [("best GAN or best baseline", *best), *simple]
        for question, *methods in questions:
            pairs = folders.reindex(columns=methods).dropna()
            if len(methods) == 2 and len(pairs):
                a, b = ([tested(tables[folder]) for folder in pairs[m]] for m in methods)
                result = evaluation.over_seeds(a, b, draw_runs=names[1] == "kfold")
                rows.append([*names, question, *methods, *map(result.get, numbers)])
    columns = ["dataset", "protocol", "question", "a", "b", *numbers[:3], "difference"]
    return pd.DataFrame(rows, columns=columns)


def threshold_rates(runs: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Choose thresholds on held-out normal images and apply them to the test images.

    Each row is for a run and a `rule` (of `fit_thresholds`, or the `oracle`), with its `threshold`,
    the requested false-alarm rate (`asked`, or NaN), and the `rates` on the test images.
    """
    rows = []
    for _, run in runs.iterrows():
        scores = tables[run["folder"]]
        held_out = scores.loc[scores["role"] == "calibration", "score"]
        if held_out.empty:
            continue
        columns = tested(scores)["label"], tested(scores)["score"]
        rules = evaluation.fit_thresholds(held_out, FALSE_ALARM_RATE)
        rules["best accuracy"] = evaluation.evaluate(*columns)["best_accuracy_threshold"]
        for rule, threshold in rules.items():
            row = {**run[[*RUN, "family", "seed"]], "rule": rule, "oracle": rule == "best accuracy"}
            row["asked"] = FALSE_ALARM_RATE if rule in ("quantile", "tail") else np.nan
            row |= {"n_calibration": len(held_out), "threshold": threshold}
            rows.append(row | evaluation.rates(*columns, threshold))
    return pd.DataFrame(rows)


def percentiles(scores: pd.DataFrame, values: pd.Series) -> list[str]:
    """Describe values by rank among normal test scores: "above 97 % of the normals"."""
    normals = tested(scores).query("label == 0")["score"]
    return [f"above {100 * (normals < value).mean():.0f} % of the normals" for value in values]


def image_complexity(images: np.ndarray) -> np.ndarray:
    """Return the PNG sizes in bytes, int64 `(n,)`, of uint8 images `(n, height, width, channels)`.

    Simple images are easy to rebuild. Compare on one machine: compressors differ by a few bytes.
    Reference: Serrà et al. 2020, who use it to correct the likelihoods of generative models.
    """
    files = [io.BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        image = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(image).save(file, "PNG", compress_level=9)
    return np.array([file.tell() for file in files], dtype="int64")
