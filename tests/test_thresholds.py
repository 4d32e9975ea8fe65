"""Thresholds keep what they promise on images that nobody has seen."""

import json

import numpy as np
import pytest
from scipy import stats

from ganlib.errors import GanlibError
from ganlib.models.calibrated import Calibrated
from ganlib.models.detection import Detection
from ganlib.thresholds import (
    deviation_threshold,
    fit_thresholds,
    quantile_threshold,
    rates,
    tail_threshold,
)

DISTRIBUTIONS = {
    "normal": stats.norm(5, 1),
    "lognormal": stats.lognorm(1),
    "gamma": stats.gamma(2),
}


def draw(distribution, repetitions, n, seed=0):
    random = np.random.default_rng(seed)
    return DISTRIBUTIONS[distribution].rvs((repetitions, n), random_state=random)


@pytest.mark.parametrize(("n", "rate", "smallest"), [(19, 0.05, 19), (99, 0.05, 95), (9, 0.3, 7)])
def test_quantile_is_the_conformal_one(n, rate, smallest):
    """The ceil((n + 1)(1 - rate))-th smallest score raises no alarm, the next does."""
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    threshold = quantile_threshold(scores, rate)
    assert smallest < threshold < smallest + 1e-5


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(("n", "rate"), [(50, 0.05), (200, 0.05), (30, 0.2)])
def test_quantile_keeps_its_rate_whatever_the_distribution(distribution, n, rate):
    normals = draw(distribution, 1500, n)
    real = DISTRIBUTIONS[distribution].sf([quantile_threshold(x, rate) for x in normals])
    # The real rate of a draw has a beta distribution, known exactly.
    alarms = int(np.floor((n + 1) * rate))
    expected = stats.beta(alarms, n + 1 - alarms)
    assert expected.mean() <= rate
    assert real.mean() == pytest.approx(expected.mean(), abs=4 * expected.std() / 1500**0.5)
    assert stats.kstest(real, expected.cdf).pvalue > 0.001


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_rate_on_fresh_normals_is_within_its_own_interval(distribution):
    """The interval of the rate on fresh normals holds the rate that the threshold really has."""
    held_out, fresh = draw(distribution, 400, 100), draw(distribution, 400, 150, seed=1)
    inside = 0
    for normals, others in zip(held_out, fresh, strict=True):
        threshold = quantile_threshold(normals)
        found = rates(np.zeros(150), others, threshold)
        real = DISTRIBUTIONS[distribution].sf(threshold)
        inside += found["false_alarm_low"] <= real <= found["false_alarm_high"]
    assert inside / 400 > 0.95 - 0.02  # an exact interval holds it in 95 % or more


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_tail_is_near_its_rate_and_steadier_than_one_score(distribution):
    normals = draw(distribution, 100, 200)
    real = DISTRIBUTIONS[distribution].sf
    tail = real([tail_threshold(x, 0.05) for x in normals])
    assert tail.mean() == pytest.approx(0.05, abs=0.006)
    assert tail.std() < 0.02
    # Rarer than any of the 200 scores: the quantile has no answer, the tail has.
    with pytest.raises(GanlibError, match="999 normal images"):
        quantile_threshold(normals[0], 0.001)
    rare = real([tail_threshold(x, 0.001) for x in normals])
    assert 0.0003 < np.median(rare) < 0.004


def test_tail_of_known_shape():
    """On exact quantiles of a generalised Pareto the fit finds the quantile beyond them."""
    pareto = stats.genpareto(0.2, loc=10, scale=3)
    scores = pareto.ppf((np.arange(2000) + 0.5) / 2000)
    assert tail_threshold(scores, 0.0001) == pytest.approx(pareto.isf(0.0001), rel=0.05)
    exponential = stats.expon(scale=4).ppf((np.arange(2000) + 0.5) / 2000)
    assert tail_threshold(exponential, 0.001) == pytest.approx(4 * np.log(1000), rel=0.03)


def test_tail_is_scipys_fit():
    scores = draw("gamma", 1, 200)[0]
    start = np.quantile(scores, 0.8)
    shape, _, scale = stats.genpareto.fit(scores[scores > start] - start, floc=0)
    expected = start + scale / shape * ((0.02 * 200 / 40) ** -shape - 1)
    assert tail_threshold(scores, 0.02) == pytest.approx(expected, rel=1e-3)


