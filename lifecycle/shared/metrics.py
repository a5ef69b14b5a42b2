"""Metrics of models: what a metric is, and the computations that the metrics of several kinds of target share.

A resample of the rows is expressed as a weight for each row. So everything that does not depend on the weights is
computed once, and one vectorised function computes the metrics of the rows themselves (every weight is 1) and of all
their resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = NDArray[np.unsignedinteger]

# Weights (draws x rows) processed at a time, so that the arrays stay in the processor's cache.
_CELLS = 2**18


class Metric(NamedTuple):
    """A metric of a model.

    Attributes:
        name: Key in params.yaml and in reports.
        label: Name in sentences and tables.
        higher_is_better: Whether a larger value means a better model. The best value is then 1, else 0.
        live: Whether it can be computed from production's predictions counted by prediction and outcome.
        least: Smallest possible value.
    """

    name: str
    label: str
    higher_is_better: bool
    live: bool
    least: float = 0.0

    @property
    def perfect(self) -> float:
        """The value of a perfect model."""
        return 1.0 if self.higher_is_better else 0.0

    def improvement(self, difference: float) -> float:
        """Return a difference of two values with its sign set so that a positive one is an improvement."""
        return difference if self.higher_is_better else -difference

    def skill(self, value: float, baseline: float) -> float:
        """Return the share of the way from a baseline to a perfect model: 0 for the baseline, 1 for a perfect model.

        For the Brier score this is the Brier skill score (Wilks 2011, chapter 8). It is NaN if the baseline is perfect.
        """
        return (value - baseline) / (self.perfect - baseline) if baseline != self.perfect else np.nan


class Scores(Protocol):
    """A target and its predictions, whose metrics can be computed for any weights of the rows."""

    def metrics(self, weights: Weights) -> Floats:
        """Compute the metrics of weighted rows.

        Args:
            weights: How often each row counts, of shape (draws, rows), with the rows in their original order.

        Returns:
            Metrics of shape (draws, metrics); NaN where one is undefined.
        """
        ...


@dataclass(frozen=True)
class OwnMetric:
    """A metric of a team, in model/metrics.py.

    Attributes:
        name: Key in params.yaml and in reports.
        label: Name in sentences and tables.
        function: Computes the metric from targets, predictions and weights. Targets have the shape (rows,): booleans,
            numbers, or positions among the classes. Predictions have the shape (rows,), or (rows, classes). Weights
            say how often each row counts, of shape (draws, rows). The result has the shape (draws,), NaN where the
            metric is undefined.
        higher_is_better: Whether a larger value means a better model. The best value is then 1, else 0.
    """

    name: str
    label: str
    function: Callable[[NDArray[Any], NDArray[Any], Floats], Floats]
    higher_is_better: bool

    def described(self) -> Metric:
        """Return the metric as one of a task; it is not computed in production."""
        return Metric(self.name, self.label, self.higher_is_better, live=False, least=-np.inf)


@dataclass(frozen=True)
class ScoresWithOwn:
    """Scores with the metrics of a team after those of the task."""

    scores: Scores
    own: Sequence[OwnMetric]
    targets: NDArray[Any]
    predictions: NDArray[Any]

    def metrics(self, weights: Weights) -> Floats:
        """Compute the metrics of weighted rows; see `Scores.metrics`."""
        exact = weights.astype(np.float64)
        columns = [metric.function(self.targets, self.predictions, exact) for metric in self.own]
        return np.column_stack([self.scores.metrics(weights), *columns])


def in_chunks(function: Callable[[Weights], Floats], weights: Weights) -> Floats:
    """Apply a function to a few draws at a time, and return its results of all draws."""
    at_a_time = max(1, _CELLS // max(1, weights.shape[1]))
    return np.concatenate([function(weights[start : start + at_a_time]) for start in range(0, len(weights), at_a_time)])


class Counts(NamedTuple):
    """Weighted rows counted at each row of a class, in the order of a `Ranking`, each of shape (draws, positive rows).

    Attributes:
        gained: Weight of the row.
        positives: Number of rows of the class with at least its score.
        negatives_above: Number of other rows with a higher score.
        negatives: Number of other rows with at least its score.
        all_negatives: Number of all other rows, of shape (draws,).
    """

    gained: Floats
    positives: NDArray[np.int32]
    negatives_above: NDArray[np.int32]
    negatives: NDArray[np.int32]
    all_negatives: Floats


class Ranking:
    """Rows sorted from the highest to the lowest score, to compute how well the score separates a class."""

    def __init__(self, positive: NDArray[np.bool_], score: NDArray[np.floating]) -> None:
        """Sort the rows.

        Args:
            positive: Whether a row is of the class, of shape (rows,).
            score: Score of each row, such as the probability of the class, of shape (rows,).
        """
        rows = len(positive)
        order = np.argsort(-score, kind="stable")
        of_class = positive[order]
        self._positives, self._negatives = order[of_class], order[~of_class]
        # Rows of equal score share a threshold. For each row of the class: the number of other rows above its
        # threshold, and the number of rows of each kind above or at it.
        starts = tied_starts(score[order])
        thresholds = np.repeat(np.arange(len(starts)), np.diff(starts, append=rows))[of_class]
        negatives = np.concatenate([[0], np.cumsum(~of_class)])
        ends = np.append(starts[1:], rows)[thresholds]
        self._negatives_above = negatives[starts][thresholds]
        self._negatives_to = negatives[ends]
        self._positives_to = ends - self._negatives_to

    def count(self, weights: Weights) -> Counts:
        """Count weighted rows; for weights of shape (draws, rows)."""
        # Integers are added up several times as fast as floating-point numbers.
        gained = np.take(weights, self._positives, axis=1)
        positives = np.cumsum(gained, axis=1, dtype=np.int32)
        negatives = np.zeros((len(weights), len(self._negatives) + 1), dtype=np.int32)
        np.cumsum(np.take(weights, self._negatives, axis=1), axis=1, out=negatives[:, 1:])
        return Counts(
            gained.astype(np.float64),
            np.take(positives, self._positives_to - 1, axis=1),
            np.take(negatives, self._negatives_above, axis=1),
            np.take(negatives, self._negatives_to, axis=1),
            negatives[:, -1].astype(np.float64),
        )


def tied_starts(in_order: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the positions at which descending scores change, starting with 0."""
    return np.flatnonzero(np.diff(in_order.astype(np.float64), prepend=np.inf))


