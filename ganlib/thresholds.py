"""Thresholds as a user must choose them: from scores of held-out normal images, and nothing else.

Held-out means not trained on: a model's scores of its own training images are too low. An image is
called an anomaly if its score is at or above the threshold, here as everywhere.
"""

import math

import numpy as np
from scipy import stats

from ganlib.errors import GanlibError

FEW = 10  # excesses that are too few to fit two numbers to


def fit_thresholds(
    normal_scores: np.ndarray, false_alarm_rate: float = 0.05, deviations: float = 3.0
) -> dict[str, float]:
    """Choose a threshold by each rule.

    Args:
        normal_scores: `(n,)`, a detector's scores of normal images it was not trained on.
        false_alarm_rate: share of normal images that may be called anomalies, 0..1.
        deviations: k of the rule "deviations", which knows no rate.

    Returns:
        `quantile`, `deviations` and `tail`, see the function of each rule.

    Raises:
        GanlibError: the scores are too few for the rate, or not finite.
    """
    return {
        "quantile": quantile_threshold(normal_scores, false_alarm_rate),
        "deviations": deviation_threshold(normal_scores, deviations),
        "tail": tail_threshold(normal_scores, false_alarm_rate),
    }


def quantile_threshold(normal_scores: np.ndarray, false_alarm_rate: float = 0.05) -> float:
    """Choose the threshold just above a quantile of normal scores, corrected for their number.

    A new normal image is called an anomaly with at most the given probability, whatever the
    distribution of the scores, if it is of the same kind as these. That holds on average over
    draws of the held-out images; a single draw of n has a rate that scatters around it by about
    sqrt(rate (1 - rate) / n).

    Args:
        normal_scores: `(n,)`, a detector's scores of normal images it was not trained on.
        false_alarm_rate: share of normal images that may be called anomalies, 0..1.

    Returns:
        The threshold.

    Raises:
        GanlibError: the scores are too few for the rate (it takes 1 / rate - 1), or not finite.

    Reference:
        Split conformal prediction: the ceil((n + 1)(1 - rate))-th smallest score.
    """
    scores, rate = _checked(normal_scores, false_alarm_rate)
    alarms = math.floor((len(scores) + 1) * rate + 1e-9)  # in n + 1 images, the new one included
    if alarms < 1:
        raise GanlibError(
            f"{len(scores)} normal scores cannot show a false-alarm rate of {rate:g}: hold out at "
            f"least {math.ceil(1 / rate - 1e-9) - 1} normal images or allow a rate of at least "
            f"{1 / (len(scores) + 1):.3g}."
        )
    return _just_above(np.sort(scores)[len(scores) - alarms])


def deviation_threshold(normal_scores: np.ndarray, deviations: float = 3.0) -> float:
    """Choose the mean of normal scores plus k standard deviations.

    The usual rule of thumb. It promises no rate: that depends on the distribution of the scores
    (for k = 3, 0.1 % if they are normally distributed, 2 % if lognormally).

    Args:
        normal_scores: `(n,)`, a detector's scores of normal images it was not trained on, n > 1.
        deviations: k.

    Returns:
        The threshold.

    Raises:
        GanlibError: there are less than two scores, or they are not finite.
    """
    scores, _ = _checked(normal_scores)
    return _just_above(scores.mean() + deviations * scores.std(ddof=1))


