"""Confidence intervals for rows that are not independent of one another.

Rows of one cluster (the orders of a day, the visits of a customer) share influences that the model does not see, so
they carry less information than as many independent rows. Leaving out whole clusters, one at a time, shows how much a
metric depends on each of them (the delete-one jackknife: Efron and Tibshirani 1993, chapter 11). The quantiles are
those of Student's t with one degree of freedom less than there are clusters, so that the intervals are also valid for
few clusters. docs/verdict.md compares this with other methods.
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
_CELLS = 2**20  # weights, of one byte each, made at a time


class Interval(NamedTuple):
    """A value with its confidence interval; undefined numbers are NaN."""

    value: float
    low: float
    high: float


def groups_of(clusters: NDArray[np.intp]) -> Groups:
    """Assign clusters to at most 100 groups, which are left out one at a time.

    Args:
        clusters: Cluster number of each row, of shape (rows,).

    Returns:
        Group number of each row, counted from 0, of shape (rows,). Each of up to 100 clusters is a group of its own.
    """
    _, numbered = np.unique(clusters, return_inverse=True)
    count = int(numbered.max(initial=-1)) + 1
    if count <= MOST_GROUPS:
        return np.asarray(numbered, dtype=np.intp)
    # Random, so that neighbouring clusters do not end up in one group; seeded, so that the groups are reproducible.
    group_of_cluster = np.random.default_rng(0).permutation(count) % MOST_GROUPS
    return np.asarray(group_of_cluster[numbered], dtype=np.intp)


def leave_out_each(measure: Callable[[Weights], Floats], groups: Groups) -> Floats:
    """Measure the rows without each of their groups.

    Args:
        measure: Function from weights of shape (draws, rows) to metrics of shape (draws, metrics).
        groups: Group number of each row, of shape (rows,). The numbers may have gaps.

    Returns:
        Metrics of shape (groups, metrics).
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
    """Compute the jackknife interval of a metric.

    Args:
        value: Metric of all rows.
        without_each: Metric without each group, of shape (groups,).
        confidence: Confidence level: the share of such intervals that contain the true value.

    Returns:
        The value and its limits. The limits are NaN if there are fewer than two groups, or if the metric is undefined
        without one of them.
    """
    count = len(without_each)
    if count < 2 or not np.isfinite(without_each).all():  # noqa: PLR2004 - one group has no variance
        return Interval(float(value), np.nan, np.nan)
    half_width = student_quantile(count, confidence) * jackknife_error(without_each)
    return Interval(float(value), float(value - half_width), float(value + half_width))


def jackknife_error(without_each: Floats) -> float:
    """Return the standard error of a metric from its values without each of several groups, of shape (groups,)."""
    return float(np.sqrt((len(without_each) - 1) * np.mean((without_each - without_each.mean()) ** 2)))


def student_quantile(count: int, confidence: float) -> float:
    """Return half the width of the interval of a mean of ``count`` values, in standard errors, by Student's t."""
    return float(stdtrit(count - 1, (1 + confidence) / 2))


def mean_interval(values: Floats, confidence: float) -> Interval:
    """Compute the mean of independent values with Student's confidence interval.

    Args:
        values: Values of shape (values,).
        confidence: Confidence level: the share of such intervals that contain the true mean.
    """
    mean = float(values.mean())
    if len(values) < 2:  # noqa: PLR2004 - one value has no variance
        return Interval(mean, np.nan, np.nan)
    half_width = student_quantile(len(values), confidence) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(mean, float(mean - half_width), float(mean + half_width))
