"""Confidence intervals for rows that are not independent of one another.

Rows of one cluster (the orders of a day, the visits of a customer) share what the model does not know, so they count
for less than as many independent rows. Leaving out whole clusters, one at a time, shows how much a metric depends on
each of them (the delete-one jackknife: Efron and Tibshirani 1993, chapter 11). The quantiles are those of Student's t
with one degree of freedom less than there are clusters, so that intervals hold with few clusters, too. docs/verdict.md
compares this with other methods.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from lifecycle.shared.metrics import Floats, Weights

Groups = NDArray[np.intp]

# With more clusters than this, they are left out in groups of equal number (the delete-a-group jackknife: Kott 2001).
MOST_GROUPS = 100
_CELLS = 2**20  # weights, of a byte each, made at a time


class Interval(NamedTuple):
    """A value with its confidence interval; NaN where it is undefined."""

    value: float
    low: float
    high: float


def groups_of(clusters: NDArray[np.intp]) -> Groups:
    """Put clusters into at most 100 groups, to be left out one at a time.

    Args:
        clusters: Number of the cluster of each row, of shape (rows,).

    Returns:
        Number of the group of each row, from 0 on, of shape (rows,). Up to 100 clusters are a group each.
    """
    _, numbered = np.unique(clusters, return_inverse=True)
    count = int(numbered.max(initial=-1)) + 1
    if count <= MOST_GROUPS:
        return np.asarray(numbered, dtype=np.intp)
    # At random, so that neighbours do not end up together; always in the same way.
    dealt = np.random.default_rng(0).permutation(count) % MOST_GROUPS
    return np.asarray(dealt[numbered], dtype=np.intp)


def leave_out_each(measure: Callable[[Weights], Floats], groups: Groups) -> Floats:
    """Measure the rows without each of their groups.

    Args:
        measure: From weights of shape (draws, rows) to metrics of shape (draws, metrics).
        groups: Number of the group of each row, of shape (rows,). The numbers may have gaps.

    Returns:
        Of shape (groups, metrics).
    """
    present = np.unique(groups)
    at_a_time = max(1, _CELLS // len(groups))
    return np.concatenate(
        [
            measure((present[start : start + at_a_time, None] != groups).astype(np.uint8))
            for start in range(0, len(present), at_a_time)
        ]
    )


def jackknife(value: float, without_each: Floats, confidence: float) -> Interval:
    """The jackknife interval of a metric.

    Args:
        value: The metric of all rows.
        without_each: The metric without each group, of shape (groups,).
        confidence: Share of such intervals that contain the true value.

    Returns:
        Without limits where there are fewer than two groups, or the metric is undefined without one of them.
    """
    count = len(without_each)
    if count < 2 or not np.isfinite(without_each).all():  # noqa: PLR2004 - one group has no variance
        return Interval(float(value), np.nan, np.nan)
    variance = (count - 1) * float(np.mean((without_each - without_each.mean()) ** 2))
    reach = student_quantile(count, confidence) * np.sqrt(variance)
    return Interval(float(value), float(value - reach), float(value + reach))


def student_quantile(count: int, confidence: float) -> float:
    """How many standard errors an interval of a mean of so many values reaches, by Student's t."""
    return float(stdtrit(count - 1, (1 + confidence) / 2))


def mean_interval(values: Floats, confidence: float) -> Interval:
    """The mean of independent values with Student's interval.

    Args:
        values: Of shape (values,).
        confidence: Share of such intervals that contain the true mean.
    """
    mean = float(values.mean())
    if len(values) < 2:  # noqa: PLR2004 - one value has no variance
        return Interval(mean, np.nan, np.nan)
    reach = student_quantile(len(values), confidence) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(mean, float(mean - reach), float(mean + reach))
