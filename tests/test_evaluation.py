import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ganlib.errors import GanlibError
from ganlib.evaluation import (
    auroc_interval,
    by_kind,
    evaluate,
    min_max,
    over_seeds,
    paired_difference,
)


def test_hand_worked_example():
    labels = np.array([0, 0, 1, 0, 1, 1])
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    judged = evaluate(labels, scores)
    # Of the nine pairs of an anomaly and a normal image, 0.3 < 0.4 alone is the wrong way round.
    assert judged["auroc"] == pytest.approx(8 / 9)
    # Precision at each anomaly, from the top: 1/1, 2/2, 3/4.
    assert judged["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    # From 0.3 up: three found, one false alarm. From 0.5 up: two found, none false.
    assert judged["best_f1"] == pytest.approx(2 * 3 / (3 + 4))
    assert judged["best_f1_threshold"] == pytest.approx(0.3)
    assert judged["best_accuracy"] == pytest.approx(5 / 6)
    assert judged["best_accuracy_threshold"] in (0.3, 0.5)


def test_oracles_agree_with_trying_every_threshold():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 60)
    scores = np.round(draw.normal(size=60) + labels, 1)  # with ties
    judged = evaluate(labels, scores)
    accuracies, f1s = [], []
    for threshold in [*scores, scores.max() + 1]:
        called = scores >= threshold
        hits = (called & (labels == 1)).sum()
        accuracies.append((called == (labels == 1)).mean())
        f1s.append(2 * hits / (called.sum() + labels.sum()))
    assert judged["best_accuracy"] == pytest.approx(max(accuracies))
    assert judged["best_f1"] == pytest.approx(max(f1s))
    called = scores >= judged["best_accuracy_threshold"]
    assert (called == labels).mean() == pytest.approx(max(accuracies))


def test_limits():
    labels = np.array([0] * 4 + [1] * 4)
    assert evaluate(labels, labels)["auroc"] == 1.0
    assert evaluate(labels, 1 - labels)["auroc"] == 0.0
    assert evaluate(labels, np.zeros(8))["auroc"] == 0.5
    reversed_scores = evaluate(np.array([0, 0, 0, 1]), np.array([3.0, 2.0, 1.0, 0.0]))
    assert reversed_scores["best_accuracy"] == 0.75  # by calling nothing an anomaly
    assert reversed_scores["best_accuracy_threshold"] > 3.0
    json.dumps(reversed_scores, allow_nan=False)  # results are written as JSON: no infinity


def test_min_max_is_the_papers_scaling():
    np.testing.assert_allclose(min_max(np.array([3.0, 1.0, 2.0])), [1.0, 0.0, 0.5])
    np.testing.assert_array_equal(min_max(np.array([2.0, 2.0])), [0.0, 0.0])
    small = min_max(np.float32([0.25, 0.5, 0.375]))  # less than 1 from end to end
    np.testing.assert_array_equal(small, [0.0, 1.0, 0.5])
    assert small.dtype == np.float64


