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
        of_class, hits, surplus = np.split(summed[:, 2:], [self._classes, 2 * self._classes], axis=1)
        aucs = in_chunks(self._one_against_the_rest, weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = of_class.sum(axis=1)
            recall = hits / of_class
            means = [_mean_of_defined(aucs), _mean_of_defined(recall)]
            # Calibration of the predicted class (Guo et al. 2017), with bins of equal mass.
            error = np.abs(surplus).sum(axis=1) / total
            return np.column_stack([summed[:, 0] / total, *means, summed[:, 1] / total, error, recall])

    def _one_against_the_rest(self, weights: Weights) -> Floats:
        return np.column_stack([roc_auc(ranking.count(weights)) for ranking in self._rankings])


def _mean_of_defined(values: Floats) -> Floats:
    """Return the mean of each row without its NaN; NaN if it has no other values."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0).sum(axis=1) / defined.sum(axis=1))
