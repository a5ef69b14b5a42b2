"""Drift: production differs from every period that the model knows.

Each variable is compared with each period of the window and the holdout (or each fold, without time), and the nearest
one counts. The variable has drifted if its distance even from that period exceeds the threshold and the distances of
the periods from one another: a season is no drift for a model that was trained on January and June. It has not drifted
if it is close to the window as a whole. The difference must also be significant, so that a few rows are not taken for a
distribution: by a chi-squared test of homogeneity of the independent rows (Rao and Scott 1981), corrected for
the number of variables (Holm 1979).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtrc

from lifecycle.monitoring.live import Live
from lifecycle.pipeline.reference import Alikeness, Reference
from lifecycle.shared.distributions import VARIABLES, Variable
from lifecycle.shared.histograms import DISTANCES, Shares, shares
from lifecycle.shared.metrics import Floats
from lifecycle.shared.params import Distance, Monitoring
from lifecycle.shared.parts import first_day, months_between

# Factor by which the distance must exceed that between periods: no period is exactly like another.
_TOLERANCE = 1.25
_SIGNIFICANCE = 0.01
# How much alike rows of a cluster are, for `Drift.far` and for `Drift.certain`.
_EFFECTS: tuple[Alikeness, Alikeness] = ("share", "level")


@dataclass(frozen=True)
class Drift:
    """Distance of a variable from the periods that the model knows.

    Attributes:
        variable: Variable that was compared.
        distance: Method, and the least threshold.
        found: Distance to the nearest period.
        compared: Periods that it was compared with, the nearest first.
        usual: Distance of the periods of the reference from one another.
        far: Whether the variable is further than `distance.threshold` from what it was compared with and from the
            window as a whole, beyond chance.
        certain: Whether that is beyond chance also if all values of a cluster may move together.
    """

    variable: Variable
    distance: Distance
    found: float
    compared: tuple[str, ...]
    usual: float
    far: bool
    certain: bool

    @property
    def drifted(self) -> bool:
        """Whether the variable has drifted: it is certainly further than the periods are from one another."""
        return self.far and self.certain and self.found > self.threshold

    @property
    def threshold(self) -> float:
        """The distance above which the variable has drifted."""
        return max(self.distance.threshold, _TOLERANCE * self.usual)

    def distance_of(self, now: Shares, live: Live) -> float:
        """Return the distance of a distribution from the known ones that it may be like.

        These are the periods in `compared`, the window as a whole, and the months that the rows are of.

        Args:
            now: Share of each bin.
            live: Rows of production.
        """
        name, periods = self.variable.name, live.reference.periods
        known = [periods[key].counts[name] for key in self.compared]
        candidates = [*map(shares, known), shares(live.reference.window_counts(name)), live.mixture(name)]
        return min(DISTANCES[self.distance.method](now, then) for then in candidates)


def drifts(live: Live, settings: Monitoring) -> list[Drift]:
    """Compute the drift of each variable.

    Args:
        live: Rows of production.
        settings: Methods, thresholds and seasonal columns.

    Returns:
        The drift of each variable, in the order of the contract.
    """
    compared = [_compare(variable, live, settings) for variable in VARIABLES]
    far, certain = (_holm(p_values) for p_values in zip(*(p_values for _, p_values in compared), strict=True))
    return [
        replace(drift, far=drift.far and is_far, certain=is_certain)
        for (drift, _), is_far, is_certain in zip(compared, far, certain, strict=True)
    ]


def drifted_importance(reference: Reference, all_drifts: Sequence[Drift]) -> float:
    """Return the share of the drifted columns in the importance of all columns, from 0 to 1."""
    drifted = {drift.variable.column for drift in all_drifts if drift.drifted}
    whole = sum(reference.importance.values())
    return sum(reference.importance.get(column, 0.0) for column in drifted) / whole if whole else 0.0


def _compare(variable: Variable, live: Live, settings: Monitoring) -> tuple[Drift, tuple[float, float]]:
    """Return the drift of a variable as if it were significant, and the p-values of the difference."""
    reference, now = live.reference, np.array(live.seen.counts[variable.name])
    distance = settings.columns.get(variable.column, settings.drift)
    measure = DISTANCES[distance.method]
    counts = {name: np.array(period.counts[variable.name]) for name, period in reference.periods.items()}
    known = {name: shares(of_period) for name, of_period in counts.items()}
    if variable.column in settings.season:
        candidates, usual = _of_the_season(known, live.month, measure)
    else:
        to_others = [[measure(known[name], known[other]) for other in known if other != name] for name in known]
        candidates, usual = [*known], max((min(others) for others in to_others if others), default=0.0)
    distances = {name: measure(shares(now), known[name]) for name in candidates}
    compared = tuple(sorted(distances, key=lambda name: distances[name]))
    window = reference.window_counts(variable.name)
    found = distances[compared[0]]
    far = found > distance.threshold and measure(shares(now), shares(window)) > distance.threshold
    drift = Drift(variable, distance, found, compared, usual, far=far, certain=False)
    size, nearest = reference.cluster_size, counts[compared[0]]
    share, level = (
        [
            _p_value(now / live.effect(variable, of), before / reference.effect(variable.name, size, of))
            for before in (nearest, window)
        ]
        for of in _EFFECTS
    )
    return drift, (share[0], max(level))


def _of_the_season(
    known: Mapping[str, Shares], month: int, measure: Callable[[Shares, Shares], float]
) -> tuple[list[str], float]:
    """Return the periods nearest to a month of the year, and the largest distance between periods equally far apart."""
    months = {name: first_day(name).month for name in known}
    gap = min(months_between(known_month, month) for known_month in months.values())
    apart = [
        measure(known[name], known[other])
        for name in known
        for other in known
        if name < other and months_between(months[name], months[other]) <= max(gap, 1)
    ]
    nearest = [name for name, known_month in months.items() if months_between(known_month, month) == gap]
    return nearest, max(apart, default=0.0)


def _p_value(counts: Floats, other_counts: Floats) -> float:
    """Return the p-value of the chi-squared test of homogeneity of two histograms of independent rows."""
    table = np.array([counts, other_counts], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():  # noqa: PLR2004 - a single bin cannot differ
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))


def _holm(p_values: Sequence[float]) -> list[bool]:
    """Return which p-values are significant by Holm's step-down procedure."""
    significant = [False] * len(p_values)
    for place, position in enumerate(np.argsort(p_values)):
        if p_values[position] > _SIGNIFICANCE / (len(p_values) - place):
            break
        significant[position] = True
    return significant