def test_published_examples():
    judged = evaluate(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    assert judged["auroc"] == 0.75  # documentation of scikit-learn's roc_auc_score
    assert judged["average_precision"] == pytest.approx(0.83, abs=0.005)  # and of its own


def test_interval_of_a_published_example():
    """Hanley and McNeil 1982, Table I: 109 CT images rated 1 to 5; area 0.893, its error 0.032."""
    labels = np.repeat([0, 1], [58, 51])
    ratings = np.repeat([1, 2, 3, 4, 5, 1, 2, 3, 4, 5], [33, 6, 6, 11, 2, 3, 2, 2, 11, 33])
    assert evaluate(labels, ratings)["auroc"] == pytest.approx(0.893, abs=0.0005)
    low, high = auroc_interval(labels, ratings)
    assert (high - low) / (2 * 1.96) == pytest.approx(0.032, abs=0.002)
    assert low < 0.893 - 1.5 * 0.032
    assert 0.893 + 1.3 * 0.032 < high < 1
    assert 0.893 - low > high - 0.893  # downwards there is more room


def simulated(n_normal, n_anomaly, shift, random):
    """Labels and normally distributed scores, those of anomalies higher by `shift`."""
    labels = np.repeat([0, 1], [n_normal, n_anomaly])
    return labels, random.normal(size=len(labels)) + shift * labels


def shift_of(auroc):
    return np.sqrt(2) * stats.norm.ppf(auroc)


@pytest.mark.parametrize(("n", "auroc"), [((60, 60), 0.8), ((100, 100), 0.98), ((40, 80), 0.95)])
def test_intervals_hold_the_truth_at_the_stated_rate(n, auroc):
    random, held = np.random.default_rng(0), 0
    for seed in range(500):
        labels, scores = simulated(*n, shift_of(auroc), random)
        low, high = auroc_interval(labels, scores, resamples=500, seed=seed)
        held += low <= auroc <= high
    assert held / 500 == pytest.approx(0.95, abs=0.03)  # three standard errors


def test_other_confidence_other_rate():
    random, held = np.random.default_rng(0), 0
    for seed in range(400):
        labels, scores = simulated(60, 60, shift_of(0.8), random)
        low, high = auroc_interval(labels, scores, confidence=0.5, resamples=300, seed=seed)
        held += low <= 0.8 <= high
    assert held / 400 == pytest.approx(0.5, abs=0.075)


def test_p_values_are_uniform_where_there_is_no_difference_and_small_where_there_is():
    random = np.random.default_rng(0)
    p_values, held, found = [], 0, []
    for seed in range(400):
        labels, first = simulated(60, 60, 1.5, random)
        second = first + 0.7 * random.normal(size=120)
        first = first + 0.7 * random.normal(size=120)
        judged = paired_difference(labels, first, second, resamples=500, seed=seed)
        p_values.append(judged["p_value"])
        held += judged["low"] <= 0 <= judged["high"]
        if abs(judged["p_value"] - 0.05) > 0.01:  # a few of the draws
            assert (judged["p_value"] < 0.05) == (judged["low"] > 0 or judged["high"] < 0)
        worse = np.where(labels == 0, second, second - 1)
        found.append(paired_difference(labels, first, worse, resamples=200)["p_value"] < 0.05)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.033)
    assert held / 400 == pytest.approx(0.95, abs=0.033)
    assert np.mean(found) > 0.99


def test_pairing_tells_more_than_two_intervals():
    """Two methods that err on the same images are told apart by less."""
    random = np.random.default_rng(1)
    labels, first = simulated(150, 150, 1.2, random)
    second = first + 0.1 * random.normal(size=300) - 0.15 * labels
    judged = paired_difference(labels, first, second)
    assert judged["difference"] == pytest.approx(
        roc_auc_score(labels, first) - roc_auc_score(labels, second)
    )
    low, high = auroc_interval(labels, first)
    assert low < auroc_interval(labels, second)[1]
    assert judged["high"] - judged["low"] < 0.5 * (high - low)
    assert judged["p_value"] < 0.01
    swapped = paired_difference(labels, second, first)
    assert swapped["difference"] == -judged["difference"]
    assert swapped["low"] == pytest.approx(-judged["high"])
    scaled = paired_difference(labels, first, 1000 * second - 7)
    assert scaled == judged


@pytest.mark.parametrize("grouped", [False, True])
def test_draws_are_those_of_a_plain_loop(grouped):
    """Drawing rows one by one and ranking them gives the same, with ties and groups."""
    random = np.random.default_rng(3)
    labels = random.permutation(np.repeat([0, 1], [70, 50]))
    groups = np.where(labels == 1, np.arange(120), 1000 + random.integers(0, 25, 120))
    first = np.round(random.normal(size=120) + labels, 1)
    second = np.round(random.normal(size=120) + 0.8 * labels, 1)
    names = groups if grouped else np.arange(120)
    clusters = [
        [np.flatnonzero((labels == label) & (names == name)) for name in np.unique(names[own])]
        for label, own in ((0, labels == 0), (1, labels == 1))
    ]
    differences = []
    for _ in range(5000):
        drawn = [own[i] for own in clusters for i in random.integers(0, len(own), len(own))]
        rows = np.concatenate(drawn)
        normal, anomaly = rows[labels[rows] == 0], rows[labels[rows] == 1]
        pairs = len(normal) * len(anomaly)
        ranks = [stats.rankdata(np.r_[x[anomaly], x[normal]]) for x in (first, second)]
        sums = [rank[: len(anomaly)].sum() for rank in ranks]  # Mann and Whitney's U but for a sum
        differences.append((sums[0] - sums[1]) / pairs)
    judged = paired_difference(labels, first, second, groups if grouped else None, resamples=5000)
    low, high = np.quantile(differences, [0.025, 0.975])
    assert judged["low"] == pytest.approx(low, abs=0.01)
    assert judged["high"] == pytest.approx(high, abs=0.01)
    below = 2 * min(np.mean(np.array(differences) <= 0), np.mean(np.array(differences) >= 0))
    assert judged["p_value"] == pytest.approx(below, abs=0.04)


