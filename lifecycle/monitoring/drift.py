"""Drift: does production look like none of the months that the model knows?

Each variable is compared with each month of window and holdout; what counts is the one that it is most like. It has
drifted where even from that one it is further away than the threshold, and further than the months are from one
another: for a model that was trained on January and on June, a season is no news. Nor has it drifted where it is like
the whole window. The distance has to be significant, too (chi-squared test of homogeneity, corrected for
the number of variables by Holm 1979), so that a few rows are not taken for a distribution.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import VARIABLES, Distributions, Variable
from lifecycle.shared.histograms import DISTANCES, Shares, shares
from lifecycle.shared.params import Distance, Monitoring

# Further than the months are apart by this factor: no month is quite like another.
_TOLERANCE = 1.25
_SIGNIFICANCE = 0.01


@dataclass(frozen=True)
class Drift:
    """How far a variable is from what the model knows.

    Attributes:
        variable: It is of.
        distance: By which method, and what is allowed in any case.
        found: The distance to the month that it is most like.
        compared: The months that it was compared with, that one first.
        usual: How far the months of the reference are from one another.
        drifted: Whether that is a drift.
    """

    variable: Variable
    distance: Distance
    found: float
    compared: tuple[str, ...]
    usual: float
    drifted: bool

    @property
    def threshold(self) -> float:
        """The distance from which on it is a drift."""
        return max(self.distance.threshold, _TOLERANCE * self.usual)


def drifts(reference: Reference, live: Distributions, month: int, settings: Monitoring) -> list[Drift]:
    """How far each variable is from what the model knows.

    Args:
        reference: Of the model.
        live: What production was asked, and its answers.
        month: Of the year, 1 to 12, in which that was.
        settings: Methods, thresholds, seasons.

    Returns:
        One for each variable, in the order of the contract.
    """
    compared = [_compare(one, reference, live, month, settings) for one in VARIABLES]
    significant = _holm([chance for _, chance in compared])
    return [
        replace(drift, drifted=drift.drifted and certain)
        for (drift, _), certain in zip(compared, significant, strict=True)
    ]


def drifted_importance(reference: Reference, found: Sequence[Drift]) -> float:
    """The share of the importance of all columns that those which have drifted have."""
    drifted = {one.variable.column for one in found if one.drifted}
    whole = sum(reference.importance.values())
    return sum(reference.importance.get(column, 0.0) for column in drifted) / whole if whole else 0.0


def _compare(
    variable: Variable, reference: Reference, live: Distributions, month: int, settings: Monitoring
) -> tuple[Drift, float]:
    """The drift of a variable, if it is significant, and how likely so much is by chance."""
    distance = settings.columns.get(variable.column, settings.drift)
    measure = DISTANCES[distance.method]
    counts = {name: np.array(one.counts[variable.name]) for name, one in reference.months.items()}
    known, now = {name: shares(one) for name, one in counts.items()}, np.array(live.counts[variable.name])
    if variable.column in settings.season:
        candidates, usual = _of_the_season(known, month, measure)
    else:
        to_others = [[measure(known[one], known[other]) for other in known if other != one] for one in known]
        candidates, usual = [*known], max((min(others) for others in to_others if others), default=0.0)
    distances = {name: measure(shares(now), known[name]) for name in candidates}
    compared = tuple(sorted(distances, key=lambda name: distances[name]))
    window = np.sum([one for name, one in counts.items() if name not in reference.holdout], axis=0)
    unlike_all = measure(shares(now), shares(window)) > distance.threshold
    drift = Drift(variable, distance, distances[compared[0]], compared, usual, drifted=False)
    return replace(drift, drifted=drift.found > drift.threshold and unlike_all), _chance(now, counts[compared[0]])


def _of_the_season(
    known: Mapping[str, Shares], month: int, measure: Callable[[Shares, Shares], float]
) -> tuple[list[str], float]:
    """The months of the reference next to a month of the year, and how far months are apart that lie as far apart."""
    months = {name: int(name[5:]) for name in known}
    gap = min(_months_between(one, month) for one in months.values())
    apart = [
        measure(known[one], known[other])
        for one in known
        for other in known
        if one < other and _months_between(months[one], months[other]) <= max(gap, 1)
    ]
    return [name for name, one in months.items() if _months_between(one, month) == gap], max(apart, default=0.0)


def _months_between(one: int, other: int) -> int:
    """In the course of the year, from 0 to 6."""
    return min((one - other) % 12, (other - one) % 12)


def _chance(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """How likely it is that two samples of one distribution differ so much: the chi-squared test of homogeneity."""
    table = np.array([one, other], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():  # noqa: PLR2004 - in one bin nothing can differ
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))


def _holm(chances: Sequence[float]) -> list[bool]:
    """Which are significant: the least has to be below the level by their number, the next by one less, and so on."""
    significant = [False] * len(chances)
    for place, position in enumerate(np.argsort(chances)):
        if chances[position] > _SIGNIFICANCE / (len(chances) - place):
            break
        significant[position] = True
    return significant
