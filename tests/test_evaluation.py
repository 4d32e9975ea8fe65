"""Metrics, intervals and thresholds against numbers worked by hand, simulations and plain loops."""

import itertools

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from scipy import ndimage, stats

from ganlib.evaluation import (
    auroc_interval,
    by_kind,
    count_odd,
    deviation_threshold,
    evaluate,
    fit_thresholds,
    min_max,
    over_seeds,
    paired_difference,
    pixel_auroc,
    pro,
    quantile_threshold,
    rates,
    tail_threshold,
)

DISTRIBUTIONS = {"normal": stats.norm(5, 1), "lognormal": stats.lognorm(1), "gamma": stats.gamma(2)}


def simulated(n_normal, n_anomaly, shift, random):
    """Labels and normally distributed scores, those of anomalies higher by `shift`."""
    labels = np.repeat([0, 1], [n_normal, n_anomaly])
    return labels, random.normal(size=len(labels)) + shift * labels


def test_metrics_by_hand():
    labels, scores = np.array([0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    metrics = evaluate(labels, scores)
    assert metrics["auroc"] == pytest.approx(8 / 9)  # of nine pairs, 0.3 < 0.4 is wrong
    assert metrics["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert metrics["best_f1_threshold"] == pytest.approx(0.3)
    assert evaluate(labels, np.zeros(6))["auroc"] == 0.5
    reverse = evaluate(np.array([0, 0, 0, 1]), np.array([3.0, 2.0, 1.0, 0.0]))
    assert (reverse["auroc"], reverse["best_accuracy"]) == (0, 0.75)  # by calling nothing
    assert reverse["best_accuracy_threshold"] > 3.0
    np.testing.assert_array_equal(min_max(np.float32([0.25, 0.5, 0.375])), [0.0, 1.0, 0.5])
    np.testing.assert_array_equal(min_max(np.array([2, 2])), [0.0, 0.0])


def test_oracles_agree_with_trying_every_threshold():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 60)
    scores = np.round(random.normal(size=60) + labels, 1)  # with ties
    metrics, accuracies, f1s = evaluate(labels, scores), [], []
    for threshold in [*scores, scores.max() + 1]:
        called = scores >= threshold
        accuracies.append((called == labels).mean())
        f1s.append(2 * (called & (labels == 1)).sum() / (called.sum() + labels.sum()))
    accuracy = ((scores >= metrics["best_accuracy_threshold"]) == labels).mean()
    assert metrics["best_accuracy"] == pytest.approx(max(accuracies)) == accuracy
    assert metrics["best_f1"] == pytest.approx(max(f1s))


@pytest.mark.parametrize(("n", "auroc", "confidence"), [(100, 0.98, 0.95), (60, 0.8, 0.5)])
def test_intervals_hold_the_truth_at_the_stated_rate(n, auroc, confidence):
    random, held = np.random.default_rng(0), 0
    for seed in range(300):
        labels, scores = simulated(n, n, np.sqrt(2) * stats.norm.ppf(auroc), random)
        low, high = auroc_interval(labels, scores, confidence=confidence, resamples=300, seed=seed)
        held += low <= auroc <= high
    error = (confidence * (1 - confidence) / 300) ** 0.5
    assert held / 300 == pytest.approx(confidence, abs=3 * error)


def test_p_values_are_uniform_without_a_difference_and_small_with_one():
    random, p_values, found = np.random.default_rng(0), [], []
    for seed in range(300):
        labels, common = simulated(60, 60, 1.5, random)
        first, second = common + 0.7 * random.normal(size=(2, 120))
        result = paired_difference(labels, first, second, resamples=300, seed=seed)
        p_values.append(result["p_value"])
        if abs(p_values[-1] - 0.05) > 0.015:  # a few of the draws
            assert (p_values[-1] < 0.05) == (result["low"] > 0 or result["high"] < 0)
        if seed < 100:
            worse = paired_difference(labels, first, second - labels, resamples=100)
            found.append(worse["p_value"] < 0.05)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(found) > 0.99


@pytest.mark.parametrize("draw_runs", [False, True])
def test_over_seeds_against_a_plain_loop(draw_runs):
    """Two runs that share some clusters, with ties; draws written out cluster by cluster."""
    random, tables, others = np.random.default_rng(5), [], []
    for start in (0, 8):
        labels, scores = simulated(60, 40, 1, random)
        clusters = start + np.arange(100) // 5
        table = pd.DataFrame({"label": labels, "score": scores.round(1), "cluster": clusters})
        tables.append(table)
        shift = start / 8 * draw_runs * labels  # the runs differ
        others.append(table.assign(score=(scores - shift + random.normal(size=100)).round(1)))
    result = over_seeds(tables, others, resamples=4000, draw_runs=draw_runs)
    members = [table.groupby(["label", "cluster"]).indices for table in tables]
    names = sorted({name for of_run in members for name in of_run})
    clusters = [[name for name in names if name[0] == label] for label in (0, 1)]
    differences = []
    for _ in range(1000):
        drawn = [of[i] for of in clusters for i in random.integers(0, len(of), len(of))]
        total = pairs = 0
        of_runs = list(zip(members, tables, others, strict=True))
        for run in random.integers(0, 2, 2) if draw_runs else (0, 1):
            member, table, other = of_runs[run]
            rows = np.concatenate([member.get(name, []) for name in drawn]).astype(int)
            labels = table["label"].to_numpy()[rows]
            n = labels.sum() * (1 - labels).sum()
            for sign, scores in ((1, table["score"]), (-1, other["score"])):
                ranks = stats.rankdata(scores.to_numpy()[rows])[labels == 1]
                total += sign * (ranks.sum() - len(ranks) * (len(ranks) + 1) / 2)
            pairs += n
        differences.append(total / pairs)
    expected = np.quantile(differences, [0.025, 0.975])
    assert (result["low"], result["high"]) == pytest.approx(expected, abs=0.02)
    below = np.mean(np.array(differences) <= 0)
    assert result["p_value"] == pytest.approx(2 * min(below, 1 - below), abs=0.05)
    refused(r"Run 2: .* test images", over_seeds, tables, others[:1] * 2)


def test_copies_and_repeated_trainings_tell_nothing_more():
    labels, scores = simulated(40, 60, 1.5, np.random.default_rng(0))
    images = np.r_[np.repeat(np.arange(40), 5), np.arange(40, 100)]
    low, high = auroc_interval(labels, scores)
    names = np.array([f"part {i:03}" for i in images])
    assert auroc_interval(labels[images], scores[images], names) == pytest.approx((low, high))
    apart = auroc_interval(labels[images], scores[images])
    assert apart[1] - apart[0] < 0.85 * (high - low)  # as if there were 200
    table = pd.DataFrame({"label": labels, "score": scores, "cluster": np.arange(100)})
    again = over_seeds([table] * 3)
    assert (again["low"], again["high"]) == pytest.approx((low, high), abs=1e-9)
    new = over_seeds([table, table.assign(cluster=table["cluster"] + 100)])
    assert new["high"] - new["low"] < 0.85 * (high - low)


def test_perfect_scores_are_not_certain():
    """No image in the wrong order among m pairs: the exact limit of m of m, not 1 to 1."""
    labels = np.repeat([0, 1], [30, 50])
    binomial = stats.binomtest(30, 30).proportion_ci().low
    assert auroc_interval(labels, labels) == (pytest.approx(binomial), 1)
    assert auroc_interval(labels, 1 - labels) == (0, pytest.approx(1 - binomial))
    groups = np.r_[np.arange(30) // 3, np.arange(30, 80)]
    assert auroc_interval(labels, labels, groups)[0] == pytest.approx(0.025 ** (1 / 10))
    equal = paired_difference(labels, labels, 2 * labels)
    assert (equal["difference"], equal["p_value"]) == (0, 1)
    assert equal["low"] == pytest.approx(0.025 ** (1 / 30) - 1)


def test_draws_repeat_and_may_be_too_few_for_bca():
    labels, scores = simulated(20, 20, 1, np.random.default_rng(0))
    interval = auroc_interval(labels, scores)
    assert interval == auroc_interval(labels, np.exp(scores))  # only ranks count
    assert interval != auroc_interval(labels, scores, seed=1)
    for seed in range(20):  # now and then all three draws lie on one side of the AUROC
        low, high = auroc_interval(labels, scores, resamples=3, seed=seed)
        assert low <= high


def test_what_cannot_be_evaluated_is_refused():
    for function in (auroc_interval, lambda labels, scores: by_kind(labels, labels, scores)):
        refused("0 anomalies and 3 normal", function, [0, 0, 0], [1, 2, 3])
    refused("1 scores are not finite", paired_difference, [0, 0, 1], [1, 2, 3], [1, np.nan, 3])
    refused(r"18 .* at least 19 normal images .* 0\.0526", quantile_threshold, np.arange(18.0))
    for rate in (0, 1, -0.1):
        refused("between 0 and 1", quantile_threshold, np.arange(18.0), rate)
    for function in (quantile_threshold, deviation_threshold, tail_threshold):
        refused("2 of 3", function, [1.0, np.nan, 2.0])
        refused("1 of 1", function, [1.0])
    part, flat = np.eye(2)[None], np.zeros((1, 2, 2))
    for masks, heat, message in (
        (flat, flat, "0 of 4 pixels"),
        (flat + 1, flat, "4 of 4 pixels"),
        (part, np.zeros((1, 2, 3)), r"\(1, 2, 2\) and .* \(1, 2, 3\) do not match"),
        (part, flat + np.nan, "not finite"),
    ):
        for function in (pro, pixel_auroc):
            refused(message, function, masks, heat)


def test_each_kind_against_all_normals():
    labels, groups = np.array([0, 1, 0, 1, 1, 0, 1]), np.array([1, 2, 1, 3, 4, 5, 6])
    kinds = np.array(["scratch", "scratch", "", "dent", "scratch", "", "dent"])
    scores = np.array([1.0, 4, 2, 0, 2.5, 3, 5])
    rows = (labels == 0) | (kinds == "dent")
    table = by_kind(labels, kinds, scores, groups, 0.8).set_index("kind")
    assert table["auroc"].to_dict() == pytest.approx({"dent": 3 / 6, "scratch": 5 / 6})
    assert table[["n_test_normal", "n_test_anomaly"]].to_numpy().tolist() == [[3, 2], [3, 2]]
    expected = auroc_interval(labels[rows], scores[rows], groups[rows], confidence=0.8)
    assert tuple(table.loc["dent", ["auroc_low", "auroc_high"]]) == expected


def test_thresholds_by_each_rule():
    for n, rate, smallest in ((19, 0.05, 19), (99, 0.05, 95), (9, 0.3, 7)):  # the conformal one
        scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
        assert smallest < quantile_threshold(scores, rate) < smallest + 1e-5
    assert quantile_threshold(np.arange(1.0, 25), 0.1) == pytest.approx(22.5)  # of 25: 22 or 23
    scores = np.random.default_rng(0).normal(size=100).astype("float32")
    assert fit_thresholds(scores, false_alarm_rate=0.1, deviations=2) == {
        "quantile": quantile_threshold(scores, 0.1),
        "deviations": deviation_threshold(scores, 2),
        "tail": tail_threshold(scores, 0.1),
    }
    assert deviation_threshold([3, 5, 5, 7]) == pytest.approx(5 + 3 * np.sqrt(8 / 3))
    for value, dtype in itertools.product((0.0, 0.1, 1e6), ("float32", "float64")):
        scores = np.full(40, value, dtype)  # equal ones are no alarms
        for threshold in fit_thresholds(scores).values():
            assert not (scores >= threshold).any()
            assert threshold <= value + 1e-6 * max(value, 1)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_rate_holds_on_average_and_few_images_do_not_halve_it(distribution):
    draw, real = DISTRIBUTIONS[distribution].rvs, DISTRIBUTIONS[distribution].sf
    normals = draw((2000, 35), random_state=np.random.default_rng(0))  # one of 36 is 2.8 %
    rates = real([quantile_threshold(scores, 0.05) for scores in normals])
    assert 0.04 < rates.mean() < 0.0505


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_tail_is_near_its_rate_and_steadier_than_one_score(distribution):
    draw, real = DISTRIBUTIONS[distribution].rvs, DISTRIBUTIONS[distribution].sf
    normals = draw((60, 200), random_state=np.random.default_rng(0))
    tail = real([tail_threshold(x, 0.05) for x in normals])
    assert tail.mean() == pytest.approx(0.05, abs=0.006)
    assert tail.std() < 0.02
    rare = real([tail_threshold(x, 0.001) for x in normals])
    assert 0.0003 < np.median(rare) < 0.004


def exponential(scores, rate):
    """The threshold by hand, where the shape of the tail is taken to be 0."""
    start = np.quantile(scores, 0.8)
    excesses = scores[scores > start] - start
    return start + excesses.mean() * np.log(len(excesses) / (rate * len(scores)))


NO_CURVE = {
    "nine excesses": np.r_[np.zeros(31), np.arange(1.0, 10)],  # one too few
    "equal ones": np.r_[np.zeros(160), np.ones(40)],
    "no mean": stats.genpareto(1.5).ppf((np.arange(2000) + 0.5) / 2000),
    "no likelihood": stats.genpareto(-1.5).ppf((np.arange(2000) + 0.5) / 2000),
}


def test_a_tail_that_no_curve_fits_is_exponential_or_that_of_the_quantile():
    for case, scores in NO_CURVE.items():
        expected = exponential(scores, 0.05)
        assert tail_threshold(scores, 0.05) == pytest.approx(expected, rel=1e-6), case
    scores = np.r_[np.zeros(192), np.arange(1.0, 9)]  # 10 of 200 may be alarms, 8 are above 0
    assert 0 < tail_threshold(scores, 0.05) < 1e-6
    assert tail_threshold(scores, 0.2) == quantile_threshold(scores, 0.2)


def test_odd_ones_are_few_far_away_and_would_set_the_threshold():
    draws = np.exp(np.random.default_rng(0).normal(0, 0.3, (1000, 27)))
    assert np.mean([count_odd(scores) > 0 for scores in draws]) < 0.02
    scores, far = draws[0], 20 * draws[0].max()
    assert count_odd([*scores[:19], far]) == 1
    assert count_odd([*scores[:25], far, 1.1 * far]) == 2  # they do not hide each other
    assert count_odd([*scores[:20], *np.full(7, far)]) == 0  # another kind of good images
    assert count_odd([*scores, *scores, far]) == 0  # the second highest of 55 is the threshold
    assert count_odd(np.zeros(30)) == count_odd(np.full(30, 3.0)) == 0


def test_rates_are_counted_at_or_above_with_exact_intervals():
    result = rates([0, 0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 3, 4, 2], 3)
    assert (result["false_alarm_rate"], result["n_normal"], result["n_anomaly"]) == (0.5, 4, 3)
    assert result["detection_rate"] == pytest.approx(2 / 3)
    none = rates(np.zeros(10), np.zeros(10), 1)  # textbook: up to 1 - 0.025^(1/10)
    assert (none["false_alarm_low"], none["n_anomaly"]) == (0, 0)
    assert none["false_alarm_high"] == pytest.approx(1 - 0.025**0.1)
    assert rates(np.zeros(10), np.zeros(10), 1, 0.9)["false_alarm_high"] < 1 - 0.04**0.1
    # float32(0.1) is 0.10000000149: below the threshold, though the same when both are float32
    assert rates([0], np.float32([0.1]), 0.100000002)["false_alarm_rate"] == 0


def test_pro_weighs_regions_alike_and_pixel_auroc_pixels():
    masks, heat = np.zeros((1, 5, 5), bool), np.zeros((1, 5, 5))
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 0, 2] = masks[0, 1, 3] = True  # touch at corners
    masks[0, 4, 4] = True
    for limit in (0.1, 0.3, 1.0):
        assert pro(masks, heat, limit) == pytest.approx(limit / 2)  # guessing
    heat[masks], heat[0, 4, 4] = 1.0, 0.0  # the large region is found, the small one is not
    # The curve goes up to 1/2 at once and then straight to (1, 1).
    assert pro(masks, heat) == pytest.approx((0.3 * 0.5 + 0.3 * 0.15 / 2) / 0.3)
    assert pixel_auroc(masks, heat) == pytest.approx((4 + 1 / 2) / 5)


def test_pro_is_the_overlap_at_every_threshold():
    """The same number the slow way, with an image without a defect among the others."""
    random = np.random.default_rng(0)
    masks = ndimage.binary_dilation(random.random((6, 16, 16)) > 0.98)
    masks[2] = False
    heat = np.round(random.random(masks.shape) + 0.5 * masks, 2)  # with ties
    labels = [ndimage.label(mask, np.ones((3, 3)))[0] for mask in masks]
    regions = [(i, of == r) for i, of in enumerate(labels) for r in range(1, of.max() + 1)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(heat)[::-1]:
        found = heat >= threshold
        points.append((found[~masks].mean(), np.mean([found[i][r].mean() for i, r in regions])))
    overlaps = np.interp(np.linspace(0, 0.3, 300001), *np.array(points).T)
    assert pro(masks, heat) == pytest.approx(overlaps.mean(), abs=1e-4)
