"""How good scores are, whatever made them."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics

from ganlib.errors import GanlibError


def evaluate(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Judge anomaly scores against the truth.

    Best F1 and best accuracy, and the thresholds that give them, are oracles: they choose the
    threshold on the very images they judge, which no user can do. They are what a scatter plot
    shows to the eye, and comparable with other papers, nothing more.

    Args:
        labels: `(n,)`, 0 for normal and 1 for anomaly, both present.
        scores: `(n,)`, higher is more anomalous. An image is called an anomaly if its score is at
            or above a threshold.

    Returns:
        `auroc` and `average_precision`, which need no threshold; `best_f1` and
        `best_f1_threshold`; `best_accuracy` and `best_accuracy_threshold`. All but the thresholds
        are 0..1.
    """
    labels = np.asarray(labels)
    scores = np.asarray(scores, dtype="float64")
    false_rate, true_rate, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    thresholds[0] = np.nextafter(scores.max(), np.inf)  # scikit-learn's is infinite: call nothing
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
    """Scale scores to 0..1 over a test set, as the paper does for GANomaly.

    The result depends on the whole set, so it cannot serve for a single image: use it for figures.

    Args:
        scores: `(n,)`.

    Returns:
        `(n,)`, 0..1; all 0 if all scores are equal.

    Reference:
        Paper, section 4, s'.
    """
    scores = np.asarray(scores, dtype="float64")
    extent = scores.max() - scores.min()
    return (scores - scores.min()) / (extent if extent > 0 else 1.0)


