"""The rows of production that a check judges, and how much they can tell."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from duckdb import DuckDBPyRelation
from scipy.special import bdtr, chdtrc, xlogy

from lifecycle.pipeline.reference import Alikeness, Reference
from lifecycle.shared.distributions import Distributions, Variable
from lifecycle.shared.histograms import Shares, jensen_shannon, shares
from lifecycle.shared.metrics import Floats
from lifecycle.shared.parts import first_day, is_fold, months_between

# Probability of a day that seems to set a variable apart, and least Jensen-Shannon distance of such a day.
_CHANCE = 1e-4
_CHANGE = 0.1
# Probability of as small a share of a bin, of which there are many.
_LEAST_CHANCE = 1e-6
# Width of the interval of a share, in standard deviations. A normal value exceeds it once in 30,000 times.
_DEVIATIONS = 4.0


@dataclass(frozen=True)
class Live:
    """Predictions of one version in a period.

    Attributes:
        reference: Reference of the version.
        rows: The predictions, with the columns that `log.Log` describes.
        seen: Their distributions.
        by_day: Their distributions by day, counted from the start of the log; days without predictions are left out.
        cluster_size: Number of rows in the cluster of a row, on average.
        months: Share of the rows by month of the year, 1 to 12, of their event, or else of their prediction.
    """

    reference: Reference
    rows: DuckDBPyRelation
    seen: Distributions
    by_day: Mapping[int, Distributions]
    cluster_size: float
    months: Mapping[int, float]

    @property
    def month(self) -> int:
        """The month of the year that most rows are of; its season counts, also if they are predicted in another one."""
        return max(self.months, key=lambda month: self.months[month])

    def mixture(self, name: str) -> Shares:
        """Return the distribution that rows of these months have in the known periods; without time, in all of them.

        For a month that is not known, the nearest known months count.

        Args:
            name: Name of a variable.
        """
        periods = self.reference.periods
        known = {period: shares(seen.counts[name]) for period, seen in periods.items()}
        if is_fold(next(iter(periods))):
            return np.asarray(np.mean([*known.values()], axis=0))
        mixed = np.zeros(self.reference.bins[name].size)
        for month, share in self.months.items():
            gaps = {period: months_between(first_day(period).month, month) for period in periods}
            nearest = [known[period] for period, gap in gaps.items() if gap == min(gaps.values())]
            mixed += share * np.mean(nearest, axis=0)
        return mixed

    def effect(self, variable: Variable, of: Alikeness = "share") -> float:
        """Return the design effect of a variable; see `Reference.effect`."""
        return self.reference.effect(variable.name, self.cluster_size, of)

    def share(self, variable: Variable, *bins: int) -> float:
        """Return the share of the rows in some bins."""
        return self.share_in(self.seen, variable, *bins)

    def most(self, variable: Variable, *bins: int) -> float:
        """Return the largest share that some bins have in a period of the reference."""
        return max(self.share_in(period, variable, *bins) for period in self.reference.periods.values())

    def most_of_present(self, variable: Variable, place: int) -> float:
        """Return the largest share that a bin has among the rows with a value, in a period of the reference."""
        counts = np.array([period.counts[variable.name][:-1] for period in self.reference.periods.values()])
        return float((counts[:, place] / np.maximum(counts.sum(axis=1), 1)).max())

    def least(self, variable: Variable, *bins: int) -> float:
        """Return the smallest share that some bins have in a period of the reference."""
        return min(self.share_in(period, variable, *bins) for period in self.reference.periods.values())

    @staticmethod
    def share_in(period: Distributions, variable: Variable, *bins: int) -> float:
        """Return the share of the rows of a period in some bins."""
        return float(shares(period.counts[variable.name])[list(bins)].sum())

    def exceeds(self, variable: Variable, share: float, bound: float, of: Alikeness = "share") -> bool:
        """Return whether a share of the rows exceeds a bound beyond chance: with its whole Wilson interval (1927)."""
        z = _DEVIATIONS**2 * self.effect(variable, of) / max(self.seen.rows, 1)
        return (share + z / 2 - math.sqrt(z * (share * (1 - share) + z / 4))) / (1 + z) > bound

    def falls_short(self, variable: Variable, share: float, expected: float) -> bool:
        """Return whether a share of the rows is below an expected one beyond chance, by its binomial distribution."""
        rows = self.seen.rows / self.effect(variable)
        return bool(share < expected and bdtr(share * rows, max(int(rows), 1), expected) < _LEAST_CHANCE)

    def changed(self, name: str) -> int | None:
        """Return the day since when a variable has another distribution than before; None if there is no such day.

        Each day could be the first one. That with the largest likelihood ratio counts, if chance does not explain it
        and the change matters.

        Args:
            name: Name of the variable.
        """
        counts = np.array([seen.counts[name] for seen in self.by_day.values()], dtype=np.float64)
        before = np.cumsum(counts, axis=0)[:-1]
        after = counts.sum(axis=0) - before
        ratios = 2 * (_log_likelihood(before) + _log_likelihood(after) - _log_likelihood(counts.sum(axis=0)))
        if not len(ratios):
            return None
        place = int(np.argmax(ratios))
        effect = self.reference.effect(name, self.cluster_size, "level")
        by_chance = chdtrc(max(np.count_nonzero(counts.sum(axis=0)) - 1, 1), ratios[place] / effect)
        matters = jensen_shannon(shares(before[place]), shares(after[place])) > _CHANGE
        return [*self.by_day][place + 1] if matters and by_chance * len(ratios) < _CHANCE else None


def _log_likelihood(counts: Floats) -> Floats:
    """Return the largest log-likelihood of counts by bin, of shape (..., bins)."""
    rows = counts.sum(axis=-1)
    return np.asarray(xlogy(counts, counts).sum(axis=-1) - xlogy(rows, rows))
