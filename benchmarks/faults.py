"""Faults of production, brought into rows without one, for benchmarks/watch.py."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from lifecycle.shared.params import load_params
from model import contract

# A data frame with the columns of the contract, the target, the `time` of the prediction, and whether the outcome is
# `known`. Data frames are not typed.
Rows = Any
Change = Callable[[Rows, Generator], Rows]


class Fault(NamedTuple):
    """A fault of production.

    Attributes:
        name: Description.
        change: Function that brings the fault into the rows.
        kinds: Kinds of findings that name it.
        subject: Subject of such a finding.
        month: Month that the rows are drawn from; 0 for any.
        removes: Whether it removes rows, so that more have to be drawn.
    """

    name: str
    change: Change
    kinds: tuple[str, ...]
    subject: str
    month: int = 0
    removes: bool = False


def some(share: float, column: str, value: Any) -> Change:
    """Replace a share of a column by a value."""

    def change(rows: Rows, random: Generator) -> Rows:
        return rows.assign(**{column: rows[column].mask(random.random(len(rows)) < share, value)})

    return change


def swapped(*columns: str) -> Change:
    """Give each column the values of the next one."""

    def change(rows: Rows, random: Generator) -> Rows:
        del random
        return rows.assign(**{column: rows[columns[place - 1]] for place, column in enumerate(columns)})

    return change


def gone(column: str, value: str) -> Change:
    """Remove the rows with a value."""

    def change(rows: Rows, random: Generator) -> Rows:
        del random
        return rows[rows[column] != value]

    return change


def shifted(years: int, share: float) -> Change:
    """Move a share of the times by years."""

    def change(rows: Rows, random: Generator) -> Rows:
        time = str(contract.TIME)
        wrong = rows[time] + pd.DateOffset(years=years)
        return rows.assign(**{time: rows[time].mask(random.random(len(rows)) < share, wrong)})

    return change


def doubled(rows: Rows, random: Generator) -> Rows:
    """Send half of the rows twice."""
    return pd.concat([rows, rows.sample(frac=0.5, random_state=random)]).sort_values("time")


def weather_of(other: Callable[[], Rows]) -> Change:
    """Replace the weather, which are the seasonal columns, by that of other rows."""

    def change(rows: Rows, random: Generator) -> Rows:
        drawn = other().sample(len(rows), replace=True, random_state=random)
        return rows.assign(**{column: drawn[column].to_numpy() for column in load_params().monitoring.season})

    return change


def rate(share: float) -> Change:
    """Draw outcomes whose mean is a share, in the order of the predictions as before."""

    def change(rows: Rows, random: Generator) -> Rows:
        target = rows[contract.TARGET.name].to_numpy(dtype=np.bool_).copy()
        wanted = round(share * len(rows))
        surplus = int(target.sum()) - wanted
        changed = random.choice(np.flatnonzero(target == (surplus > 0)), abs(surplus), replace=False)
        target[changed] = surplus < 0
        return rows.assign(**{contract.TARGET.name: target})

    return change


def labels_of(share_of_negatives: float) -> Change:
    """Report the outcomes of all late flights, and of some others."""

    def change(rows: Rows, random: Generator) -> Rows:
        chosen = random.random(len(rows)) < share_of_negatives
        return rows.assign(known=rows[contract.TARGET.name].to_numpy(dtype=np.bool_) | chosen)

    return change


def random_outcomes(days: int) -> Change:
    """Shuffle the outcomes of the last days."""

    def change(rows: Rows, random: Generator) -> Rows:
        outcomes = rows[contract.TARGET.name].to_numpy().copy()
        last = np.flatnonzero(rows["time"] >= rows["time"].max().normalize() - timedelta(days=days - 1))
        outcomes[last] = outcomes[random.permutation(last)]
        return rows.assign(**{contract.TARGET.name: outcomes})

    return change


def last(days: int, change: Change) -> Change:
    """Bring a fault into the last days only."""

    def of_last(rows: Rows, random: Generator) -> Rows:
        before = rows["time"] < rows["time"].max().normalize() - timedelta(days=days - 1)
        return pd.concat([rows[before], change(rows[~before], random)]).sort_values("time")

    return of_last


def converted(column: str, factor: float, summand: float = 0) -> Change:
    """Send another unit."""

    def change(rows: Rows, random: Generator) -> Rows:
        del random
        return rows.assign(**{column: rows[column] * factor + summand})

    return change


def renamed(column: str, old: str, new: str) -> Change:
    """Rename a category."""

    def change(rows: Rows, random: Generator) -> Rows:
        del random
        return rows.assign(**{column: rows[column].replace(old, new)})

    return change


def more(by: float) -> Change:
    """Add to all outcomes."""

    def change(rows: Rows, random: Generator) -> Rows:
        del random
        target = contract.TARGET.name
        return rows.assign(**{target: rows[target] + by})

    return change


def relabelled(share: float, old: str, new: str) -> Change:
    """Report a share of the outcomes of a class as another class."""

    def change(rows: Rows, random: Generator) -> Rows:
        outcomes = rows[contract.TARGET.name]
        return rows.assign(
            **{contract.TARGET.name: outcomes.mask((outcomes == old) & (random.random(len(rows)) < share), new)}
        )

    return change


def outcomes_where(chosen: Callable[[Rows], Any]) -> Change:
    """Report the outcomes of some rows only."""

    def change(rows: Rows, random: Generator) -> Rows:
        del random
        return rows.assign(known=chosen(rows).to_numpy(dtype=np.bool_))

    return change


def flights(january: Callable[[], Rows]) -> tuple[Fault, ...]:
    """Return faults of the flights; rows of January are needed for one of them."""
    swaps = (
        ("temperature", "humidity"),
        ("temperature", "dew_point"),
        ("temperature", "visibility"),
        ("wind_speed", "visibility"),
        ("temperature", "humidity", "dew_point"),
    )
    time, target = str(contract.TIME), contract.TARGET.name
    return (
        Fault("temperature is -50 in 40%", some(0.4, "temperature", -50.0), ("range", "filled"), "temperature"),
        Fault("humidity is 0 in 30%", some(0.3, "humidity", 0.0), ("range", "filled"), "humidity"),
        Fault("humidity is 62 in 30%", some(0.3, "humidity", 62.0), ("filled",), "humidity"),
        Fault("wind of 150 mph in 10%", some(0.1, "wind_speed", 150.0), ("range", "filled"), "wind_speed"),
        Fault("January's weather in June", weather_of(january), ("season",), "inputs", month=6),
        *(
            Fault(f"{' and '.join(columns)} swapped", swapped(*columns), ("swapped",), ", ".join(sorted(columns)))
            for columns in swaps
        ),
        Fault("5% depart in 1913", shifted(-100, 0.05), ("clock",), time),
        Fault("all depart in 2313", shifted(300, 1), ("clock",), time),
        Fault("all depart a year earlier", shifted(-1, 1), ("clock",), time),
        Fault("carrier UA gone (17%)", gone("carrier", "UA"), ("vanished",), "carrier", removes=True),
        Fault("airport JFK gone (33%)", gone("origin", "JFK"), ("vanished",), "origin", removes=True),
        Fault("half of the rows doubled", doubled, ("repeated",), "predictions"),
        Fault("8% late", rate(0.08), ("base rate",), target),
        Fault("60% late", rate(0.6), ("base rate",), target),
        Fault("outcomes of late flights only", labels_of(0), ("labels",), "outcomes"),
        Fault("outcomes of late flights and a fifth of the others", labels_of(0.2), ("labels",), "outcomes"),
        Fault("random outcomes on the last 10 days", random_outcomes(10), ("break",), "outcomes"),
        Fault("humidity is 0 in 30%, for 7 days", last(7, some(0.3, "humidity", 0.0)), ("range", "filled"), "humidity"),
        Fault(
            "30% of plane_year missing, for 7 days", last(7, some(0.3, "plane_year", None)), ("missing",), "plane_year"
        ),
        Fault("kilometres, for 7 days", last(7, converted("distance", 1.609344)), ("unit",), "distance"),
        Fault("carrier UA gone, for 7 days", last(7, gone("carrier", "UA")), ("vanished",), "carrier", removes=True),
    )


def plain_inputs() -> tuple[Fault, ...]:
    """Return faults of the inputs of the table in benchmarks/kinds.py, whatever it predicts."""
    return (
        Fault("a number is -50 in 40%", some(0.4, "number_2", -50.0), ("range", "filled"), "number_2"),
        Fault("a number is 10 in 30%", some(0.3, "number_3", 10.0), ("filled",), "number_3"),
        Fault("two numbers swapped", swapped("number_1", "number_4"), ("swapped",), "number_1, number_4"),
        Fault("ten times as much", converted("number_5", 10), ("unit",), "number_5"),
        Fault("a category gone (33%)", gone("origin", "x"), ("vanished",), "origin", removes=True),
        Fault("a category renamed", renamed("carrier", "a", "A"), ("unseen",), "carrier"),
        Fault("a category gone, for 7 days", last(7, gone("origin", "x")), ("vanished",), "origin", removes=True),
        Fault("random outcomes on the last 10 days", random_outcomes(10), ("break",), "outcomes"),
    )


def of_a_number() -> tuple[Fault, ...]:
    """Return faults of the outcomes of the table in benchmarks/kinds.py, if they are numbers."""
    target = contract.TARGET.name
    return (
        Fault("outcomes of half a standard deviation more", more(12.0), ("base rate",), target),
        Fault("outcomes above the mean only", outcomes_where(lambda rows: rows[target] > 10), ("labels",), "outcomes"),
    )


def of_a_class() -> tuple[Fault, ...]:
    """Return faults of the outcomes of the table in benchmarks/kinds.py, if they are classes."""
    target = contract.TARGET.name
    return (
        Fault("half of a class reported as another", relabelled(0.5, "ok", "early"), ("base rate",), "ok"),
        Fault("outcomes of a class only", outcomes_where(lambda rows: rows[target] == "bad"), ("labels",), "outcomes"),
    )
