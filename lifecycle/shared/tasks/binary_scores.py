"""Metrics of a target that is true or false and its predicted probability."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared.metrics import (
    Floats,
    Metric,
    Ranking,
    Weights,
    average_precision,
    calibration_bins,
    in_chunks,
    roc_auc,
)

# In the order of the last axis of the array that `BinaryScores.metrics` returns.
BINARY_METRICS = (
    Metric("roc_auc", "ROC AUC", higher_is_better=True, live=True),
    Metric("average_precision", "average precision", higher_is_better=True, live=True),
    Metric("log_loss", "log loss", higher_is_better=False, live=True),
    Metric("brier_score", "Brier score", higher_is_better=False, live=True),
    # Its bins hold equal numbers of rows, which counts by probability cannot reproduce exactly.
    Metric("calibration_error", "calibration error", higher_is_better=False, live=False),
    Metric("balanced_accuracy", "balanced accuracy", higher_is_better=True, live=False),
    Metric("f1", "F1", higher_is_better=True, live=False),
    Metric("precision", "precision", higher_is_better=True, live=False),
    Metric("recall", "recall", higher_is_better=True, live=False),
)


class BinaryScores:
    """A target and its predicted probabilities."""

    def __init__(
        self, target: NDArray[np.bool_], probability: NDArray[np.floating], *, bins: int, threshold: float | None
    ) -> None:
        """Compute everything that does not depend on the weights of the rows.

        Args:
            target: Target of shape (rows,).
            probability: Predicted probability of the target, of shape (rows,).
            bins: Number of bins of the calibration error.
            threshold: Least probability of a row that is labelled positive.
        """
        self._ranking = Ranking(target, probability)
        exact = probability.astype(np.float64)
        epsilon = np.finfo(np.float64).eps
        clipped = np.clip(exact, epsilon, 1 - epsilon)
        surplus = target - exact
        # Summands that a resample only weights: of log loss, of the Brier score, of the four cells of the confusion
        # matrix, and for each bin, of the surplus of positive rows over predicted ones.
        label = probability >= (0.5 if threshold is None else threshold)
        cells = [target & label, ~target & label, target & ~label, ~target & ~label]
        losses = [-np.where(target, np.log(clipped), np.log1p(-clipped)), surplus**2]
        self._summed = np.column_stack([*losses, *cells, calibration_bins(probability, bins) * surplus[:, None]])

    def metrics(self, weights: Weights) -> Floats:
        """Compute the metrics of weighted rows.

        Args:
            weights: How often each row counts, of shape (draws, rows).

        Returns:
            Metrics of shape (draws, metrics), in the order of `BINARY_METRICS`; NaN where one is undefined.
        """
        # For all draws at once, so that the summands are read from memory only once.
        summed = weights.astype(np.float64) @ self._summed
        ranked = in_chunks(self._ranked, weights)
        hits, false_alarms, misses, rejections = summed[:, 2:6].T
        total = hits + false_alarms + misses + rejections
        with np.errstate(invalid="ignore", divide="ignore"):
            # The total is 0 in a resample without any row of a small slice.
            losses = summed[:, :2] / total[:, None]
            # Expected calibration error, with bins of equal mass (Nixon et al. 2019).
            error = np.abs(summed[:, 6:]).sum(axis=1) / total
            recall, specificity = hits / (hits + misses), rejections / (rejections + false_alarms)
            # As scikit-learn defines them: 0 if no row is labelled positive.
            precision = hits / np.maximum(hits + false_alarms, 1)
            f1 = 2 * hits / np.maximum(2 * hits + false_alarms + misses, 1)
            return np.column_stack(
                [ranked, losses, error, (recall + specificity) / 2, f1, precision, np.nan_to_num(recall)]
            )

    def _ranked(self, weights: Weights) -> Floats:
        counts = self._ranking.count(weights)
        return np.column_stack([roc_auc(counts), average_precision(counts)])


def expected_metrics(sums: Floats) -> Floats:
    """Compute the metrics that probabilities let expect, if they are right.

    In the expected ROC AUC, no row is compared with itself.

    Args:
        sums: Number of rows, and sums of their probabilities p, of their entropies and of p (1 - p), by draw and step
            of the probability in ascending order, of shape (4, draws, steps).

    Returns:
        Expected ROC AUC, average precision, log loss and Brier score of each draw, of shape (draws, 4); NaN where one
        is undefined.
    """
    rows, positives, entropies, variances = sums
    negatives = rows - positives
    total, all_positives, all_negatives, variance = (
        part.sum(axis=1) for part in (rows, positives, negatives, variances)
    )
    below = np.cumsum(negatives, axis=1) - negatives
    above = np.cumsum(positives[:, ::-1], axis=1)[:, ::-1]
    rows_above = np.cumsum(rows[:, ::-1], axis=1)[:, ::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = (positives * (below + negatives / 2)).sum(axis=1) - variance / 2
        auc = pairs / (all_positives * all_negatives - variance)
        precision = (positives * above / np.maximum(rows_above, 1)).sum(axis=1) / all_positives
        return np.column_stack([auc, precision, entropies.sum(axis=1) / total, variance / total])