def test_copies_of_images_tell_nothing_more():
    """With whole groups drawn, five copies of each normal image leave the interval as it was."""
    random = np.random.default_rng(0)
    labels, scores = simulated(40, 60, 1.5, random)
    images = np.r_[np.repeat(np.arange(40), 5), np.arange(40, 100)]
    alone = auroc_interval(labels, scores)
    assert auroc_interval(labels[images], scores[images], images) == pytest.approx(alone)
    low, high = auroc_interval(labels[images], scores[images])
    assert high - low < 0.85 * (alone[1] - alone[0])  # as if there were 200
    order = random.permutation(len(images))
    named = np.array([f"part {i}" for i in images[order]])
    shuffled = auroc_interval(labels[images][order], scores[images][order], named)
    assert shuffled == pytest.approx(alone, abs=0.01)


def test_perfect_scores_are_not_certain():
    """No image in the wrong order among m pairs: the exact limit of m of m, not 1 to 1."""
    labels = np.repeat([0, 1], [30, 50])
    low, high = auroc_interval(labels, labels)
    assert high == 1
    assert low == pytest.approx(stats.binomtest(30, 30).proportion_ci().low)
    low, high = auroc_interval(labels, 1 - labels)
    assert (low, high) == (0, pytest.approx(stats.binomtest(0, 30).proportion_ci().high))
    groups = np.r_[np.arange(30) // 3, np.arange(30, 80)]
    assert auroc_interval(labels, labels, groups)[0] == pytest.approx(0.025 ** (1 / 10))
    # Groups that each hold as much right as wrong, so that draws of groups never differ.
    alike = auroc_interval([0, 0, 0, 0, 1, 1], [1, 4, 2, 3, 2.5, 2.6], [1, 1, 2, 2, 3, 4])
    assert alike == (0, 1)
    # Two perfect methods: no difference seen, one is possible.
    judged = paired_difference(labels, labels, 2 * labels)
    assert (judged["difference"], judged["p_value"]) == (0, 1)
    assert judged["low"] == pytest.approx(0.025 ** (1 / 30) - 1)
    sure = paired_difference(labels, labels, 1 - labels)
    assert sure["low"] > 0.8
    assert sure["p_value"] < 1e-6


@pytest.mark.parametrize(
    ("m", "margin", "p_value"),
    [(1, 2.0, 1.0), (2, 1 - 0.025**0.5, 0.5), (3, 1 - 0.025 ** (1 / 3), 0.25)],
)
def test_what_few_images_can_tell(m, margin, p_value):
    """One method is always right, the other always wrong; then two that are both always right."""
    labels = np.repeat([0, 1], m)
    judged = paired_difference(labels, 1 - labels, labels)
    assert judged["difference"] == judged["low"] == -1
    assert judged["high"] == pytest.approx(min(1, margin - 1))
    assert judged["p_value"] == p_value
    judged = paired_difference(labels, labels, labels)
    assert [judged["low"], judged["high"]] == pytest.approx([-min(1, margin), min(1, margin)])
    assert judged["p_value"] == 1
    table = pd.DataFrame({"label": labels, "score": labels, "cluster": np.arange(2 * m)})
    alone = over_seeds([table, table])
    assert (alone["low"], alone["high"]) == (pytest.approx(max(0, 1 - margin)), 1)
    wrong = table.assign(score=1 - labels)
    assert over_seeds([wrong])["low"] == 0
    assert over_seeds([wrong, wrong], [table, table])["low"] == -1
    assert over_seeds([table, table], [wrong, wrong])["high"] == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([0, 1], [0, 1]),
        ([0, 1, 1], [0, 1, 2]),
        ([0, 0, 1, 1], [1, 3, 2, 4]),
        ([0, 0, 1, 1], [1, 1, 1, 1]),
        ([0, 0, 1, 1], [0, 1, 0, 1]),
        ([0, 0, 0, 1, 1], [0, 1, 2, 2, 3]),
    ],
)
def test_tiny_sets_give_wide_intervals_and_no_nan(labels, scores):
    value = roc_auc_score(labels, scores)
    low, high = auroc_interval(labels, scores)
    assert 0 <= low <= value <= high <= 1
    assert high - low >= 0.5
    judged = paired_difference(labels, scores, scores[::-1])
    assert judged["low"] <= judged["difference"] <= judged["high"]
    assert 0 < judged["p_value"] <= 1
    json.dumps([low, high, judged], allow_nan=False)


