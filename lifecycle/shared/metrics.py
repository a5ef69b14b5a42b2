"""Metrics of predicted probabilities.

A resample of the rows is expressed as a weight for each row. So the rows are sorted by probability once, and one
vectorised function computes the metrics of the holdout itself (every weight is 1) and of all its resamples.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = NDArray[np.unsignedinteger]


class Metric(NamedTuple):
    """A metric of a model.

    Attributes:
        name: Key in params.yaml and in reports.
        label: Name in sentences and tables.
        higher_is_better: Whether a larger value means a better model.
        live: Whether it can be computed from production's predictions counted by probability and outcome.
    """

    name: str
    label: str
    higher_is_better: bool
    live: bool

    def improvement(self, difference: float) -> float:
        """Return a difference of two values with its sign set so that a positive one is an improvement."""
        return difference if self.higher_is_better else -difference

    def skill(self, value: float, baseline: float) -> float:
        """Return the share of the way from a baseline to a perfect model: 0 for the baseline, 1 for a perfect model.

        For the Brier score this is the Brier skill score (Wilks 2011, chapter 8). It is NaN if the baseline is perfect.
        """
        perfect = 1.0 if self.higher_is_better else 0.0
        return (value - baseline) / (perfect - baseline) if baseline != perfect else np.nan


# By name, in the order of the last axis of the array that `Scores.metrics` returns.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "ROC AUC", higher_is_better=True, live=True),
        Metric("average_precision", "average precision", higher_is_better=True, live=True),
        Metric("log_loss", "log loss", higher_is_better=False, live=True),
        Metric("brier_score", "Brier score", higher_is_better=False, live=True),
        # Its bins hold equal numbers of rows, which counts by probability cannot reproduce exactly.
        Metric("calibration_error", "calibration error", higher_is_better=False, live=False),
    )
}

# Cells (draws x rows) processed at a time, so that the arrays stay in the processor's cache.
_CELLS = 2**18


class Scores:
    """A target and its predicted probabilities, sorted from the most to the least probable row."""

    def __init__(self, target: NDArray[np.bool_], probability: NDArray[np.floating], *, bins: int) -> None:
        """Sort the rows and compute everything that does not depend on their weights.

        Args:
            target: Target of shape (rows,).
            probability: Predicted probability of the target, of shape (rows,).
            bins: Number of calibration bins. They hold nearly equal numbers of rows. Rows of equal probability share a
                bin, so that some bins stay empty if there are few distinct probabilities.
        """
        rows = len(target)
        order = np.argsort(-probability, kind="stable")
        positive = target[order]
        self._positives, self._negatives = order[positive], order[~positive]

        # Rows of equal probability share a threshold. For each positive row: the number of negative rows above its
        # threshold, and the number of rows of each class above or at it.
        starts = np.flatnonzero(np.diff(probability[order].astype(np.float64), prepend=np.inf))
        thresholds = np.repeat(np.arange(len(starts)), np.diff(starts, append=rows))[positive]
        negatives = np.concatenate([[0], np.cumsum(~positive)])
        ends = np.append(starts[1:], rows)[thresholds]
        self._negatives_above = negatives[starts][thresholds]
        self._negatives_to = negatives[ends]
        self._positives_to = ends - self._negatives_to

        # Summands that a resample only weights: of log loss, of the Brier score, and for each bin, of the surplus of
        # positive rows over predicted ones.
        exact = probability.astype(np.float64)
        epsilon = np.finfo(np.float64).eps
        clipped = np.clip(exact, epsilon, 1 - epsilon)
        surplus = target - exact
        in_bin = np.zeros((rows, bins))
        in_bin[order, np.repeat(starts * bins // rows, np.diff(starts, append=rows))] = 1
        losses = [-np.where(target, np.log(clipped), np.log1p(-clipped)), surplus**2]
        self._summed = np.column_stack([*losses, in_bin * surplus[:, None]])

    def metrics(self, weights: Weights) -> Floats:
        """Compute the metrics of weighted rows.

        Args:
            weights: How often each row counts, of shape (draws, rows), with the rows in their original order.

        Returns:
            Metrics of shape (draws, metrics), in the order of `METRICS`; NaN where all rows are of one class.
        """
        # For all draws at once, so that the summands are read from memory only once.
        summed = weights.astype(np.float64) @ self._summed
        at_a_time = max(1, _CELLS // weights.shape[1])
        chunks = [slice(start, start + at_a_time) for start in range(0, len(weights), at_a_time)]
        return np.concatenate([self._metrics(weights[chunk], summed[chunk]) for chunk in chunks])

    def _metrics(self, weights: Weights, summed: Floats) -> Floats:
        # Integers are added up several times as fast as floating-point numbers.
        gained = np.take(weights, self._positives, axis=1)
        positives = np.cumsum(gained, axis=1, dtype=np.int32)
        negatives = np.zeros((len(weights), len(self._negatives) + 1), dtype=np.int32)
        np.cumsum(np.take(weights, self._negatives, axis=1), axis=1, out=negatives[:, 1:])
        above, to = np.take(negatives, self._negatives_above, axis=1), np.take(negatives, self._negatives_to, axis=1)
        true = np.take(positives, self._positives_to - 1, axis=1)
        total_positives, total_negatives = gained.sum(axis=1, dtype=np.float64), negatives[:, -1].astype(np.float64)
        gained = gained.astype(np.float64)
        total = total_positives + total_negatives
        with np.errstate(invalid="ignore", divide="ignore"):
            # Mann-Whitney: the share of pairs in which the positive row is the more probable one, ties for half.
            roc_auc = 1 - np.einsum("ij,ij->i", gained, above + to) / (2 * total_positives * total_negatives)
            # Precision at each threshold, weighted by the recall gained there (as scikit-learn defines it).
            average_precision = np.einsum("ij,ij->i", gained, true / np.maximum(true + to, 1)) / total_positives
            # Expected calibration error, with bins of equal mass (Nixon et al. 2019).
            gaps = np.abs(summed[:, 2:]).sum(axis=1)
            # The total is 0 in a resample without any row of a small slice.
            return np.column_stack([roc_auc, average_precision, summed[:, :2] / total[:, None], gaps / total])
