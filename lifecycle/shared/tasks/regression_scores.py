"""Metrics of a target that is a number and its predicted value."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared.metrics import Floats, Metric, Weights, in_chunks

# In the order of the last axis of the array that `RegressionScores.metrics` returns.
REGRESSION_METRICS = (
    Metric("rmse", "RMSE", higher_is_better=False, live=True),
    Metric("mae", "MAE", higher_is_better=False, live=True),
    Metric("median_absolute_error", "median absolute error", higher_is_better=False, live=False),
    Metric("r2", "R²", higher_is_better=True, live=True, least=-np.inf),
    Metric("bias", "absolute bias", higher_is_better=False, live=True),
)


class RegressionScores:
    """A target and its predicted values."""

    def __init__(self, target: NDArray[np.floating], value: NDArray[np.floating]) -> None:
        """Compute everything that does not depend on the weights of the rows.

        Args:
            target: Target of shape (rows,).
            value: Predicted target, of shape (rows,).
        """
        exact = target.astype(np.float64)
        error = value.astype(np.float64) - exact
        # Centred, because the difference of large sums of squares would lose digits.
        centred = exact - exact.mean() if len(exact) else exact
        absolute = np.abs(error)
        self._summed = np.column_stack([np.ones(len(exact)), error, absolute, error**2, centred, centred**2])
        self._order = np.argsort(absolute, kind="stable")
        self._sorted = absolute[self._order]

    def metrics(self, weights: Weights) -> Floats:
        """Compute the metrics of weighted rows.

        Args:
            weights: How often each row counts, of shape (draws, rows).

        Returns:
            Metrics of shape (draws, metrics), in the order of `REGRESSION_METRICS`; NaN where one is undefined.
        """
        summed = metrics_of_sums(weights.astype(np.float64) @ self._summed)
        return np.insert(summed, 2, in_chunks(self._median_absolute_error, weights)[:, 0], axis=1)

    def _median_absolute_error(self, weights: Weights) -> Floats:
        """Compute the weighted median of each draw, of shape (draws, 1)."""
        if not len(self._sorted):
            return np.full((len(weights), 1), np.nan)
        until = np.cumsum(np.take(weights, self._order, axis=1), axis=1, dtype=np.int64)
        total = until[:, -1:]
        # The two middle rows, which are the same for an odd number of rows.
        middle = [self._sorted[np.argmax(until > place, axis=1)] for place in ((total - 1) // 2, total // 2)]
        return np.where(total > 0, np.mean(middle, axis=0)[:, None], np.nan)


def metrics_of_sums(sums: Floats) -> Floats:
    """Compute the metrics that sums over the rows determine: RMSE, MAE, R² and absolute bias.

    Args:
        sums: Number of rows, and the sums of errors, absolute errors, squared errors, centred targets and squared
            centred targets, of shape (draws, 6).

    Returns:
        Metrics of shape (draws, 4); NaN where one is undefined.
    """
    total, error, absolute, squared, centred, spread = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = spread / total - (centred / total) ** 2
        mean_squared = squared / total
        # R² is undefined if all outcomes are equal.
        r2 = np.where(variance > 0, 1 - mean_squared / variance, np.nan)
        return np.column_stack([np.sqrt(mean_squared), absolute / total, r2, np.abs(error / total)])
