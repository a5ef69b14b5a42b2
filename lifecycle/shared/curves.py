"""Curves of predictions, for plots."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Target = NDArray[np.bool_]
Probability = NDArray[np.floating]
_POINTS = 200  # of a thinned curve


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


def calibration(
    observed: NDArray[Any], predicted: NDArray[np.floating], bins: int
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Compute the calibration curve in bins with equal numbers of rows.

    Args:
        observed: Whether a row is positive, or its value, of shape (rows,).
        predicted: Predicted probability or value, of shape (rows,).
        bins: Number of bins.

    Returns:
        For each bin the mean prediction, the mean observation and the number of rows, each of shape (bins,); fewer if
        there are fewer rows than bins.
    """
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    means = (np.array([values[part].mean() for part in parts], dtype=np.float64) for values in (predicted, observed))
    return *means, np.array([len(part) for part in parts])  # type: ignore[return-value]  # two means


def thinned(position: NDArray[np.floating]) -> NDArray[np.intp]:
    """Choose at most 200 roughly evenly spaced points; return their indices into ascending positions."""
    even = np.linspace(position[0], position[-1], _POINTS)
    return np.unique(np.minimum(np.searchsorted(position, even), len(position) - 1))


def _thresholds(target: Target, probability: Probability) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Count true and predicted positives at each distinct probability, in descending order."""
    order = np.argsort(-probability, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probability[order])), len(target) - 1)
    return np.cumsum(target[order])[ends], ends + 1
