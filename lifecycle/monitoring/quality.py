"""Data quality: changes of single inputs that no season explains, but a fault upstream."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from lifecycle.monitoring.drift import Drift
from lifecycle.monitoring.filled import find_filled
from lifecycle.monitoring.findings import Finding, Level
from lifecycle.monitoring.live import Live
from lifecycle.monitoring.units import unit_in_words
from lifecycle.shared.distributions import PREDICTION, Moments, Variable, sql_texts
from lifecycle.shared.params import Monitoring
from lifecycle.shared.parts import first_day, months_between
from model import contract

# Largest probability of a finding by chance, if a column was nearly constant before.
_CHANCE = 1e-6
# A category has vanished if its share is less than this part of its least share before.
_VANISHED = 0.25
_SHOWN = 5  # categories that are listed
_RANGES = {
    column.name: (
        -np.inf if column.minimum is None else column.minimum,
        np.inf if column.maximum is None else column.maximum,
    )
    for column in contract.INPUTS
}


def quality(live: Live, drifts: Sequence[Drift], settings: Monitoring) -> Iterator[Finding]:
    """Report faults of the inputs, whether or not they matter to the model.

    Args:
        live: Rows of production.
        drifts: Drift of each variable to judge.
        settings: Thresholds of missing, unseen and out-of-range values, and the seasonal columns.
    """
    for drift in drifts:
        variable = drift.variable
        if variable.column != PREDICTION:
            for finding in _faults(live, drift, settings):
                yield finding._replace(variables=(variable.name,))


def _faults(live: Live, drift: Drift, settings: Monitoring) -> Iterator[Finding]:
    variable = drift.variable
    missing = _missing(variable, live, settings)
    if missing and variable.column == variable.name:
        yield Finding("missing", variable.name, Level.ACT, missing, affected=f"{variable.sql} IS NULL")
    if _has_become_constant(variable, live):
        evidence = f"has the same value in every row: {_value(variable, live)}."
        yield Finding("constant", variable.name, Level.ACT, evidence)
    elif variable.kind == "category":
        yield from _category(variable, live, settings)
    elif variable.column not in contract.IDENTITY:  # a number that identifies a row measures nothing
        yield from _number(live, drift, settings)


def _missing(variable: Variable, live: Live, settings: Monitoring) -> str:
    """Return how many values are missing if these are too many, else an empty text."""
    known = [live.share_in(period, variable, -1) for period in live.reference.periods.values()]
    # A season may add as much again as the periods differ, but never all rows.
    seasonal = min(max(known) - min(known), (1 - max(known)) / 2) if variable.column in settings.season else 0.0
    share = live.share(variable, -1)
    if not live.exceeds(variable, share, max(known) + max(settings.missing, seasonal), "missing"):
        return ""
    return f"is missing in {share:.1%} of the rows, before in at most {max(known):.1%}."


def _has_become_constant(variable: Variable, live: Live) -> bool:
    """Return whether a variable has a single value, which is no chance by how frequent it was before."""
    counts, unseen = live.seen.counts[variable.name], live.seen.unseen.get(variable.name, {})
    present = live.seen.rows - counts[-1]
    if variable.kind == "number":
        moments = live.seen.moments.get(variable.name)
        if moments is None or moments.minimum != moments.maximum:
            return False
    elif present not in counts[:-2] and not (len(unseen) == 1 and present in unseen.values()):
        return False
    place = int(np.argmax(counts[:-1]))
    before = live.most_of_present(variable, place)
    return bool(before ** (present / live.effect(variable)) < _CHANCE)


def _value(variable: Variable, live: Live) -> str:
    if variable.kind == "number":
        return f"{live.seen.moments[variable.name].minimum:g}"
    seen = dict(zip(live.reference.bins[variable.name].labels, live.seen.counts[variable.name], strict=False))
    by_value = seen | live.seen.unseen.get(variable.name, {})
    return max(by_value, key=lambda value: by_value[value])


def _category(variable: Variable, live: Live, settings: Monitoring) -> Iterator[Finding]:
    labels = live.reference.bins[variable.name].labels
    vanished = [label for place, label in enumerate(labels) if _has_vanished(variable, live, place)]
    gone = _listed(vanished)
    unseen = live.share(variable, -2)
    if live.exceeds(variable, unseen, live.most(variable, -2) + settings.unseen):
        by_value = live.seen.unseen[variable.name].items()
        values = ", ".join(f"{value} ({rows / live.seen.rows:.1%})" for value, rows in by_value)
        evidence = f"has values that the model has never seen in {unseen:.1%} of the rows: {values}."
        evidence += f" Missing since then: {gone}." if gone else ""
        affected = f"{variable.sql} NOT IN ({sql_texts(labels)})"
        yield Finding("unseen", variable.name, Level.ACT, evidence, affected=affected)
    elif gone and variable.name == variable.column:
        places = [labels.index(label) for label in vanished]
        evidence = (
            f"no longer has {gone}: {live.share(variable, *places):.1%} of the rows, before at least "
            f"{live.least(variable, *places):.1%}."
        )
        yield Finding("vanished", variable.name, Level.ACT, evidence)


def _has_vanished(variable: Variable, live: Live, place: int) -> bool:
    share, least = live.share(variable, place), live.least(variable, place)
    return share < _VANISHED * least and live.falls_short(variable, share, least)


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(labels[:_SHOWN]) + more


def _number(live: Live, drift: Drift, settings: Monitoring) -> Iterator[Finding]:
    variable = drift.variable
    unit = unit_in_words(drift, live.seen, live.reference) if drift.drifted else None
    if unit:
        yield Finding("unit", variable.name, Level.ACT, unit)
        return
    seasonal, (low, high) = variable.column in settings.season, _limits(variable, live, settings)
    outside, before = _outside(variable, live, low, high), 0.0 if seasonal else live.most(variable, 0, -2)
    filled = find_filled(live, drift, settings.missing)
    if outside and live.exceeds(variable, outside, before + settings.out_of_range):
        moments = live.seen.moments[variable.name]
        limits = "what the season may reach" if seasonal else "the training range"
        evidence = (
            f"is outside of {limits} ({low:g} to {high:g}) in {outside:.1%} of the rows: from {moments.minimum:g} to "
            f"{moments.maximum:g}."
        )
        evidence = f"{evidence} It {filled.evidence}" if filled else evidence
        yield Finding("range", variable.name, Level.ACT, evidence, affected=_beyond(variable, low, high))
    elif filled:
        yield filled


def _limits(variable: Variable, live: Live, settings: Monitoring) -> tuple[float, float]:
    """Return the range of a number: that of the training data, or what the season may reach.

    A season may reach further than the extremes of the known periods, by as much as these change in a month at most,
    for each month to the nearest known one; but not beyond the range of the contract.
    """
    edges = live.reference.bins[variable.name].edges
    if not edges:
        return -np.inf, np.inf
    # Several periods may be of one month: weeks, or those of another year.
    seen = dict[int, list[Moments]]()
    for name, period in live.reference.periods.items():
        if variable.column in settings.season and variable.name in period.moments:
            seen.setdefault(first_day(name).month, []).append(period.moments[variable.name])
    if not seen:
        return edges[0], edges[-1]
    lows = {known: min(moments.minimum for moments in of_month) for known, of_month in seen.items()}
    highs = {known: max(moments.maximum for moments in of_month) for known, of_month in seen.items()}
    low, high = min(lows.values()), max(highs.values())
    months = max(1, min(months_between(known, live.month) for known in seen))
    least, most = _RANGES[variable.column]
    return (
        max(low - months * _change(lows, high - low), least),
        min(high + months * _change(highs, high - low), most),
    )


def _change(by_month: Mapping[int, float], default: float) -> float:
    """Return the largest change of a value in a month, or a default if only one month is known."""
    changes = [
        abs(by_month[one] - by_month[other]) / months_between(one, other) for one, other in combinations(by_month, 2)
    ]
    return max(changes, default=default)


def _outside(variable: Variable, live: Live, low: float, high: float) -> float:
    """Return the share of the rows outside of a range."""
    edges = live.reference.bins[variable.name].edges
    share = live.share(variable, 0, -2)
    if not edges or not share or (low, high) == (edges[0], edges[-1]):
        return share if edges else 0.0
    beyond = live.rows.filter(_beyond(variable, low, high))
    return float(beyond.aggregate("count(*)").fetchall()[0][0]) / live.seen.rows


def _beyond(variable: Variable, low: float, high: float) -> str:
    """Return the SQL condition of values outside of a range."""
    return f"({variable.sql} < '{low}'::DOUBLE OR {variable.sql} > '{high}'::DOUBLE)"