def test_draws_too_few_for_bca_give_no_nan():
    labels, scores = simulated(20, 20, 1, np.random.default_rng(0))
    assert np.isfinite(auroc_interval(labels, scores, resamples=1)).all()


def test_ends_are_in_order_where_draws_are_too_few_for_bca():
    labels, scores = simulated(20, 20, 1, np.random.default_rng(0))
    for seed in range(20):  # now and then all three lie on one side of the AUROC
        low, high = auroc_interval(labels, scores, resamples=3, seed=seed)
        assert low <= high


def test_intervals_are_drawn_the_same_again():
    labels, scores = simulated(50, 50, 1, np.random.default_rng(0))
    assert auroc_interval(labels, scores) == auroc_interval(labels, scores)
    assert auroc_interval(labels, scores) != auroc_interval(labels, scores, seed=1)
    assert auroc_interval(labels, scores) == auroc_interval(labels, np.exp(scores))  # only ranks


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(GanlibError, match="0 anomalies and 3 normal"):
        auroc_interval([0, 0, 0], [1, 2, 3])
    with pytest.raises(GanlibError, match="1 scores that are not finite"):
        paired_difference([0, 0, 1], [1, 2, 3], [1, np.nan, 3])


def test_each_kind_is_judged_against_all_normals():
    labels = np.array([0, 1, 0, 1, 1, 0, 1])
    kinds = np.array(["scratch", "scratch", "", "dent", "scratch", "", "dent"])
    scores = np.array([1.0, 4, 2, 0, 2.5, 3, 5])
    table = by_kind(labels, kinds, scores).set_index("kind")
    assert list(table.index) == ["dent", "scratch"]
    assert table["n"].tolist() == [2, 2]
    assert table["n_normal"].tolist() == [3, 3]
    assert table.loc["dent", "auroc"] == pytest.approx(3 / 6)  # 0 beats none, 5 all
    assert table.loc["scratch", "auroc"] == pytest.approx(5 / 6)  # 4 beats all, 2.5 two
    rows = (labels == 0) | (kinds == "dent")
    assert tuple(table.loc["dent", ["low", "high"]]) == auroc_interval(labels[rows], scores[rows])
    groups = np.array([1, 2, 1, 3, 4, 5, 6])
    grouped = by_kind(labels, kinds, scores, groups).set_index("kind")
    expected = auroc_interval(labels[rows], scores[rows], groups[rows])
    assert tuple(grouped.loc["dent", ["low", "high"]]) == expected


def test_the_interval_of_a_kind_is_that_of_its_images():
    labels, kinds = (
        np.repeat([0, 1, 1], [40, 20, 20]),
        np.repeat(["", "dent", "hole"], [40, 20, 20]),
    )
    scores = np.random.default_rng(0).normal(labels)
    groups = np.arange(80) // 2
    rows = kinds != "hole"
    intervals = set()
    for of, confidence in ((None, 0.95), (groups, 0.95), (groups, 0.8)):
        line = by_kind(labels, kinds, scores, of, confidence).set_index("kind").loc["dent"]
        of_rows = None if of is None else of[rows]
        expected = auroc_interval(labels[rows], scores[rows], of_rows, confidence)
        assert (line["low"], line["high"]) == expected
        intervals.add(expected)
    assert len(intervals) == 3
