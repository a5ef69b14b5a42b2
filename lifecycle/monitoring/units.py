"""Changes of units: a number whose distribution is that of the training data in another unit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.monitoring.drift import Drift
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import Distributions, Moments, Variable, moments_of
from lifecycle.shared.histograms import DISTANCES, shares
from model import contract

# Largest misfit of a change of units that is reported; see `_misfit`.
_FITS = 1.0

# Conversions from the contract's unit to other units, as factor and summand, by a word in the contract's unit. Those
# under the empty word apply to any unit.
_CONVERSIONS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "fahrenheit": {"degrees Celsius": (5 / 9, -160 / 9), "kelvin": (5 / 9, 255.372)},
    "celsius": {"degrees Fahrenheit": (9 / 5, 32), "kelvin": (1, 273.15)},
    "miles per hour": {
        "metres per second": (0.44704, 0),
        "kilometres per hour": (1.609344, 0),
        "knots": (0.868976, 0),
    },
    "miles": {"kilometres": (1.609344, 0), "metres": (1609.344, 0)},
    "kilometres": {"miles": (1 / 1.609344, 0), "metres": (1000, 0)},
    "metres per second": {"kilometres per hour": (3.6, 0), "miles per hour": (1 / 0.44704, 0)},
    "metres": {"feet": (1 / 0.3048, 0), "kilometres": (0.001, 0)},
    "feet": {"metres": (0.3048, 0)},
    "inches": {"millimetres": (25.4, 0), "centimetres": (2.54, 0)},
    "centimetres": {"inches": (1 / 2.54, 0)},
    "hectopascals": {"inches of mercury": (0.02953, 0), "millimetres of mercury": (0.750062, 0)},
    "percent": {"a share of 1": (0.01, 0)},
    "pounds": {"kilograms": (0.45359237, 0)},
    "kilograms": {"pounds": (1 / 0.45359237, 0), "grams": (1000, 0)},
    "seconds": {"minutes": (1 / 60, 0), "milliseconds": (1000, 0)},
    "minutes": {"hours": (1 / 60, 0), "seconds": (60, 0)},
    "hours": {"minutes": (60, 0), "seconds": (3600, 0)},
    "": {f"{word} of it": (by, 0) for word, by in (("a tenth", 0.1), ("a hundredth", 0.01), ("a thousandth", 0.001))}
    | {f"{number} times as much": (number, 0) for number in (10, 100, 1000)},
}
_UNITS = {column.name: (column.unit or "").lower() for column in contract.INPUTS}


def unit_in_words(drift: Drift, live: Distributions, reference: Reference) -> str | None:
    """Return how a number looks if another unit explains its change, else None.

    Args:
        drift: Drift of the number.
        live: Distributions of production.
        reference: Reference of the model.
    """
    variable, now = drift.variable, live.moments.get(drift.variable.name)
    periods = reference.periods
    nearest = [then for name in drift.compared if (then := _Before.of(variable, [periods[name]]))]
    window = _Before.of(variable, [period for name, period in periods.items() if name not in reference.holdout])
    if now is None or not nearest or window is None:
        return None
    before = [*nearest, window]
    moments = [period.moments[variable.name] for period in periods.values() if variable.name in period.moments]
    others = [[_misfit(then, other) for other in moments if other is not then] for then in moments]
    usual = max((min(misfits) for misfits in others if misfits), default=0.0)
    if any(_misfit(now, then.moments) <= usual for then in before):
        return None
    shares_now = shares(np.array(live.counts[variable.name]))
    measure, edges = DISTANCES[drift.distance.method], np.array(reference.bins[variable.name].edges)
    # The longest word is the most precise: `miles per hour` before `miles`.
    for word in sorted((word for word in _CONVERSIONS if word in _UNITS[variable.column]), key=len, reverse=True):
        fits = {
            name: min(_misfit(now, then.moments, *by) for then in before)
            for name, by in _CONVERSIONS[word].items()
            if any(measure(shares_now, then.converted(edges, *by)) < drift.found / 2 for then in before)
        }
        name = min(fits, key=lambda unit: fits[unit], default="")
        if name and fits[name] <= max(_FITS, usual):
            means = [then.moments.mean for then in before]
            return (
                f"looks like {name}: its mean is {now.mean:.4g} and its standard deviation {now.deviation:.4g}; in the "
                f"known data that it was compared with, the mean is {min(means):.4g} to {max(means):.4g}"
                + (f" {_UNITS[variable.column]}." if _UNITS[variable.column] else ".")
            )
    return None


@dataclass(frozen=True)
class _Before:
    """Distribution of a number in some periods of the reference.

    Attributes:
        moments: Moments of the values.
        counts: Number of rows by bin.
    """

    moments: Moments
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, variable: Variable, periods: Sequence[Distributions]) -> "_Before | None":
        """Add up the periods that have a value; return None if none has."""
        known = [period for period in periods if variable.name in period.moments]
        moments = moments_of(variable.name, known)
        return cls(moments, np.sum([period.counts[variable.name] for period in known], axis=0)) if moments else None

    def converted(self, edges: NDArray[np.float64], factor: float, summand: float) -> NDArray[np.float64]:
        """Return the shares of the bins after a change of units, with values assumed to be uniform within each bin."""
        ends, before = edges.copy(), (edges - summand) / factor  # values that are converted to the edges
        # The first bin ends before its edge, each other bin at its edge.
        ends[0], before[0] = (np.nextafter(places[0], -np.inf) for places in (ends, before))
        up_to = np.interp(before, ends, np.cumsum(self.counts[: len(edges)]))
        rows = self.counts[:-1].sum()
        return shares(np.diff([0, *up_to, rows, rows + self.counts[-1]]))


def _misfit(now: Moments, then: Moments, factor: float = 1, summand: float = 0) -> float:
    """Return the misfit of a conversion.

    It is the difference of the means in standard deviations, or twice the absolute log ratio of the standard
    deviations, whichever is larger.
    """
    deviation = factor * then.deviation
    if deviation <= 0 or now.deviation <= 0:
        return math.inf
    mean = abs(now.mean - (factor * then.mean + summand)) / deviation
    return max(mean, 2 * abs(math.log(now.deviation / deviation)))
