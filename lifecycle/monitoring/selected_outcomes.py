"""Outcomes that are known for some kinds of predictions more often than for others."""

from datetime import timedelta
from typing import NamedTuple

import numpy as np
from duckdb import DuckDBPyRelation

from lifecycle.monitoring.log import CLUSTERED, Log
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.clusters import cluster_sql, group_sql
from lifecycle.shared.intervals import jackknife
from lifecycle.shared.metrics import Floats

# A smaller difference of the mean predictions does not matter, in standard deviations of the predictions.
_SELECTED = 0.25
# Least number of predictions with an outcome, and without, that are compared.
_ROWS = 20


def find_selection(log: Log, group: str, delay: float, confidence: float) -> str:
    """Say by how much predictions with an outcome differ from those without.

    Only predictions old enough for most outcomes count, because the newest ones are without for another reason.

    Args:
        log: Log of a period and a version, with outcomes.
        group: Column of the groups of clusters in its outcomes.
        delay: Days after which most outcomes are reported.
        confidence: Level of the interval of the difference.

    Returns:
        The difference, as the rest of a sentence that begins with "outcomes"; empty if there is none.
    """
    old = f"time < {(log.until - timedelta(days=delay)).timestamp()!r}"
    sql = group_sql(cluster_sql("key")[group.removeprefix(CLUSTERED)])
    every = _Sums.of(log.predictions.filter(old), sql)
    known = _Sums.of(log.outcomes.filter(old), f'"{group}"').in_groups_of(every)
    unknown = every.without(known)
    if min(known.rows.sum(), unknown.rows.sum()) < _ROWS:
        return ""
    mean, mean_of_squares = (every.sums.sum(axis=0) / every.rows.sum()).T
    spread = np.sqrt(np.maximum(mean_of_squares - mean**2, 0))
    coverage = known.rows.sum() / every.rows.sum()
    (means, other_means), (left_out, others_left_out) = zip(known.means(), unknown.means(), strict=True)
    for position, name in enumerate(TASK.answer_sql()):
        difference = means[position] - other_means[position]
        interval = jackknife(difference, left_out[:, position] - others_left_out[:, position], confidence)
        if max(interval.low, -interval.high) > _SELECTED * spread[position]:
            return (
                f"are selected. Of the predictions older than {delay:.1f} days, {coverage:.0%} have one. The mean "
                f"prediction of {name} is {means[position]:.3g} among them, and {other_means[position]:.3g} among the "
                "others. Live metrics hold for the selected rows only."
            )
    return ""


class _Sums(NamedTuple):
    """Sums over predictions by group of clusters.

    Attributes:
        groups: Number of each group, in ascending order, of shape (groups,).
        rows: Number of rows, of shape (groups,).
        sums: Sums of the predictions and of their squares, of shape (groups, answers, 2).
    """

    groups: Floats
    rows: Floats
    sums: Floats

    @classmethod
    def of(cls, rows: DuckDBPyRelation, group: str) -> "_Sums":
        """Add up the predictions, by an SQL expression of the group."""
        answers = TASK.answer_sql().values()
        summed = [f"sum({prediction}), sum({prediction} ** 2)" for _, prediction in answers]
        counted = rows.aggregate(", ".join([f"({group}) AS part", "count(*)", *summed]), "part").fetchall()
        values = np.array(sorted(counted), dtype=np.float64).reshape(-1, 2 + 2 * len(answers))
        return cls(values[:, 0], values[:, 1], values[:, 2:].reshape(len(values), len(answers), 2))

    def in_groups_of(self, other: "_Sums") -> "_Sums":
        """Return the sums of the groups of others, which include these; 0 for a group without rows."""
        rows, sums = np.zeros_like(other.rows), np.zeros_like(other.sums)
        places = np.searchsorted(other.groups, self.groups)
        rows[places], sums[places] = self.rows, self.sums
        return _Sums(other.groups, rows, sums)

    def without(self, part: "_Sums") -> "_Sums":
        """Subtract a part of the rows, in the same groups."""
        return _Sums(self.groups, self.rows - part.rows, self.sums - part.sums)

    def means(self) -> tuple[Floats, Floats]:
        """Return the mean prediction of each answer, and those without each group, of shape (groups, answers)."""
        rows, sums = self.rows.sum(), self.sums[..., 0].sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums / rows, (sums - self.sums[..., 0]) / (rows - self.rows)[:, None]
