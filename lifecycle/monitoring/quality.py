"""Data quality: what no season does to the inputs, but a change upstream."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.monitoring.drift import Drift
from lifecycle.monitoring.findings import Finding, Level
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import PROBABILITY, Distributions, Moments, Variable
from lifecycle.shared.histograms import DISTANCES, shares
from lifecycle.shared.params import Monitoring
from model import contract

# By the normal distribution, one in 30,000 exceeds so many standard deviations: a share is as large as it seems.
_DEVIATIONS = 4.0
# In fewer rows a constant may be by chance.
_CONSTANT_ROWS = 50
# A category that was seen so often does not stay away by chance.
_VANISHED = 0.02
# How badly a change of units may fit.
_FITS = 1.0

# What becomes of a value that comes in another unit, as a factor and a summand: by a word in the contract's unit, and
# whatever the unit is.
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
    reference: Reference, live: Distributions, found: Sequence[Drift], settings: Monitoring
) -> Iterator[Finding]:
    """What is wrong with the inputs, whether or not the model cares.

    Args:
        reference: Of the model.
        live: What production was asked.
        found: The drift of each variable.
        settings: By how much shares may grow.
    """
    for drift in found:
        one = drift.variable
        if one.column == PROBABILITY:
            continue
        seasonal = _missing_apart(one, reference) if one.column in settings.season else 0.0
        share = _grown(one, live, reference, -1, max(settings.missing, seasonal))
        if share is not None and one.column == one.name:
            usual = _most(one, reference, -1)
            yield Finding(
                "missing", one.name, Level.ACT, f"is missing in {share:.1%} of the rows, at most in {usual:.1%} so far."
            )
        if _is_constant(one, live) and not any(_is_constant(one, month) for month in reference.months.values()):
            yield Finding(
                "constant", one.name, Level.ACT, f"has the same value in each row: {_value(one, live, reference)}."
            )
        elif one.kind == "category":
            share = _grown(one, live, reference, -2, settings.unseen)
            if share is not None:
                yield Finding("unseen", one.name, Level.ACT, _unseen(one, share, live, reference))
        elif one.column not in contract.IDENTITY:  # a number that names a row measures nothing
            unit = _unit(drift, live, reference) if drift.drifted else None
            outside = _grown_outside(one, live, reference, settings.out_of_range)
            if unit:
                yield Finding("unit", one.name, Level.ACT, unit)
            elif outside is not None and one.column not in settings.season:
                edges, moments = reference.bins[one.name].edges, live.moments[one.name]
                yield Finding(
                    "range",
                    one.name,
                    Level.ACT,
                    f"lies outside of the training data ({edges[0]:g} to {edges[-1]:g}) in {outside:.1%} of the rows: "
                    f"from {moments.minimum:g} to {moments.maximum:g}.",
                )


def _share(one: Variable, period: Distributions, *bins: int) -> float:
    return float(shares(period.counts[one.name])[list(bins)].sum())


def _most(one: Variable, reference: Reference, *bins: int) -> float:
    """The largest share of a month in bins."""
    return max(_share(one, month, *bins) for month in reference.months.values())


def _missing_apart(one: Variable, reference: Reference) -> float:
    """By how much the months differ in what is missing: a season may go on as far, but never to all of the rows."""
    known = [_share(one, month, -1) for month in reference.months.values()]
    return min(max(known) - min(known), (1 - max(known)) / 2)


def _grown(one: Variable, live: Distributions, reference: Reference, place: int, by: float) -> float | None:
    """The share of rows in a bin, where it has grown beyond what may be."""
    return _beyond(_share(one, live, place), live.rows, _most(one, reference, place) + by)


def _grown_outside(one: Variable, live: Distributions, reference: Reference, by: float) -> float | None:
    """The share of rows outside of the range of the training data, where it has grown beyond what may be."""
    if not reference.bins[one.name].edges:
        return None
    return _beyond(_share(one, live, 0, -2), live.rows, _most(one, reference, 0, -2) + by)


def _beyond(share: float, rows: int, bound: float) -> float | None:
    """A share, where even the lower end of its interval (Wilson 1927) lies beyond a bound."""
    z = _DEVIATIONS**2 / max(rows, 1)
    low = (share + z / 2 - math.sqrt(z * (share * (1 - share) + z / 4))) / (1 + z)
    return share if low > bound else None


def _is_constant(one: Variable, period: Distributions) -> bool:
    counts = period.counts[one.name]
    there = period.rows - counts[-1]
    if there < _CONSTANT_ROWS:
        return False
    if one.kind == "number":
        return period.moments[one.name].minimum == period.moments[one.name].maximum
    unseen = period.unseen.get(one.name, {})
    return there in counts[:-2] or (len(unseen) == 1 and there in unseen.values())


def _value(one: Variable, live: Distributions, reference: Reference) -> str:
    if one.kind == "number":
        return f"{live.moments[one.name].minimum:g}"
    seen = dict(zip(reference.bins[one.name].labels, live.counts[one.name], strict=False))
    by_value = seen | live.unseen.get(one.name, {})
    return max(by_value, key=lambda value: by_value[value])


def _unseen(one: Variable, share: float, live: Distributions, reference: Reference) -> str:
    values = ", ".join(f"{value} ({rows / live.rows:.1%})" for value, rows in live.unseen[one.name].items())
    labels = reference.bins[one.name].labels
    known = [sum(month.counts[one.name][place] for month in reference.months.values()) for place in range(len(labels))]
    gone = [
        label
        for place, label in enumerate(labels)
        if known[place] > _VANISHED * sum(known) and not live.counts[one.name][place]
    ]
    said = f"has values that the model has never seen in {share:.1%} of the rows: {values}."
    return f"{said} Gone since: {', '.join(gone)}." if gone else said


def _unit(drift: Drift, live: Distributions, reference: Reference) -> str | None:
    """The other unit in which a number is as it was, where there is one and in its own it is not."""
    one, now = drift.variable, live.moments.get(drift.variable.name)
    known = {name: month for name, month in reference.months.items() if one.name in month.moments}
    window = [month for name, month in known.items() if name not in reference.holdout]
    before = [_Before.of(one, [known[name]]) for name in drift.compared if name in known]
    if now is None or not before or not window:
        return None
    before.append(_Before.of(one, window))
    moments = [month.moments[one.name] for month in known.values()]
    others = [[_misfit(then, other) for other in moments if other is not then] for then in moments]
    usual = max((min(misfits) for misfits in others if misfits), default=0.0)
    if any(_misfit(now, then.moments) <= usual for then in before):
        return None
    shares_now = shares(np.array(live.counts[one.name]))
    measure, edges = DISTANCES[drift.distance.method], np.array(reference.bins[one.name].edges)
    # The longest word is the most precise: `miles per hour` before `miles`.
    for word in sorted((word for word in _CONVERSIONS if word in _UNITS[one.column]), key=len, reverse=True):
        fits = {
            name: min(_misfit(now, then.moments, *by) for then in before)
            for name, by in _CONVERSIONS[word].items()
            if any(measure(shares_now, then.converted(edges, *by)) < drift.found / 2 for then in before)
        }
        name = min(fits, key=lambda one: fits[one], default="")
        if name and fits[name] <= max(_FITS, usual):
            means = [then.moments.mean for then in before]
            return (
                f"looks like {name}: its mean is {now.mean:.4g} and its standard deviation {now.deviation:.4g}; in the "
                f"months that it was compared with, its mean is {min(means):.4g} to {max(means):.4g}"
                + (f" {_UNITS[one.column]}." if _UNITS[one.column] else ".")
            )
    return None


@dataclass(frozen=True)
class _Before:
    """A number, as it was.

    Attributes:
        moments: Of its values.
        counts: By bin.
    """

    moments: Moments
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, one: Variable, months: Sequence[Distributions]) -> "_Before":
        """In some months together."""
        moments = [month.moments[one.name] for month in months]
        counts = np.array([month.counts[one.name] for month in months])
        weights = shares(counts[:, :-1].sum(axis=1))  # of the values that are there
        means = np.array([then.mean for then in moments])
        squares = np.array([then.deviation for then in moments]) ** 2 + means**2
        mean = float(weights @ means)
        deviation = math.sqrt(max(float(weights @ squares) - mean**2, 0.0))
        least, most = min(then.minimum for then in moments), max(then.maximum for then in moments)
        return cls(Moments(mean=mean, deviation=deviation, minimum=least, maximum=most), counts.sum(axis=0))

    def converted(self, edges: NDArray[np.float64], factor: float, summand: float) -> NDArray[np.float64]:
        """The shares of the bins if the values had come in another unit; within a bin they are taken as uniform."""
        ends, before = edges.copy(), (edges - summand) / factor  # `before` they were converted to the edges
        # The first bin ends before its edge, and each other one with its edge.
        ends[0], before[0] = (np.nextafter(one[0], -np.inf) for one in (ends, before))
        up_to = np.interp(before, ends, np.cumsum(self.counts[: len(edges)]))
        rows = self.counts[:-1].sum()
        return shares(np.diff([0, *up_to, rows, rows + self.counts[-1]]))


def _misfit(now: Moments, then: Moments, factor: float = 1, summand: float = 0) -> float:
    """How badly a conversion of what was gives what is, in standard deviations and in the logarithm of their ratio."""
    deviation = factor * then.deviation
    if deviation <= 0 or now.deviation <= 0:
        return math.inf
    mean = abs(now.mean - (factor * then.mean + summand)) / deviation
    return max(mean, 2 * abs(math.log(now.deviation / deviation)))