def roc_auc(counts: Counts) -> Floats:
    """Compute the ROC AUC of each draw, of shape (draws,); NaN if all rows are of one kind.

    It is the share of pairs in which the row of the class has the higher score, ties for half (Mann-Whitney).
    """
    # Integer sums of two counts do not overflow: each is at most the number of rows.
    both = np.einsum("ij,ij->i", counts.gained, counts.negatives_above + counts.negatives)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - both / (2 * counts.gained.sum(axis=1) * counts.all_negatives))


def average_precision(counts: Counts) -> Floats:
    """Compute the average precision of each draw, of shape (draws,); NaN if no row is of the class.

    It is the precision at each threshold, weighted by the recall gained there, as scikit-learn defines it.
    """
    precision = counts.positives / np.maximum(counts.positives + counts.negatives, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.einsum("ij,ij->i", counts.gained, precision) / counts.gained.sum(axis=1))


def calibration_bins(score: NDArray[np.floating], bins: int) -> Floats:
    """Assign rows to bins of nearly equal numbers of rows, the highest scores first.

    Rows of equal score share a bin, so that some bins stay empty if there are few distinct scores.

    Returns:
        Matrix of shape (rows, bins) with a 1 in each row.
    """
    rows = len(score)
    order = np.argsort(-score, kind="stable")
    starts = tied_starts(score[order])
    in_bin = np.zeros((rows, bins))
    in_bin[order, np.repeat(starts * bins // rows, np.diff(starts, append=rows))] = 1
    return in_bin
