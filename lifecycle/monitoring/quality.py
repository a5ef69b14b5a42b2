"""Data quality: changes of the inputs that no season explains, but a fault upstream."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.monitoring.drift import Drift
from lifecycle.monitoring.findings import Finding, Level
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import PREDICTION, Distributions, Moments, Variable
from lifecycle.shared.histograms import DISTANCES, shares
from lifecycle.shared.params import Monitoring
from model import contract

# Width of the interval of a share, in standard deviations. A normal value exceeds it once in 30,000 times.
_DEVIATIONS = 4.0
# Least number of rows in which a constant value is reported; in fewer it may be chance.
_CONSTANT_ROWS = 50
# Share from which the absence of a category is reported; a rarer one may be absent by chance.
_VANISHED = 0.02
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


def quality(
    reference: Reference, live: Distributions, drifts: Sequence[Drift], settings: Monitoring
) -> Iterator[Finding]:
    """Report faults of the inputs, whether or not they matter to the model.

    Args:
        reference: Reference of the model.
        live: Distributions of production.
        drifts: Drift of each variable.
        settings: Thresholds of missing, unseen and out-of-range values.
    """
    for drift in drifts:
        variable = drift.variable
        if variable.column == PREDICTION:
            continue
        seasonal = _missing_apart(variable, reference) if variable.column in settings.season else 0.0
        share = _grown(variable, live, reference, -1, max(settings.missing, seasonal))
        if share is not None and variable.column == variable.name:
            evidence = f"is missing in {share:.1%} of the rows, before in at most {_most(variable, reference, -1):.1%}."
            yield Finding("missing", variable.name, Level.ACT, evidence)
        was_constant = any(_is_constant(variable, period) for period in reference.periods.values())
        if _is_constant(variable, live) and not was_constant:
            evidence = f"has the same value in every row: {_value(variable, live, reference)}."
            yield Finding("constant", variable.name, Level.ACT, evidence)
        elif variable.kind == "category":
            share = _grown(variable, live, reference, -2, settings.unseen)
            if share is not None:
                yield Finding("unseen", variable.name, Level.ACT, _unseen(variable, share, live, reference))
        elif variable.column not in contract.IDENTITY:  # a number that identifies a row measures nothing
            unit = _unit(drift, live, reference) if drift.drifted else None
            outside = _grown_outside(variable, live, reference, settings.out_of_range)
            if unit:
                yield Finding("unit", variable.name, Level.ACT, unit)
            elif outside is not None and variable.column not in settings.season:
                edges, moments = reference.bins[variable.name].edges, live.moments[variable.name]
                yield Finding(
                    "range",
                    variable.name,
                    Level.ACT,
                    f"is outside of the training range ({edges[0]:g} to {edges[-1]:g}) in {outside:.1%} of the rows: "
                    f"from {moments.minimum:g} to {moments.maximum:g}.",
                )


def _share(variable: Variable, period: Distributions, *bins: int) -> float:
    return float(shares(period.counts[variable.name])[list(bins)].sum())


def _most(variable: Variable, reference: Reference, *bins: int) -> float:
    """Return the largest share that bins have in a period of the reference."""
    return max(_share(variable, period, *bins) for period in reference.periods.values())


def _missing_apart(variable: Variable, reference: Reference) -> float:
    """Return the range of the missing share over the periods: a season may add as much again, but never all rows."""
    known = [_share(variable, period, -1) for period in reference.periods.values()]
    return min(max(known) - min(known), (1 - max(known)) / 2)


def _grown(variable: Variable, live: Distributions, reference: Reference, place: int, by: float) -> float | None:
    """Return the share of a bin if it has grown by more than is allowed, else None."""
    return _beyond(_share(variable, live, place), live.rows, _most(variable, reference, place) + by)


def _grown_outside(variable: Variable, live: Distributions, reference: Reference, by: float) -> float | None:
    """Return the share outside of the training range if it has grown by more than is allowed, else None."""
    if not reference.bins[variable.name].edges:
        return None
    return _beyond(_share(variable, live, 0, -2), live.rows, _most(variable, reference, 0, -2) + by)


def _beyond(share: float, rows: int, bound: float) -> float | None:
    """Return a share if even the lower limit of its Wilson interval (Wilson 1927) exceeds a bound, else None."""
    z = _DEVIATIONS**2 / max(rows, 1)
    low = (share + z / 2 - math.sqrt(z * (share * (1 - share) + z / 4))) / (1 + z)
    return share if low > bound else None


def _is_constant(variable: Variable, period: Distributions) -> bool:
    counts = period.counts[variable.name]
    present = period.rows - counts[-1]
    if present < _CONSTANT_ROWS:
        return False
    if variable.kind == "number":
        return period.moments[variable.name].minimum == period.moments[variable.name].maximum
    unseen = period.unseen.get(variable.name, {})
    return present in counts[:-2] or (len(unseen) == 1 and present in unseen.values())


def _value(variable: Variable, live: Distributions, reference: Reference) -> str:
    if variable.kind == "number":
        return f"{live.moments[variable.name].minimum:g}"
    seen = dict(zip(reference.bins[variable.name].labels, live.counts[variable.name], strict=False))
    by_value = seen | live.unseen.get(variable.name, {})
    return max(by_value, key=lambda value: by_value[value])


def _unseen(variable: Variable, share: float, live: Distributions, reference: Reference) -> str:
    values = ", ".join(f"{value} ({rows / live.rows:.1%})" for value, rows in live.unseen[variable.name].items())
    labels = reference.bins[variable.name].labels
    known = [
        sum(period.counts[variable.name][place] for period in reference.periods.values())
        for place in range(len(labels))
    ]
    gone = [
        label
        for place, label in enumerate(labels)
        if known[place] > _VANISHED * sum(known) and not live.counts[variable.name][place]
    ]
    evidence = f"has values that the model has never seen in {share:.1%} of the rows: {values}."
    return f"{evidence} Missing since then: {', '.join(gone)}." if gone else evidence


def _unit(drift: Drift, live: Distributions, reference: Reference) -> str | None:
    """Return how a number looks if another unit explains its change, else None."""
    variable, now = drift.variable, live.moments.get(drift.variable.name)
    known = {name: period for name, period in reference.periods.items() if variable.name in period.moments}
    window = [period for name, period in known.items() if name not in reference.holdout]
    before = [_Before.of(variable, [known[name]]) for name in drift.compared if name in known]
    if now is None or not before or not window:
        return None
    before.append(_Before.of(variable, window))
    moments = [period.moments[variable.name] for period in known.values()]
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
    def of(cls, variable: Variable, periods: Sequence[Distributions]) -> "_Before":
        """Add up some periods."""
        moments = [period.moments[variable.name] for period in periods]
        counts = np.array([period.counts[variable.name] for period in periods])
        weights = shares(counts[:, :-1].sum(axis=1))  # without missing values
        means = np.array([then.mean for then in moments])
        squares = np.array([then.deviation for then in moments]) ** 2 + means**2
        mean = float(weights @ means)
        deviation = math.sqrt(max(float(weights @ squares) - mean**2, 0.0))
        least, most = min(then.minimum for then in moments), max(then.maximum for then in moments)
        return cls(Moments(mean=mean, deviation=deviation, minimum=least, maximum=most), counts.sum(axis=0))

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
