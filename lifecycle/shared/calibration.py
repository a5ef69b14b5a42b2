"""Whether outcomes agree with the predictions: on average, and in how much they differ with the predictions.

Both are computed from sums, so that they are exact for parts of the rows that are left out or put together.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from duckdb import DuckDBPyRelation
from numpy.typing import NDArray

from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.intervals import Interval, jackknife
from lifecycle.shared.metrics import Floats
from lifecycle.shared.settings import Settings


class Calibration(Settings):
    """How outcomes agreed with the predictions on the holdout.

    Attributes:
        deviation: Standard deviation of the outcomes, by answer of the model.
        surplus: By answer, the largest difference of the mean outcome and the mean prediction in its interval.
        slope: The least slope of the outcomes on the predictions in its interval; None if there is no interval.
    """

    deviation: dict[str, float]
    surplus: dict[str, float]
    slope: float | None


@dataclass(frozen=True)
class OutcomeSums:
    """Sums over rows with outcomes.

    Attributes:
        parts: Number of each part, in ascending order, of shape (parts,).
        rows: Number of rows, of shape (parts,).
        sums: By answer of the model, the sums of outcome, prediction, their squares and their product, of shape (parts,
            answers, 5). Both are relative to the mean outcome of all rows, because differences of large sums would
            lose digits.
    """

    parts: NDArray[np.intp]
    rows: Floats
    sums: Floats

    @classmethod
    def of(cls, rows: DuckDBPyRelation, part: str) -> "OutcomeSums":
        """Add up rows with `prediction` and `outcome`, by part: an SQL expression of an integer."""
        answers = TASK.answer_sql()
        (means,) = rows.aggregate(", ".join(f"avg({outcome})" for outcome, _ in answers.values())).fetchall()
        summed = list[str]()
        for (outcome, prediction), mean in zip(answers.values(), means, strict=True):
            y, p = f"({outcome} - {mean or 0.0!r})", f"({prediction} - {mean or 0.0!r})"
            summed += [f"sum({y})", f"sum({p})", f"sum({y} * {y})", f"sum({p} * {p})", f"sum({y} * {p})"]
        counted = rows.aggregate(", ".join([f"({part})::BIGINT AS part", "count(*)", *summed]), "part")
        table = np.array(sorted(counted.fetchall()), dtype=np.float64).reshape(-1, 2 + 5 * len(answers))
        return cls(table[:, 0].astype(np.intp), table[:, 1], table[:, 2:].reshape(len(table), len(answers), 5))

    def surplus_intervals(self, confidence: float) -> dict[str, Interval]:
        """Return the surplus of all rows, by answer, with jackknife intervals that leave out each part."""
        whole, without = self._leave_out(surplus)
        return {
            name: jackknife(whole[position], without[:, position], confidence)
            for position, name in enumerate(TASK.answer_sql())
        }

    def slope_interval(self, confidence: float) -> Interval:
        """Return the slope of all rows, with a jackknife interval that leaves out each part."""
        whole, without = self._leave_out(slope)
        return jackknife(float(whole), without, confidence)

    def deviations(self) -> dict[str, float]:
        """Return the standard deviation of the outcomes, by answer."""
        mean = self.sums.sum(axis=0) / self.rows.sum()
        return dict(zip(TASK.answer_sql(), np.sqrt(np.maximum(mean[:, 2] - mean[:, 0] ** 2, 0)).tolist(), strict=True))

    def _leave_out(self, measure: Callable[[Floats, Floats], Floats]) -> tuple[Floats, Floats]:
        rows, sums = self.rows.sum(), self.sums.sum(axis=0)
        return measure(rows, sums), measure(rows - self.rows, sums - self.sums)


def calibrate(rows: DuckDBPyRelation, group: str, confidence: float) -> Calibration:
    """Measure the calibration on the holdout.

    Args:
        rows: Rows with `prediction` and `outcome`.
        group: SQL expression of a row's group of clusters.
        confidence: Level of the intervals.
    """
    sums = OutcomeSums.of(rows, group)
    intervals, least = sums.surplus_intervals(confidence), sums.slope_interval(confidence).low
    return Calibration(
        deviation=sums.deviations(),
        surplus={name: float(np.nanmax(np.abs(interval))) for name, interval in intervals.items()},
        slope=least if np.isfinite(least) else None,
    )


def surplus(rows: Floats, sums: Floats) -> Floats:
    """Return the mean outcome minus the mean prediction.

    Args:
        rows: Number of rows, of any shape.
        sums: Sums of `OutcomeSums`, of that shape and (answers, 5).

    Returns:
        The differences, of that shape and (answers,); NaN without rows.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((sums[..., 0] - sums[..., 1]) / rows[..., None])


def slope(rows: Floats, sums: Floats) -> Floats:
    """Return the slope of the outcomes on the predictions.

    It is the slope of linear regression, with the covariances of all answers added up: 1 if a difference of two
    predictions is that of their mean outcomes, and 0 if the predictions say nothing.

    Args:
        rows: Number of rows, of any shape.
        sums: Sums of `OutcomeSums`, of that shape and (answers, 5).

    Returns:
        The slopes, of that shape; NaN if all predictions are the same.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums / rows[..., None, None]
        covariance = (mean[..., 4] - mean[..., 0] * mean[..., 1]).sum(axis=-1)
        variance = (mean[..., 3] - mean[..., 1] ** 2).sum(axis=-1)
        return np.asarray(np.where(variance > 0, covariance / variance, np.nan))
