"""Metrics of anomaly scores and heat maps, their intervals, and thresholds from normal images.

Shared arguments:
    labels: `(n,)`, 0 for normal and 1 for anomaly. An AUROC needs both.
    scores: `(n,)`, higher is more anomalous; an image at or above the threshold is flagged.
    groups: `(n,)`, equal for copies of one object. None: every image is its own group.
    confidence: how often an interval contains the true value, 0..1.
    normal_scores: `(n,)`, of at least two normal images the model was not trained on.
    false_alarm_rate: share of normal images that may be flagged, 0..1.
    masks: bool `(n, height, width)`, True on a defect, all False for a normal image.
    heat_maps: `(n, height, width)`, higher is more anomalous, on one scale for all images.
All raise a `GanlibError` if a value is not finite or nothing can be computed.
"""

import math
import warnings

import numpy as np
import pandas as pd
from scipy import ndimage, stats
from sklearn import metrics

from ganlib.errors import GanlibError

TAIL = 0.2  # share of highest normal scores that a curve is fitted to


def evaluate(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Compute metrics. Best F1 and accuracy are oracles: the test labels choose their threshold."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype="float64")
    false_rate, true_rate, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    thresholds[0] = np.nextafter(scores.max(), np.inf)  # scikit-learn's is infinite: flag nothing
    anomalies, normals = (labels == 1).sum(), (labels == 0).sum()
    true_positives, false_positives = true_rate * anomalies, false_rate * normals
    f1 = 2 * true_positives / (true_positives + false_positives + anomalies)
    accuracy = (true_positives + normals - false_positives) / len(labels)
    return {
        "auroc": float(metrics.roc_auc_score(labels, scores)),
        "average_precision": float(metrics.average_precision_score(labels, scores)),
        "best_f1": float(f1.max()),
        "best_f1_threshold": float(thresholds[f1.argmax()]),
        "best_accuracy": float(accuracy.max()),
        "best_accuracy_threshold": float(thresholds[accuracy.argmax()]),
    }


def min_max(scores: np.ndarray) -> np.ndarray:
    """Scale the scores of a whole test set to 0..1 (equal ones to 0): the paper's s', section 4."""
    scores = np.asarray(scores, dtype="float64")
    return (scores - scores.min()) / (np.ptp(scores) or 1.0)


def auroc_interval(labels, scores, groups=None, **options) -> tuple[float, float]:
    """Return `low` and `high` of `over_seeds` for a single run; `options` are passed to it."""
    result = over_seeds([_table(labels, scores, groups)], **options)
    return result["low"], result["high"]


def paired_difference(labels, scores_a, scores_b, groups=None, **options) -> dict[str, float]:
    """Return `difference` (AUROC of a minus AUROC of b) and the other results of `over_seeds`."""
    tables = ([_table(labels, scores, groups)] for scores in (scores_a, scores_b))
    result = over_seeds(*tables, **options)
    return {"difference": result.pop("value"), **result}


def over_seeds(
    tables: list[pd.DataFrame],
    others: list[pd.DataFrame] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    draw_runs: bool = False,
) -> dict[str, float]:
    """Compute the mean AUROC of several runs, or its difference from another method's.

    Each resample draws the same test images for all runs and both methods, so more trainings do not
    narrow the interval. It draws whole clusters within each label: copies add little information.

    Args:
        tables: the test images of each run, with `label`, `score` and `cluster` (equal for
            near-duplicates, across runs too). Runs may have different test images.
        others: the same images in the same order, scored by another method, to compare with.
        draw_runs: resample the trainings too. Simulated with three: 95 % intervals held in 89 %.

    Returns:
        `value`, the mean over the runs; `low` and `high`, its interval; with `others` the two-sided
        `p_value` for no difference, at least 2 / (resamples + 1).

    Reference: BCa bootstrap (Efron 1987) for an AUROC; on simulated scores, 95 % intervals held
    the true value in at least 93 %. Percentile bootstrap for a difference. If no draw differs (for
    example, AUROC 1): the exact binomial limit for m pairs, m = clusters of the rarer label.
    """
    wins, paired = [_wins(table) for table in tables], others is not None
    for i, (table, other) in enumerate(zip(tables, others, strict=True) if paired else ()):
        if not np.array_equal(table[["label", "cluster"]], other[["label", "cluster"]]):
            raise GanlibError(f"Run {i + 1}: the methods' test images or their order differ.")
        wins[i] -= _wins(other)
    counts = _by_cluster(tables, wins, draw_runs)
    low, high, p_value = _bootstrap(*counts, paired, confidence, resamples, seed)
    result = {"value": float(np.mean([of_run.mean() for of_run in wins])), "low": low, "high": high}
    return result | ({"p_value": p_value} if paired else {})


def by_kind(labels, kinds, scores, groups=None, confidence=0.95) -> pd.DataFrame:
    """Compute `auroc`, `auroc_low` and `auroc_high` per kind of anomaly against all normal images.

    Return one row per `kind`, with the image counts `n_test_normal` and `n_test_anomaly`.
    """
    table, rows = _table(labels, scores, groups).assign(kind=np.asarray(kinds)), []
    n, normal = _wins(table).shape[1], table["label"] == 0
    for kind in np.unique(table["kind"][~normal]):
        part = table[normal | (table["kind"] == kind)]
        rows.append([kind, n, len(part) - n, *over_seeds([part], confidence=confidence).values()])
    columns = ["kind", "n_test_normal", "n_test_anomaly", "auroc", "auroc_low", "auroc_high"]
    return pd.DataFrame(rows, columns=columns)


def _table(labels, scores, groups) -> pd.DataFrame:
    groups = range(len(labels)) if groups is None else groups
    columns = {"label": labels, "score": scores, "cluster": groups}
    return pd.DataFrame({name: np.asarray(values) for name, values in columns.items()})


def _wins(table: pd.DataFrame) -> np.ndarray:
    """Compare all pairs, `(anomalies, normals)`: 1 if the anomaly scores higher, 0.5 if equal."""
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy("float64")
    anomalies, normals = scores[labels == 1][:, np.newaxis], scores[labels == 0]
    if not (anomalies.size and normals.size and np.isfinite(scores).all()):
        found = f"{anomalies.size} anomalies and {normals.size} normal images"
        wrong = f"{(~np.isfinite(scores)).sum()} scores are not finite"
        raise GanlibError(f"{found}; {wrong}. An AUROC needs finite scores of both.")
    return ((anomalies > normals).astype("float64") + (anomalies >= normals)) / 2


def _by_cluster(tables, wins, each_run):
    """Sum wins and count pairs, both `(1 or runs, anomaly clusters, normal clusters)`."""
    clusters = [[t["cluster"][t["label"] == label] for t in tables] for label in (1, 0)]
    names = [np.unique(np.concatenate(of_runs)) for of_runs in clusters]
    sums, pairs = np.zeros((2, len(tables) if each_run else 1, *map(len, names)))
    for run, (of_run, *of_labels) in enumerate(zip(wins, *clusters, strict=True)):
        places = (run * each_run, *np.ix_(*map(np.searchsorted, names, of_labels)))
        np.add.at(sums, places, of_run)
        np.add.at(pairs, places, 1)
    return sums, pairs


def _bootstrap(sums, pairs, paired, confidence, resamples, seed) -> tuple[float, float, float]:
    """Return interval and p-value. A draw has anomaly clusters a_i, normal b_j, runs c_k times.

    The mean of a draw is a' sums b / a' pairs b: faster than sorting scores, and exact with ties.
    """
    lowest, fewest, rest = -1.0 if paired else 0.0, min(sums.shape[1:]), (1 - confidence) / 2
    mean = float(sums.sum() / pairs.sum())
    if fewest < 2 or np.ptp(sums[pairs > 0] / pairs[pairs > 0]) == 0:  # no draw differs
        margin = 1 - rest ** (1 / fewest) if fewest > 1 else 2.0  # one cluster: whole range
        p_value = 2 * 0.5**fewest if mean else 1.0
        return max(mean - margin, lowest), min(mean + margin, 1.0), p_value

    levels = sums.shape[len(sums) == 1 :]

    def mean_of_draws(*drawn, axis):
        *c, a, b = (
            np.apply_along_axis(np.bincount, -1, np.atleast_2d(of_level), minlength=n)
            for of_level, n in zip(drawn, levels, strict=True)
        )
        c = c[0].T if c else 1
        won, drawn_pairs = ((c * ((a @ each) * b).sum(axis)).sum(0) for each in (sums, pairs))
        # Runs may share no pair of clusters. A draw can then be empty; it counts as the mean.
        means = np.where(drawn_pairs > 0, won / np.maximum(drawn_pairs, 1), mean)
        return means.reshape(drawn[0].shape[:-1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few draws for BCa: its ends are not finite
        drawn = stats.bootstrap(
            tuple(map(np.arange, levels)),
            mean_of_draws,
            n_resamples=resamples,
            batch=500,  # bounds the memory
            confidence_level=confidence,
            method="percentile" if paired else "BCa",
            random_state=np.random.default_rng(seed),
        )
    means, ends = drawn.bootstrap_distribution, np.array(drawn.confidence_interval)
    if not np.isfinite(ends).all():
        ends = np.quantile(means, [rest, 1 - rest])
    fewer = min((means <= 0).sum(), (means >= 0).sum())
    return float(ends[0]), float(ends[1]), min(1.0, float(2 * (1 + fewer) / (1 + resamples)))


def fit_thresholds(
    normal_scores: np.ndarray, false_alarm_rate: float = 0.05, deviations: float = 3.0
) -> dict[str, float]:
    """Return the threshold of each rule."""
    return {
        "quantile": quantile_threshold(normal_scores, false_alarm_rate),
        "deviations": deviation_threshold(normal_scores, deviations),
        "tail": tail_threshold(normal_scores, false_alarm_rate),
    }


def quantile_threshold(normal_scores: np.ndarray, false_alarm_rate: float = 0.05) -> float:
    """Return the threshold just above the (n + 1)(1 - rate)-th smallest of n normal scores.

    Split conformal prediction, interpolated between two scores. If higher scores are rarer, the
    rate is not exceeded on average over draws of n images. The rate of a single draw varies by
    about sqrt(rate (1 - rate) / n).
    """
    scores, rate = _check_scores(normal_scores, false_alarm_rate), false_alarm_rate
    n = len(scores)
    if (n + 1) * rate < 1 - 1e-9:  # the new image is one of n + 1
        needed = f"{math.ceil(1 / rate - 1e-9) - 1} normal images or allow {1 / (n + 1):.3g}"
        found = f"{n} normal scores are too few for a rate of {rate:g}"
        raise GanlibError(f"{found}: hold out at least {needed}.")
    return _just_above(np.quantile(scores, 1 - rate, method="weibull"))


def count_odd(normal_scores: np.ndarray, false_alarm_rate: float = 0.05) -> int:
    """Count the scores (at most a tenth) that would set the threshold but are far above the rest.

    A rate of 0 counts all that are. If log scores are normally distributed, fewer than 1 % of all
    sets have any such scores.
    Reference: Grubbs' test from outside inward, as in Rosner 1983, with the others' deviation.
    """
    scores = np.sort(np.log(np.maximum(_check_scores(normal_scores), 1e-6)))
    n, fewest = len(scores), max(1, math.floor((len(scores) + 1) * false_alarm_rate + 1e-9))
    for count in range(max(1, n // 10), fewest - 1, -1) if n > 4 else ():
        others = scores[:-count]
        far = (scores[-count] - others.mean()) / max(others.std(ddof=1), 0.01)
        if n * stats.t.sf(far / math.sqrt(1 + 1 / len(others)), len(others) - 1) < 0.01:
            return count
    return 0


def deviation_threshold(normal_scores: np.ndarray, deviations: float = 3.0) -> float:
    """Return the mean plus `deviations` standard deviations, a rule of thumb with no set rate."""
    scores = _check_scores(normal_scores)
    return _just_above(scores.mean() + deviations * scores.std(ddof=1))


def tail_threshold(normal_scores: np.ndarray, false_alarm_rate: float = 0.05) -> float:
    """Return the threshold from a curve fitted to the highest fifth of the normal scores.

    Use it for rates that the quantile has too few images for. It guarantees nothing: on simulated
    scores, a requested 5 % became 6 % with 50 images. Rates of `TAIL` or more use the quantile.
    Reference: Pickands 1975, generalized Pareto; exponential if that does not fit.
    """
    scores = _check_scores(normal_scores, false_alarm_rate)
    if false_alarm_rate >= TAIL:
        return quantile_threshold(scores, false_alarm_rate)
    start = np.quantile(scores, 1 - TAIL)
    excesses = scores[scores > start] - start
    alarms = false_alarm_rate * len(scores) / max(len(excesses), 1)  # as a share of the tail
    if alarms >= 1:  # many scores equal `start`; few are above
        return _just_above(start)
    mean, shape, scale = excesses.mean(), 0.0, 1.0  # in units of the mean; shape 0: exponential
    if len(excesses) >= 10 and np.ptp(excesses) > 0:  # fewer are not enough to fit two parameters
        fitted, _, width = stats.genpareto.fit(excesses / mean, floc=0)
        if -1 < fitted < 1 and 0 < width < np.inf:
            shape, scale = fitted, width
    return _just_above(start + stats.genpareto.isf(alarms, shape, 0, scale * mean))


def rates(labels, scores, threshold: float, confidence: float = 0.95) -> dict[str, float]:
    """Compute the false-alarm and detection rates of a threshold chosen beforehand.

    Return `n_normal`, `n_anomaly` and, for labels that are present, `false_alarm_rate` and
    `detection_rate` with exact intervals (Clopper and Pearson 1934), `false_alarm_low` and so on.
    """
    called = np.asarray(scores, dtype="float64") >= threshold
    labels, result = np.asarray(labels), {}
    for label, name, kind in ((0, "false_alarm", "normal"), (1, "detection", "anomaly")):
        n = int((labels == label).sum())
        if n:
            test = stats.binomtest(int(called[labels == label].sum()), n)
            low, high = map(float, test.proportion_ci(confidence))
            result |= {f"{name}_rate": test.statistic, f"{name}_low": low, f"{name}_high": high}
        result[f"n_{kind}"] = n
    return result


def _check_scores(normal_scores: np.ndarray, rate: float = 0.5) -> np.ndarray:
    scores = np.asarray(normal_scores, dtype="float64").ravel()
    if len(scores) < 2 or not np.isfinite(scores).all():
        finite = f"{np.isfinite(scores).sum()} of {len(scores)} normal scores are finite"
        raise GanlibError(f"{finite}: a threshold needs at least two scores, all finite.")
    if not 0 < rate < 1:
        raise GanlibError(f"false_alarm_rate is {rate}: expected a share between 0 and 1.")
    return scores


def _just_above(value: float) -> float:
    """Return the next float32: a score at the threshold is flagged, and models return float32."""
    return float(np.nextafter(np.float32(value), np.float32(np.inf)))


def pixel_auroc(masks: np.ndarray, heat_maps: np.ndarray) -> float:
    """Compute the AUROC over all pixels. Large defects dominate it; see `pro`."""
    masks, heat_maps = _check_maps(masks, heat_maps)
    return float(metrics.roc_auc_score(masks.ravel(), heat_maps.ravel()))


def pro(masks: np.ndarray, heat_maps: np.ndarray, limit: float = 0.3) -> float:
    """Compute the area under the per-region overlap (PRO) curve: the share of each defect found.

    The area up to `limit`, a share of normal pixels, is divided by it, so guessing gives limit / 2.
    Reference: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129 (2021), section 5.
    """
    masks, heat_maps = _check_maps(masks, heat_maps)
    # With defective pixels weighted by 1 / their region's size, this is a weighted ROC curve.
    weights = np.ones(masks.shape)
    for mask, weight in zip(masks, weights, strict=True):
        regions, _ = ndimage.label(mask, np.ones((3, 3)))  # corners connect, as in MVTec's code
        weight[mask] = 1 / np.bincount(regions.ravel())[regions[mask]]
    false, overlap, _ = metrics.roc_curve(
        masks.ravel(), heat_maps.ravel(), sample_weight=weights.ravel(), drop_intermediate=False
    )
    within, at_limit = false <= limit, np.interp(limit, false, overlap)
    area = metrics.auc(np.append(false[within], limit), np.append(overlap[within], at_limit))
    return float(area / limit)


def _check_maps(masks: np.ndarray, heat_maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    masks, heat_maps = np.asarray(masks, dtype=bool), np.asarray(heat_maps)
    if masks.ndim != 3 or masks.shape != heat_maps.shape:
        shapes = f"masks {masks.shape} and heat maps {heat_maps.shape}"
        raise GanlibError(f"{shapes} do not match: expected (n, height, width) for both.")
    if not masks.any() or masks.all():
        raise GanlibError(f"{masks.sum()} of {masks.size} pixels are defective: expected a subset.")
    if not np.isfinite(heat_maps).all():
        raise GanlibError("The heat maps contain values that are not finite: check the detector.")
    return masks, heat_maps