def test_tail_with_little_to_fit_is_exponential():
    few = np.r_[np.zeros(16), 1.0, 1.0, 1.0, 1.0]  # four equal excesses of 1 over 0
    start = np.quantile(few, 0.8)
    mean = 1 - start
    expected = start + mean * np.log(4 / (0.05 * 20))
    assert tail_threshold(few, 0.05) == pytest.approx(expected, rel=1e-6)
    equal = np.r_[np.zeros(160), np.ones(40)]
    assert np.isfinite(tail_threshold(equal, 0.05))
    nearly_bounded = np.r_[np.linspace(0, 1, 160), np.full(39, 2.0), 2.1]
    start = np.quantile(nearly_bounded, 0.8)  # the likelihood of these 40 has no maximum
    mean = (nearly_bounded[160:] - start).mean()
    expected = start + mean * np.log(40 / (0.05 * 200))
    assert tail_threshold(nearly_bounded, 0.05) == pytest.approx(expected, rel=1e-6)
    assert tail_threshold(np.arange(100.0), 0.3) == quantile_threshold(np.arange(100.0), 0.3)


def exponential(scores, rate):
    """The threshold by hand, where the shape of the tail is taken to be 0."""
    start = np.quantile(scores, 0.8)
    excesses = scores[scores > start] - start
    return start + excesses.mean() * np.log(len(excesses) / (rate * len(scores)))


@pytest.mark.parametrize(
    "scores",
    [
        np.r_[np.zeros(9), 1.0],  # one excess
        np.r_[np.zeros(31), np.arange(1.0, 10)],  # nine, all different: one too few
        np.r_[np.zeros(160), np.ones(40)],  # enough, but all equal
        stats.genpareto(1.5).ppf((np.arange(2000) + 0.5) / 2000),  # no mean
        stats.genpareto(-1.5).ppf((np.arange(2000) + 0.5) / 2000),  # no likelihood
    ],
    ids=["one", "nine", "equal", "no mean", "no likelihood"],
)
def test_a_tail_that_no_curve_fits_is_exponential(scores):
    assert tail_threshold(scores, 0.05) == pytest.approx(exponential(scores, 0.05), rel=1e-6)


def test_ten_excesses_are_enough_for_a_curve():
    scores = np.r_[np.zeros(40), stats.genpareto(0.3).ppf((np.arange(10) + 0.5) / 10)]
    excesses = scores[40:] - np.quantile(scores, 0.8)
    shape, _, scale = stats.genpareto.fit(excesses, floc=0)
    assert 0 < shape < 1
    expected = stats.genpareto.isf(0.02 * 50 / 10, shape, np.quantile(scores, 0.8), scale)
    assert tail_threshold(scores, 0.02) == pytest.approx(expected, rel=1e-3)
    assert tail_threshold(scores, 0.02) != pytest.approx(exponential(scores, 0.02), rel=1e-2)


def test_a_tail_of_fewer_scores_than_may_be_alarms_begins_above_the_others():
    scores = np.r_[np.zeros(192), np.arange(1.0, 9)]  # 10 of 200 may be alarms, 8 are above 0
    assert 0 < tail_threshold(scores, 0.05) < 1e-6


def test_a_rate_of_the_tail_or_more_needs_no_curve():
    scores = draw("gamma", 1, 200)[0]
    assert tail_threshold(scores, 0.2) == quantile_threshold(scores, 0.2)
    assert tail_threshold(scores) == tail_threshold(scores, 0.05, 0.2)


def test_tail_does_not_depend_on_the_unit_of_scores():
    scores = draw("gamma", 1, 200)[0]
    for unit in (1e5, 1e-5):
        tail = tail_threshold(unit * scores, 0.02)
        assert tail == pytest.approx(unit * tail_threshold(scores, 0.02), rel=1e-5)


def test_deviations_by_hand():
    # mean 5, sum of squares 8, n - 1 = 3
    assert deviation_threshold([3, 5, 5, 7]) == pytest.approx(5 + 3 * np.sqrt(8 / 3))
    assert deviation_threshold([3, 5, 5, 7], deviations=1) == pytest.approx(5 + np.sqrt(8 / 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 0.1, 7.3, 1e6])
