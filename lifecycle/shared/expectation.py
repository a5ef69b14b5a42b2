"""What the metrics of production are expected to be before outcomes arrive, from the predicted probabilities alone.

If probabilities are calibrated, a row with probability p counts as p positive rows and 1 - p negative ones, and any
metric has an expected value (confidence-based performance estimation, as in NannyML; Bialek et al. 2024, arXiv
2401.08348). No probabilities are quite calibrated, and no month is like another. So the difference of true and expected
metrics on the holdout, the gap, and how much it varies from cluster to cluster give the interval. The gap is not added
to the estimate, because it is rarely that of another month (benchmarks/watch.md).
"""

from collections.abc import Mapping

import numpy as np
from duckdb import DuckDBPyRelation

from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.intervals import Interval, jackknife_error, student_quantile
from lifecycle.shared.metrics import Floats
from lifecycle.shared.settings import Settings


class Gap(Settings):
    """True minus expected metric of the holdout.

    Attributes:
        value: Gap of all rows.
        error: Standard error of the value: how far it may be from that of many such periods.
        clusters: Number of clusters, or groups of clusters, of the holdout.
    """

    value: float
    error: float
    clusters: int


def find_gaps(rows: DuckDBPyRelation, cluster: str) -> dict[str, Gap]:
    """Compute the gap of each metric on the holdout.

    Args:
        rows: Rows with `prediction`, `outcome` and a column of groups of clusters.
        cluster: Name of that column.

    Returns:
        The gaps by metric; empty if the predictions are no probabilities, or if there are fewer than two groups.
    """
    names, values, without = TASK.expected(rows, cluster)
    if len(without) < 2:  # noqa: PLR2004 - one group has no variance
        return {}
    true_names, true_values, true_without = TASK.live(rows, cluster)
    gaps = {}
    for place, name in enumerate(names):
        position = true_names.index(name)
        value = float(true_values[position] - values[place])
        error = jackknife_error(true_without[:, position] - without[:, place])
        if np.isfinite(value) and np.isfinite(error):
            gaps[name] = Gap(value=value, error=error, clusters=len(without))
    return gaps


def expect(rows: DuckDBPyRelation, cluster: str, gaps: Mapping[str, Gap], confidence: float) -> dict[str, Interval]:
    """Estimate the true metrics of rows without outcomes.

    The interval is one for the metric that will be measured once the outcomes are known (a prediction interval): these
    rows may be off by as much as the holdout was, and by chance in both.

    Args:
        rows: Rows with `prediction` and a column of groups of clusters.
        cluster: Name of that column.
        gaps: Gaps of the holdout.
        confidence: Level of the intervals.

    Returns:
        Estimates by metric; empty if there are no gaps or no rows.
    """
    if not gaps:
        return {}
    names, values, without = TASK.expected(rows, cluster)
    estimates = {}
    for place, name in enumerate(names):
        if name in gaps and np.isfinite(values[place]):
            gap, value = gaps[name], float(values[place])
            error = np.hypot(gap.value, gap.error * np.sqrt(1 + gap.clusters / len(without)))
            reach = student_quantile(gap.clusters, confidence) * error
            low, high = _possible(name, np.array([value - reach, value + reach]))
            estimates[name] = Interval(value, float(low), float(high))
    return estimates


def _possible(name: str, values: Floats) -> Floats:
    metric = METRICS[name]
    return np.clip(values, metric.least, 1.0 if metric.higher_is_better else np.inf)
