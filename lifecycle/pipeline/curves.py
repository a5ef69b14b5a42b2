"""Curves of predicted probabilities, for plots."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Target = NDArray[np.bool_]
Probability = NDArray[np.floating]


def roc(target: Target, probability: Probability) -> tuple[Floats, Floats]:
    """Compute the ROC curve from (0, 0) on: false and true positive rate, each of shape (thresholds + 1,)."""
    true_positives, predicted = _thresholds(target, probability)
    true = true_positives / max(int(target.sum()), 1)
    false = (predicted - true_positives) / max(int((~target).sum()), 1)
    return np.append(0.0, false), np.append(0.0, true)


def precision_recall(target: Target, probability: Probability) -> tuple[Floats, Floats]:
    """Compute recall and precision at each threshold, each of shape (thresholds,)."""
    true_positives, predicted = _thresholds(target, probability)
    return true_positives / max(int(target.sum()), 1), true_positives / predicted


def calibration(target: Target, probability: Probability, bins: int) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Compute the calibration curve in bins with equal numbers of rows.

    Returns:
        For each bin the mean predicted probability, the observed share and the number of rows, each of shape (bins,);
        fewer if there are fewer rows than bins.
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    predicted = np.array([probability[part].mean() for part in parts], dtype=np.float64)
    observed = np.array([target[part].mean() for part in parts], dtype=np.float64)
    return predicted, observed, np.array([len(part) for part in parts])


def _thresholds(target: Target, probability: Probability) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Count true and predicted positives at each distinct probability, in descending order."""
    order = np.argsort(-probability, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probability[order])), len(target) - 1)
    return np.cumsum(target[order])[ends], ends + 1