def test_equal_normal_scores_are_no_alarms(value, dtype):
    """At the threshold is an alarm, so it stands above."""
    scores = np.full(40, value, dtype)
    for threshold in fit_thresholds(scores).values():
        assert not (scores >= threshold).any()
        assert threshold <= value + 1e-6 * max(value, 1)


def test_fitted_thresholds_are_plain_numbers_by_rule():
    scores = draw("normal", 1, 100)[0].astype("float32")
    thresholds = fit_thresholds(scores, false_alarm_rate=0.1, deviations=2)
    assert list(thresholds) == ["quantile", "deviations", "tail"]
    assert json.loads(json.dumps(thresholds)) == thresholds
    assert thresholds["quantile"] == quantile_threshold(scores, 0.1)
    assert thresholds["deviations"] == deviation_threshold(scores, 2)
    assert thresholds["tail"] == tail_threshold(scores, 0.1)
    assert fit_thresholds(scores) == fit_thresholds(scores, 0.05, 3.0)


def test_what_cannot_be_answered_is_refused():
    with pytest.raises(GanlibError, match=r"18 .* at least 19 normal images .* 0\.0526"):
        quantile_threshold(np.arange(18.0))
    for rate in (0, 1, 1.5, 5, -0.1):
        with pytest.raises(GanlibError, match="between 0 and 1"):
            quantile_threshold(np.arange(18.0), rate)
    assert deviation_threshold([1, 3]) == pytest.approx(2 + 3 * 2**0.5)  # two are enough
    for function in (quantile_threshold, deviation_threshold, tail_threshold):
        with pytest.raises(GanlibError, match="2 of 3"):
            function([1.0, np.nan, 2.0])
        with pytest.raises(GanlibError, match="1 of 1"):
            function([1.0])


def test_rates_are_counted_at_or_above():
    found = rates([0, 0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 3, 4, 2], 3)
    assert found["false_alarm_rate"] == 2 / 4
    assert found["detection_rate"] == pytest.approx(2 / 3)
    assert (found["n_normal"], found["n_anomaly"]) == (4, 3)
    json.dumps(found, allow_nan=False)
    alone = rates([0, 0], [1, 2], 3)
    assert alone["n_anomaly"] == 0
    assert "detection_rate" not in alone
    assert alone["false_alarm_low"] == 0
    # float32(0.1) is 0.10000000149: below the threshold, though the same when both are float32
    assert rates([0], np.float32([0.1]), 0.100000002)["false_alarm_rate"] == 0


class Remembers(Calibrated):
    """A detector whose scores are given."""

    def detect(self, images):
        return Detection(np.float32(images), None, None)


def test_a_verdict_is_the_score_at_or_above_the_threshold():
    detector = Remembers()
    with pytest.raises(GanlibError, match=r"no thresholds yet: call calibrate\(scores\) with its"):
        detector.is_anomaly([1.0])
    normals = np.arange(1.0, 40)
    detector.calibrate(normals)
    assert detector.thresholds == fit_thresholds(normals)
    detector.calibrate(normals, 0.1, 2)
    assert detector.thresholds == fit_thresholds(normals, 0.1, 2)
    again = Remembers(thresholds={"quantile": 0.5, "tail": 2.0, "fine": 0.100000002})
    assert again.is_anomaly([0.25, 0.5, 0.75]).tolist() == [False, True, True]
    assert again.is_anomaly([0.75, 2.0], "tail").tolist() == [False, True]
    assert again.is_anomaly([0.1], "fine").tolist() == [False]  # compared in float64
    with pytest.raises(GanlibError, match=r"rule is 'best': choose one of quantile, tail, fine\."):
        again.is_anomaly([0.25], "best")


def test_interval_of_rates_is_clopper_and_pearsons():
    """Textbook values: no alarm in 10 gives up to 1 - 0.025^(1/10); 5 in 10, 0.1871 to 0.8129."""
    none = rates(np.zeros(10), np.zeros(10), 1)
    assert none["false_alarm_high"] == pytest.approx(1 - 0.025**0.1)
    assert none["false_alarm_high"] == pytest.approx(0.3085, abs=5e-5)
    half = rates(np.ones(10), np.arange(10), 5)
    assert half["detection_low"] == pytest.approx(0.1871, abs=5e-5)
    assert half["detection_high"] == pytest.approx(0.8129, abs=5e-5)
    wider = rates(np.ones(10), np.arange(10), 5, confidence=0.99)
    assert wider["detection_low"] < half["detection_low"]