def auroc_interval(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Say how far the AUROC on other test images of the same kind may be from the one on these.

    Only the test images vary here. What another training would give is seen from other seeds alone.

    Args:
        labels: `(n,)`, 0 for normal and 1 for anomaly, both present.
        scores: `(n,)`, higher is more anomalous.
        groups: `(n,)`, equal where images are copies of one thing (augmented copies of a part,
            say). Whole groups are then drawn, because copies tell little more than one image does.
            None: every image is a group of its own. The labels are drawn separately, so a group
            that has both counts as two.
        confidence: how often such an interval holds the true value, 0..1.
        resamples: number of test sets drawn.
        seed: seed of the draws.

    Returns:
        Lower and upper end, 0..1.

    Raises:
        GanlibError: a label is missing, or a score is no finite number.

    Reference:
        BCa bootstrap (Efron 1987), stratified by label. On simulated scores its intervals of 95 %
        held the truth in 93 % of the cases or more, those of the percentile bootstrap in as few as
        87 %, the fewer the nearer the AUROC was to 1. Where every pair of an anomaly and a normal
        image says the same (an AUROC of 1, say) no resample differs, and a bootstrap would be
        certain; the exact binomial limit of m pairs without a common image stands in, m being the
        number of groups of the rarer label. From a single group of a label nothing follows: 0 to 1.
    """
    run = _wins(labels, scores), labels, groups
    low, high, _ = _bootstrap([run], confidence, resamples, seed, "BCa", (0.0, 1.0))
    return low, high


def paired_difference(
    labels: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    groups: np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """Compare two methods that scored the same images.

    Both are judged on the same draws of images, so what makes an image hard for both cancels out.

    Args:
        labels: `(n,)`, 0 for normal and 1 for anomaly, both present.
        scores_a: `(n,)`, of one method, higher is more anomalous.
        scores_b: `(n,)`, of the other; its scale may differ.
        groups: `(n,)` or None, see `auroc_interval`.
        confidence: how often such an interval holds the true difference, 0..1.
        resamples: number of test sets drawn.
        seed: seed of the draws.

    Returns:
        `difference`, AUROC of a minus that of b; the ends of its interval, `low` and `high`; and
        `p_value`, two-sided, of there being none. The interval of 95 % leaves 0 out where the
        p-value is below 0.05, but for rounding to whole draws; it is never below
        2 / (resamples + 1).

    Raises:
        GanlibError: a label is missing, or a score is no finite number.

    Reference:
        Percentile bootstrap, which a difference, being nearly symmetric, does not need corrected;
        the p-value is the smallest alpha whose interval leaves 0 out. Limits as in
        `auroc_interval`.
    """
    wins = _wins(labels, scores_a) - _wins(labels, scores_b)
    run = wins, labels, groups
    low, high, p_value = _bootstrap([run], confidence, resamples, seed, "percentile", (-1.0, 1.0))
    return {"difference": float(wins.mean()), "low": low, "high": high, "p_value": p_value}


def over_seeds(
    tables: Sequence[pd.DataFrame],
    others: Sequence[pd.DataFrame] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """Judge several runs of one method, or compare them with those of another, over test images.

    The interval is that of the mean: all runs are judged on the same draws of images, so that it
    gets no narrower by training again and testing on the same images. Runs may have different test
    images; near-duplicates are drawn together, across the runs too.

    Args:
        tables: for each run its test images, with the columns `label`, `score` and `cluster` (equal
            for near-duplicates, in all runs alike).
        others: the same images in the same order, scored by another method; None: no comparison.
        confidence: how often such an interval holds the true value, 0..1.
        resamples: number of draws.
        seed: seed of the draws.

    Returns:
        `value`, the mean AUROC over the runs, or the mean of its difference to the other method's;
        the ends of its interval, `low` and `high`; with `others` also `p_value`, two-sided, of
        there being no difference.

    Raises:
        GanlibError: a label is missing, a score is no finite number, or the images differ.

    Reference:
        As `auroc_interval` and `paired_difference`; in a draw, a run counts by how many of its
        pairs of an anomaly and a normal image were drawn.
    """
    runs = []
    for index, table in enumerate(tables):
        wins = _wins(table["label"], table["score"])
        if others is not None:
            other = others[index]
            if not np.array_equal(table[["label", "cluster"]], other[["label", "cluster"]]):
                raise GanlibError(
                    f"Run {index + 1} of the two methods has not the same test images in the same "
                    "order: only such can be compared in pairs."
                )
            wins = wins - _wins(other["label"], other["score"])
        runs.append((wins, table["label"], table["cluster"]))
    value = float(np.mean([wins.mean() for wins, _, _ in runs]))
    if others is None:
        low, high, _ = _bootstrap(runs, confidence, resamples, seed, "BCa", (0.0, 1.0))
        return {"value": value, "low": low, "high": high}
    low, high, p_value = _bootstrap(runs, confidence, resamples, seed, "percentile", (-1.0, 1.0))
    return {"value": value, "low": low, "high": high, "p_value": p_value}


def by_kind(
    labels: np.ndarray,
    kinds: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Judge each kind of anomaly by itself, against all normal images.

    Args:
        labels: `(n,)`, 0 for normal and 1 for anomaly, both present.
        kinds: `(n,)`, names; those of normal images are not looked at.
        scores: `(n,)`, higher is more anomalous.
        groups: `(n,)` or None, see `auroc_interval`.
        confidence: of the intervals, 0..1.

    Returns:
        A line per kind, in the order of the names: `kind`, `n` (anomalies of it), `n_normal`,
        `auroc`, and its interval, `low` and `high`.

    Raises:
        GanlibError: a label is missing, or a score is no finite number.
    """
    labels, kinds, scores = np.asarray(labels), np.asarray(kinds), np.asarray(scores)
    _wins(labels, scores)  # refuses what cannot be judged
    lines = []
    for kind in np.unique(kinds[labels == 1]):
        rows = (labels == 0) | (kinds == kind)
        of_rows = None if groups is None else np.asarray(groups)[rows]
        low, high = auroc_interval(labels[rows], scores[rows], of_rows, confidence)
        lines.append(
            {
                "kind": kind,
                "n": int((labels[rows] == 1).sum()),
                "n_normal": int((labels == 0).sum()),
                "auroc": float(metrics.roc_auc_score(labels[rows], scores[rows])),
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(lines)


def _wins(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Compare every anomaly with every normal image; the mean of it all is the AUROC.

    Args:
        labels: `(n,)`, 0 or 1.
        scores: `(n,)`.

    Returns:
        float64 `(anomalies, normals)`: 1 where the anomaly scores higher, 0 where lower, 0.5 where
        they are equal.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype="float64")
    anomalies, normals = scores[labels == 1][:, np.newaxis], scores[labels == 0]
    if not (anomalies.size and normals.size and np.isfinite(scores).all()):
        raise GanlibError(
            f"{anomalies.size} anomalies and {normals.size} normal images, "
            f"{int((~np.isfinite(scores)).sum())} scores that are not finite: an AUROC needs at "
            "least one image of each label, and finite scores."
        )
    return ((anomalies > normals).astype("float64") + (anomalies >= normals)) / 2


def _bootstrap(
    runs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray | None]],
    confidence: float,
    resamples: int,
    seed: int,
    method: str,
    limits: tuple[float, float],
) -> tuple[float, float, float]:
    """Draw groups of images anew, within each label: interval of the mean of wins, p-value of 0.

    A run is its wins, labels and groups. A draw takes image i so many times: a_i for anomalies, b_j
    for normal images. Its AUROC is then a' wins b / (sum a  sum b), which is far faster than
    sorting scores, and exact with ties; with several runs a' (sum of wins) b / a' (pairs) b.
    """
    names = ([], [])  # per label, the groups of each run's images
    for _, labels, groups in runs:
        groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
        for place, label in enumerate((1, 0)):
            names[place].append(groups[np.asarray(labels) == label])
    every = [np.unique(np.concatenate(of_runs)) for of_runs in names]
    sums, pairs = np.zeros([2, *map(len, every)])
    for (wins, _, _), anomalies, normals in zip(runs, *names, strict=True):
        # (groups, images): 1 where the image is of the group
        members = [
            (of_image == known[:, np.newaxis]).astype("float64")
            for of_image, known in zip((anomalies, normals), every, strict=True)
        ]
        sums += members[0] @ wins @ members[1].T
        pairs += np.outer(*(member.sum(axis=1) for member in members))
    sizes = sums.shape
    fewest = min(sizes)
    means = sums[pairs > 0] / pairs[pairs > 0]
    if fewest < 2 or np.ptp(means) == 0:  # see `auroc_interval`, reference
        margin = 1 - ((1 - confidence) / 2) ** (1 / fewest) if fewest > 1 else 2.0
        value = float(sums.sum() / pairs.sum())
        low, high = max(value - margin, limits[0]), min(value + margin, limits[1])
        return low, high, min(1.0, 2 * 0.5**fewest) if value and fewest > 1 else 1.0

    def mean_of_draws(anomalies, normals, axis):
        a, b = _counts(anomalies, sizes[0]), _counts(normals, sizes[1])
        # Two runs may share no pair of groups, so that a draw has no pair: it counts as the mean.
        drawn_sums, drawn_pairs = ((a @ sums) * b).sum(axis=1), ((a @ pairs) * b).sum(axis=1)
        rest = sums.sum() / pairs.sum()
        means = np.where(drawn_pairs > 0, drawn_sums / np.maximum(drawn_pairs, 1), rest)
        return means if anomalies.ndim > 1 else means[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of draws too few for BCa, which is seen to below
        drawn = stats.bootstrap(
            tuple(map(np.arange, sizes)),
            mean_of_draws,
            n_resamples=resamples,
            batch=500,  # bounds the memory
            vectorized=True,
            confidence_level=confidence,
            method=method,
            random_state=np.random.default_rng(seed),
        )
    means, ends = drawn.bootstrap_distribution, np.array(drawn.confidence_interval)
    if not np.isfinite(ends).all():
        rest = (1 - confidence) / 2
        ends = np.quantile(means, [rest, 1 - rest])
    fewer = float(min((means <= 0).sum(), (means >= 0).sum()))
    return float(ends[0]), float(ends[1]), min(1.0, 2 * (1 + fewer) / (1 + resamples))


def _counts(drawn: np.ndarray, n: int) -> np.ndarray:
    """Count how often each of n was drawn: float64 `(draws, n)` of `(draws, any)` or `(any,)`."""
    drawn = np.atleast_2d(drawn)
    starts = n * np.arange(len(drawn))[:, np.newaxis]
    counts = np.bincount((drawn + starts).ravel(), minlength=n * len(drawn))
    return counts.reshape(-1, n).astype("float64")
