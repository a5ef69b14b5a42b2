"""Metrics of a target with several classes and their predicted probabilities."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared.metrics import Floats, Metric, Ranking, Weights, calibration_bins, in_chunks, roc_auc


def multiclass_metrics(classes: tuple[str, ...]) -> tuple[Metric, ...]:
    """Return the metrics of a target with these classes, in the order of `MulticlassScores.metrics`."""
    return (
        Metric("log_loss", "log loss", higher_is_better=False, live=True),
        Metric("roc_auc", "macro ROC AUC", higher_is_better=True, live=False),
        Metric("balanced_accuracy", "balanced accuracy", higher_is_better=True, live=True),
        Metric("brier_score", "Brier score", higher_is_better=False, live=True),
        Metric("calibration_error", "calibration error", higher_is_better=False, live=False),
        *(Metric(f"recall_{name}", f"recall of {name}", higher_is_better=True, live=True) for name in classes),
    )


class MulticlassScores:
    """A target and the predicted probabilities of its classes.

    A class without rows, in the data or in a resample, has neither a recall nor a ROC AUC. The means over the classes,
    which are the balanced accuracy and the macro ROC AUC, are then those of the other classes.
    """

    def __init__(self, target: NDArray[np.intp], probabilities: NDArray[np.floating], *, bins: int) -> None:
        """Compute everything that does not depend on the weights of the rows.

        Args:
            target: Class of each row as its position among the classes, of shape (rows,).
            probabilities: Predicted probabilities, of shape (rows, classes).
            bins: Number of bins of the calibration error.
        """
        rows, self._classes = probabilities.shape
        exact = probabilities.astype(np.float64)
        is_class = np.zeros((rows, self._classes))
        is_class[np.arange(rows), target] = 1
        epsilon = np.finfo(np.float64).eps
        losses = -np.log(np.clip(exact[np.arange(rows), target], epsilon, 1 - epsilon))
        brier = ((exact - is_class) ** 2).sum(axis=1)
        correct, confidence = exact.argmax(axis=1) == target, exact.max(axis=1)
        surplus = calibration_bins(confidence, bins) * (correct - confidence)[:, None]
        # Summands that a resample only weights.
        self._summed = np.column_stack([losses, brier, is_class, is_class * correct[:, None], surplus])
        self._rankings = [Ranking(target == number, exact[:, number]) for number in range(self._classes)]

    def metrics(self, weights: Weights) -> Floats:
        """Compute the metrics of weighted rows.

        Args:
            weights: How often each row counts, of shape (draws, rows).

        Returns:
            Metrics of shape (draws, metrics), in the order of `multiclass_metrics`; NaN where one is undefined.
        """
        summed = weights.astype(np.float64) @ self._summed
        sums, surplus = np.split(summed, [2 + 2 * self._classes], axis=1)
        losses, brier, accuracy, *recall = metrics_of_class_sums(sums).T
        auc = _mean_of_defined(in_chunks(self._one_against_the_rest, weights))
        with np.errstate(invalid="ignore", divide="ignore"):
            # Calibration of the predicted class (Guo et al. 2017), with bins of equal mass.
            error = np.abs(surplus).sum(axis=1) / sums[:, 2 : 2 + self._classes].sum(axis=1)
        return np.column_stack([losses, auc, accuracy, brier, error, *recall])

    def _one_against_the_rest(self, weights: Weights) -> Floats:
        return np.column_stack([roc_auc(ranking.count(weights)) for ranking in self._rankings])


def metrics_of_class_sums(sums: Floats) -> Floats:
    """Compute the metrics that sums over the rows determine: log loss, Brier score, balanced accuracy and recalls.

    Args:
        sums: Sums of the log losses and of the squared errors, the number of rows of each class, and the number of
            those that are predicted correctly, of shape (draws, 2 + 2 classes).

    Returns:
        Metrics of shape (draws, 3 + classes); NaN where one is undefined.
    """
    losses, rows, hits = np.split(sums, [2, 1 + sums.shape[1] // 2], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / rows
        return np.column_stack([losses / rows.sum(axis=1)[:, None], _mean_of_defined(recall), recall])


def _mean_of_defined(values: Floats) -> Floats:
    """Return the mean of each row without its NaN; NaN if it has no other values."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0).sum(axis=1) / defined.sum(axis=1))
