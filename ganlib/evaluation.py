"""How good scores are, whatever made them."""

import numpy as np
from sklearn import metrics


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
