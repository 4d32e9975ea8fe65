import json

import numpy as np
import pytest

from ganlib.evaluation import evaluate, min_max


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
