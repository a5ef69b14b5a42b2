"""Metrics of predicted probabilities, and their bootstrap intervals.

A resample of the rows is a weight for each of them, so the rows are sorted by probability once, and one vectorised
function serves the holdout itself (every weight is 1) and a thousand resamples of it.
"""

from collections.abc import Iterator
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from model.params import MetricName

Floats = NDArray[np.float64]
Weights = NDArray[np.unsignedinteger]

# In the order of the last axis of what `Scores.metrics` returns.
METRICS: tuple[MetricName, ...] = get_args(MetricName)
IN_WORDS: dict[MetricName, str] = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier_score": "Brier score",
    "calibration_error": "calibration error",
}

# Cells (draws x rows) worked on at a time, so that the arrays stay in a processor's cache: weights, of a byte each, and
# what is computed from them.
_DRAWN_CELLS = 2**20
_CELLS = 2**18
_LEAST_DRAWN = 8  # resamples, however many rows

# How often a row is drawn, for each value of 16 random bits: Poisson with mean 1, right to 1/65,536.
_DRAWN = np.searchsorted(
    np.cumsum(np.exp(-1) / np.cumprod([1, *range(1, 9)])) * 2**16, np.arange(2**16), side="right"
).astype(np.uint8)


class Interval(NamedTuple):
    """A metric with its bootstrap interval; NaN where it is undefined (all rows of one class)."""

    value: float
    low: float
    high: float


class Scores:
    """A target and the probabilities predicted for it, sorted from the most to the least probable row."""

    def __init__(self, target: NDArray[np.bool_], probability: NDArray[np.floating], *, bins: int) -> None:
        """Sort the rows and compute what does not depend on their weights.

        Args:
            target: Of shape (rows,).
            probability: Predicted probability of the target, of shape (rows,).
            bins: Number of calibration bins. They hold nearly equal numbers of rows, and rows of the same probability
                share one, so that there are fewer where fewer probabilities are distinct.
        """
        rows = len(target)
        order = np.argsort(-probability, kind="stable")
        positive = target[order]
        self._positives, self._negatives = order[positive], order[~positive]

        # Rows of the same probability are one threshold. For each positive row: how many negative rows lie above its
        # threshold, and how many rows of each kind above it or at it.
        starts = np.flatnonzero(np.diff(probability[order].astype(np.float64), prepend=np.inf))
        thresholds = np.repeat(np.arange(len(starts)), np.diff(starts, append=rows))[positive]
        negatives = np.concatenate([[0], np.cumsum(~positive)])
        ends = np.append(starts[1:], rows)[thresholds]
        self._negatives_above = negatives[starts][thresholds]
        self._negatives_to = negatives[ends]
        self._positives_to = ends - self._negatives_to

        # Sums that a resample only weights: log loss and Brier score, and for each bin, with its rows alone, how many
        # more are positive than predicted.
        exact = probability.astype(np.float64)
        epsilon = np.finfo(np.float64).eps
        clipped = np.clip(exact, epsilon, 1 - epsilon)
        surplus = target - exact
        in_bin = np.zeros((rows, bins))
        in_bin[order, np.repeat(starts * bins // rows, np.diff(starts, append=rows))] = 1
        losses = [-np.where(target, np.log(clipped), np.log1p(-clipped)), surplus**2]
        self._summed = np.column_stack([*losses, in_bin * surplus[:, None]])

    def metrics(self, weights: Weights) -> Floats:
        """The metrics of weighted rows.

        Args:
            weights: How often each row counts, of shape (draws, rows), the rows in their original order.

        Returns:
            Of shape (draws, metrics), in the order of `METRICS`; NaN where all rows are of one class.
        """
        # For all draws at once: what is weighted is read from memory once.
        summed = weights.astype(np.float64) @ self._summed
        at_a_time = max(1, _CELLS // weights.shape[1])
        chunks = [slice(start, start + at_a_time) for start in range(0, len(weights), at_a_time)]
        return np.concatenate([self._metrics(weights[chunk], summed[chunk]) for chunk in chunks])

    def _metrics(self, weights: Weights, summed: Floats) -> Floats:
        # Whole numbers are added up several times as fast as floating-point ones.
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
            # A small slice may be drawn not at all.
            return np.column_stack([roc_auc, average_precision, summed[:, :2] / total[:, None], gaps / total])


def resamples(rows: int, *, count: int, seed: int) -> Iterator[Weights]:
    """Bootstrap resamples of the rows, as how often each row is drawn.

    Each row is drawn a Poisson number of times with mean 1, independently of the others (Hanley and MacGibbon 2006):
    for many rows the same as drawing with replacement, but without jumping through memory.

    Args:
        rows: Number of rows.
        count: Number of resamples.
        seed: Seed of the draws.

    Yields:
        Weights of shape (some, rows), ``count`` of them in all.
    """
    random = np.random.default_rng(seed)
    at_a_time = max(_LEAST_DRAWN, _DRAWN_CELLS // rows)
    for start in range(0, count, at_a_time):
        yield _DRAWN[random.integers(0, 2**16, (min(at_a_time, count - start), rows), dtype=np.uint16)]


def interval(value: float, drawn: Floats, confidence: float) -> Interval:
    """The percentile bootstrap interval of a metric (Efron and Tibshirani 1993, chapter 13).

    Args:
        value: The metric of the rows themselves.
        drawn: The metric of each resample, of shape (resamples,).
        confidence: Share of the resamples that lies inside of the interval.
    """
    # A resample of one class only has no ROC curve; it says nothing about the others.
    defined = drawn[np.isfinite(drawn)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))
