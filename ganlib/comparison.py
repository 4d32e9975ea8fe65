"""From the scores of all runs to the tables of the comparison."""

import pandas as pd

from ganlib import evaluation, thresholds

FALSE_ALARM_RATE = 0.05
DEVIATIONS = 3.0
# The published notebooks print no AUROC: read off their final scatter plots, one unseeded run each.
PUBLISHED = pd.DataFrame(
    [
        ("casting", "paper", "AnoGAN", 0.552, "100 + 100"),
        ("casting", "paper", "GANomaly", 0.907, "262 + 453"),
        ("cloud", "paper", "AnoGAN", 0.703, "100 + 100"),
        ("cloud", "paper", "GANomaly", 0.727, "100 + 100"),
    ],
    columns=["dataset", "protocol", "method", "published", "published_on"],
)
RUN = ["dataset", "protocol", "method"]  # what the runs of several seeds have in common


def tested(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the test images of a run's scores.

    Args:
        table: a run's `scores.csv`, with the column `role`.

    Returns:
        Its lines with the role "test".
    """
    return table[table["role"] == "test"]


def merits(table: pd.DataFrame) -> pd.DataFrame:
    """Judge a run: over all anomalies, and by kind of anomaly.

    Args:
        table: a run's `scores.csv`, with the columns `role`, `label`, `kind`, `cluster`, `score`.

    Returns:
        A line with `kind` "all", with everything `ganlib.evaluation.evaluate` says, and a line for
        each kind if there are several; each with `n_test_normal`, `n_test_anomaly`, `auroc`,
        `auroc_low` and `auroc_high`, the ends of its 95 % interval.
    """
    test = tested(table)
    columns = test["label"], test["score"]
    low, high = evaluation.auroc_interval(*columns, groups=test["cluster"])
    whole = {
        "kind": "all",
        "n_test_normal": int((test["label"] == 0).sum()),
        "n_test_anomaly": int((test["label"] == 1).sum()),
        **evaluation.evaluate(*columns),
        "auroc_low": low,
        "auroc_high": high,
    }
    lines = pd.DataFrame([whole])
    if test.loc[test["label"] == 1, "kind"].nunique() < 2:
        return lines
    kinds = evaluation.by_kind(test["label"], test["kind"], test["score"], test["cluster"])
    names = {"n": "n_test_anomaly", "n_normal": "n_test_normal"}
    names |= {"low": "auroc_low", "high": "auroc_high"}
    return pd.concat([lines, kinds.rename(columns=names)], ignore_index=True)


def summarise(runs: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Put the seeds of each method together, beside what was published.

    Args:
        runs: a line per run, with `dataset`, `source`, `protocol`, `family`, `method`, `seed`,
            `folder`, and from `merits` (kind "all") `auroc` and the numbers of images.
        tables: `folder` to the run's scores.

    Returns:
        A line per data set, protocol and method: `auroc` (mean over the seeds), `sd` (NaN for a
        single seed), `low` and `high` (95 % interval of the mean over other test images), `seeds`
        (the AUROC of each), `n_seeds`, the numbers of images, the times (medians) and `published`,
        `published_on`.
    """
    lines = []
    for names, same in runs.groupby(RUN, sort=False):
        found = evaluation.over_seeds([tested(tables[folder]) for folder in same["folder"]])
        lines.append(
            {
                **dict(zip(RUN, names, strict=True)),
                "source": same["source"].iloc[0],
                "family": same["family"].iloc[0],
                "auroc": found["value"],
                "sd": same["auroc"].std(),
                "low": found["low"],
                "high": found["high"],
                "seeds": same["auroc"].round(4).tolist(),
                "n_seeds": len(same),
                "n_train": int(same["n_train"].median()),
                "n_test_normal": int(same["n_test_normal"].median()),
                "n_test_anomaly": int(same["n_test_anomaly"].median()),
                "train_seconds": same["train_seconds"].median(),
                "score_ms_per_image": same["score_ms_per_image"].median(),
            }
        )
    return pd.DataFrame(lines).merge(PUBLISHED, on=RUN, how="left")


def differences(runs: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Test GANomaly against AnoGAN, and the best GAN against the best baseline, in pairs.

    Which GAN and which baseline is best is read off the test images, as a reader of the table does;
    it favours both sides alike.

    Args:
        runs: as for `summarise`.
        tables: as for `summarise`.

    Returns:
        A line per data set, protocol and question: `a`, `b`, `difference` (AUROC of a minus that of
        b, mean over the seeds), `low` and `high` (95 % interval), `p_value`.
    """
    lines = []
    for (dataset, protocol), same in runs.groupby(["dataset", "protocol"], sort=False):
        means = same.groupby(["family", "method"])["auroc"].mean()
        best = {family: means[family].idxmax() for family in ("GAN", "baseline")}
        questions = {
            "GANomaly or AnoGAN": ("GANomaly", "AnoGAN"),
            "best GAN or best baseline": (best["GAN"], best["baseline"]),
        }
        for question, methods in questions.items():
            pair = [
                [tested(tables[f]) for f in same[same["method"] == m].sort_values("seed")["folder"]]
                for m in methods
            ]
            found = evaluation.over_seeds(*pair)
            found["difference"] = found.pop("value")
            named = dict(zip("ab", methods, strict=True))
            about = {"dataset": dataset, "protocol": protocol, "question": question}
            lines.append({**about, **named, **found})
    return pd.DataFrame(lines)


def threshold_rates(runs: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Choose thresholds on held-out normal images, and see what they do to the test images.

    Args:
        runs: as for `summarise`; runs without calibration images are left out.
        tables: as for `summarise`.

    Returns:
        A line per run and rule ("quantile", "deviations", "tail" of `ganlib.thresholds`, and
        "best accuracy", an oracle, which is chosen on the test images): `rule`,
        `oracle`, `asked` (the false-alarm rate asked for; NaN where the rule knows none),
        `threshold`, and `false_alarm_rate` and `detection_rate` on the test images with their 95 %
        intervals.
    """
    lines = []
    asked = {"quantile": FALSE_ALARM_RATE, "tail": FALSE_ALARM_RATE}
    for run in runs.itertuples():
        table = tables[run.folder]
        held_out = table.loc[table["role"] == "calibration", "score"]
        if held_out.empty:
            continue
        test = tested(table)
        chosen = thresholds.fit_thresholds(held_out, FALSE_ALARM_RATE, DEVIATIONS)
        oracle = evaluation.evaluate(test["label"], test["score"])["best_accuracy_threshold"]
        for rule, threshold in {**chosen, "best accuracy": oracle}.items():
            lines.append(
                {
                    **{name: getattr(run, name) for name in [*RUN, "family", "seed"]},
                    "rule": rule,
                    "oracle": rule not in chosen,
                    "asked": asked.get(rule, float("nan")),
                    "n_calibration": len(held_out),
                    "threshold": threshold,
                    **thresholds.rates(test["label"], test["score"], threshold),
                }
            )
    return pd.DataFrame(lines)


def percentiles(table: pd.DataFrame, scores: pd.Series) -> list[str]:
    """Say in words how scores stand among those of the test normals.

    Args:
        table: a run's `scores.csv`.
        scores: some of its scores.

    Returns:
        For each "above 97 % of the normals".
    """
    normals = tested(table).query("label == 0")["score"]
    return [f"above {100 * (normals < score).mean():.0f} % of the normals" for score in scores]
