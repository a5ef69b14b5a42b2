"""Values in the wrong place: columns that have each other's values, and columns with the values of another season."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from lifecycle.monitoring.drift import Drift
from lifecycle.monitoring.findings import Finding, Level
from lifecycle.monitoring.live import Live
from lifecycle.shared.distributions import PREDICTION, Variable, count_in_bins
from lifecycle.shared.histograms import DISTANCES, shares
from lifecycle.shared.params import Monitoring
from lifecycle.shared.parts import first_day, months_between

# Another place explains a distribution if its distance from there is less than this part of the distance from its own.
_EXPLAINS = 0.5
# The columns furthest from their own place that are compared with one another; the work grows with their square.
_MOST_COLUMNS = 20
# Least number of months between a season and another one.
_APART = 3


def displaced(live: Live, drifts: Sequence[Drift], settings: Monitoring) -> list[Finding]:
    """Find columns that are swapped, and columns with the values of another season.

    Args:
        live: Rows of production.
        drifts: Drift of each variable.
        settings: Thresholds, and the seasonal columns.
    """
    far = [drift for drift in drifts if drift.far and drift.variable.column != PREDICTION]
    findings = [*_swapped(live, [drift for drift in far if drift.variable.name == drift.variable.column])]
    explained = {name for finding in findings for name in finding.variables}
    seasonal = [drift for drift in far if drift.variable.column in settings.season and drift.certain]
    unexplained = [drift for drift in seasonal if drift.variable.name not in explained]
    return [*findings, *_of_another_season(live, unexplained)]


def _swapped(live: Live, far: Sequence[Drift]) -> Iterator[Finding]:
    """Report the columns of each cycle in which every column has the values of the next one."""
    for cycle in _cycles(live, far):
        names = tuple(sorted(drift.variable.name for drift in cycle))
        evidence = "have each other's values: " + "; ".join(
            f"{drift.variable.name} has those of {other.variable.name}"
            for drift, other in zip(cycle, [*cycle[1:], cycle[0]], strict=True)
        )
        yield Finding("swapped", ", ".join(names), Level.ACT, f"{evidence}.", variables=names)


def _of_another_season(live: Live, seasonal: Sequence[Drift]) -> Iterator[Finding]:
    by_period = dict[str, list[str]]()
    for drift in seasonal:
        other = _other_season(live, drift)
        if other:
            by_period.setdefault(other, []).append(drift.variable.name)
    if by_period:
        looks = "; ".join(f"{', '.join(names)} as in {period}" for period, names in sorted(by_period.items()))
        evidence = f"are those of another season: {looks}. They are compared with {seasonal[0].compared[0]}."
        names = tuple(name for of_period in by_period.values() for name in of_period)
        yield Finding("season", "inputs", Level.ACT, evidence, variables=names)


def _cycles(live: Live, far: Sequence[Drift]) -> Iterator[Sequence[Drift]]:
    """Yield the columns of each cycle in which every column has the values of the next one.

    Of all ways to exchange the places of the columns, the one with the least sum of distances counts.
    """
    furthest = sorted(far, key=lambda drift: -drift.found / drift.threshold)[:_MOST_COLUMNS]
    for kind in ("number", "category"):
        columns = [drift for drift in furthest if drift.variable.kind == kind]
        if len(columns) < 2:  # noqa: PLR2004 - one column has no other place
            continue
        distances = np.array([[_distance(live, drift.variable, place) for place in columns] for drift in columns])
        own = np.diag(distances)
        _, places = linear_sum_assignment(distances)
        explains = distances[np.arange(len(columns)), places] < _EXPLAINS * own
        seen = set[int]()
        for start in range(len(columns)):
            cycle = [start]
            while (following := int(places[cycle[-1]])) != start:
                cycle.append(following)
            if start not in seen and len(cycle) > 1 and explains[cycle].all():
                yield [columns[place] for place in cycle]
            seen |= {*cycle}


def _distance(live: Live, variable: Variable, place: Drift) -> float:
    """Return the distance of a variable from the known distributions of another one; see `Drift.distance_of`."""
    name, is_own = place.variable.name, variable == place.variable
    bins = live.reference.bins[name]
    now = shares(live.seen.counts[name] if is_own else count_in_bins(live.rows, variable, bins))
    return place.distance_of(now, live)


def _other_season(live: Live, drift: Drift) -> str:
    """Return the period of another season that explains a column; empty if none does."""
    name = drift.variable.name
    measure, now = DISTANCES[drift.distance.method], shares(live.seen.counts[name])
    distances = {
        period: measure(now, shares(seen.counts[name]))
        for period, seen in live.reference.periods.items()
        if months_between(first_day(period).month, live.month) >= _APART
    }
    nearest = min(distances, key=lambda period: distances[period], default="")
    return nearest if nearest and distances[nearest] < _EXPLAINS * drift.found else ""