def tail_threshold(
    normal_scores: np.ndarray, false_alarm_rate: float = 0.05, tail: float = 0.2
) -> float:
    """Choose the threshold on a curve fitted to the highest normal scores.

    The excesses over a high score follow nearly the same law for almost every distribution, a
    generalised Pareto. The curve uses all of the tail where the quantile uses one score, and goes
    on beyond the highest: it answers for rates that the quantile has too few images for. It is no
    guarantee: on simulated scores a rate of 5 % came out as 6 % from 50 images and as 5.1 % from
    200, 1 % as 1.8 % and as 1.3 %.

    Args:
        normal_scores: `(n,)`, a detector's scores of normal images it was not trained on, n > 1.
        false_alarm_rate: share of normal images that may be called anomalies, 0..1.
        tail: share of the scores that the curve is fitted to, 0..1. A rate of `tail` or more needs
            no curve and gets the quantile.

    Returns:
        The threshold.

    Raises:
        GanlibError: there are less than two scores, or they are not finite.

    Reference:
        Peaks over threshold, Pickands 1975. Where the tail has too few or equal excesses for a fit,
        or the fit has no mean or no likelihood (shape beyond -1..1), the shape is 0: exponential.
    """
    scores, rate = _checked(normal_scores, false_alarm_rate)
    if rate >= tail:
        return quantile_threshold(scores, rate)
    start = np.quantile(scores, 1 - tail)
    excesses = scores[scores > start] - start
    beyond = rate * len(scores) / max(len(excesses), 1)  # share of the tail that may be alarms
    if beyond >= 1:  # many scores equal `start`: hardly any is above
        return _just_above(start)
    shape, scale = _fit_tail(excesses)
    return _just_above(start + stats.genpareto.isf(beyond, shape, 0, scale))


def rates(
    labels: np.ndarray, scores: np.ndarray, threshold: float, confidence: float = 0.95
) -> dict[str, float]:
    """Count how often a threshold, chosen beforehand, is wrong and right.

    Args:
        labels: `(n,)`, 0 for normal and 1 for anomaly.
        scores: `(n,)`, of the detector that the threshold is for.
        threshold: an image is called an anomaly if its score is at or above it.
        confidence: of the intervals, 0..1.

    Returns:
        `false_alarm_rate` of `n_normal` images, with the ends `false_alarm_low` and
        `false_alarm_high` of its exact interval, and `detection_rate`, `detection_low`,
        `detection_high` of `n_anomaly` images. What has no images is left out.

    Reference:
        Clopper and Pearson 1934.
    """
    called = np.asarray(scores, dtype="float64") >= threshold
    labels = np.asarray(labels)
    answer = {}
    for label, name, kind in ((0, "false_alarm", "normal"), (1, "detection", "anomaly")):
        n = int((labels == label).sum())
        if n:
            test = stats.binomtest(int(called[labels == label].sum()), n)
            low, high = test.proportion_ci(confidence)
            answer |= {
                f"{name}_rate": test.statistic,
                f"{name}_low": float(low),
                f"{name}_high": float(high),
            }
        answer[f"n_{kind}"] = n
    return answer


def _fit_tail(excesses: np.ndarray) -> tuple[float, float]:
    """Fit shape and scale of a generalised Pareto."""
    mean = excesses.mean()
    if len(excesses) >= FEW and np.ptp(excesses) > 0:
        # In units of the mean, so that the fit is the same whatever the scale of the scores.
        shape, _, scale = stats.genpareto.fit(excesses / mean, floc=0)
        if -1 < shape < 1 and 0 < scale < np.inf:
            return shape, scale * mean
    return 0.0, mean


def _checked(normal_scores: np.ndarray, rate: float = 0.5) -> tuple[np.ndarray, float]:
    scores = np.asarray(normal_scores, dtype="float64").ravel()
    if len(scores) < 2 or not np.isfinite(scores).all():
        raise GanlibError(
            f"{np.isfinite(scores).sum()} of {len(scores)} normal scores are finite numbers: a "
            "threshold needs at least two, and all finite."
        )
    if not 0 < rate < 1:
        raise GanlibError(f"false_alarm_rate is {rate}: give a share between 0 and 1, as 0.05.")
    return scores, rate


def _just_above(value: float) -> float:
    """Step over a normal score: at the threshold is an alarm. Scores of detectors are float32."""
    return float(np.nextafter(np.float32(value), np.float32(np.inf)))
