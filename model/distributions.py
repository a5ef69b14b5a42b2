"""Distributions of inputs and predictions, counted by DuckDB in the bins of the training data: of months and of logs.

A number is counted in vigintiles of the training data, a category by itself, a timestamp by its hour and its weekday.
What is kept of a month is a few hundred counts, and no row.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from duckdb import DuckDBPyRelation

from model import contract
from model.settings import Settings

PROBABILITY = "probability"
MISSING, UNSEEN = "(missing)", "(unseen)"

_QUANTILES = [n / 20 for n in range(21)]  # with the least and the greatest
_PROBABILITIES = tuple(n / 20 for n in range(21))
# Of a category with more values than that, the rarer ones count as unseen.
_MOST_LABELS = 1000
_SHOWN = 5  # unseen values


@dataclass(frozen=True)
class Variable:
    """What is counted of a column.

    Attributes:
        name: In reports; the column's own, unless there are several of it.
        column: Of the contract, or the probability.
        kind: Whether it is counted in ranges or by value.
        sql: Its value, in terms of the column.
    """

    name: str
    column: str
    kind: Literal["number", "category"]
    sql: str


def _variables() -> tuple[Variable, ...]:
    found = []
    for column in contract.INPUTS:
        name, sql = column.name, f'"{column.name}"'
        if column.type == "timestamp":
            found.append(Variable(f"{name} (hour)", name, "category", f"strftime({sql}, '%H')"))
            found.append(Variable(f"{name} (weekday)", name, "category", f"strftime({sql}, '%a')"))
        elif column.type == "category":
            found.append(Variable(name, name, "category", sql))
        else:
            # NaN is no number; DuckDB would take it for the largest.
            found.append(Variable(name, name, "number", f"CASE WHEN NOT isnan({sql}) THEN {sql} END"))
    return (*found, Variable(PROBABILITY, PROBABILITY, "number", f'"{PROBABILITY}"'))


VARIABLES = _variables()


class Moments(Settings):
    """Of the values of a number that are there."""

    mean: float
    deviation: float
    minimum: float
    maximum: float


class Distributions(Settings):
    """How the rows of a period are distributed.

    Attributes:
        rows: In all.
        counts: By variable, how many rows are in each bin.
        moments: By number, unless it is missing in all rows.
        unseen: By category, the values without a bin that are most frequent, with their number.
    """

    rows: int
    counts: dict[str, tuple[int, ...]]
    moments: dict[str, Moments]
    unseen: dict[str, dict[str, int]]


class Bins(Settings):
    """The bins of a variable.

    Attributes:
        edges: Of a number: the first bin goes up to the first edge, which belongs to it, the last one but one lies over
            the last edge. In these two are the rows below and above all of the training data. In the last one are those
            where it is missing.
        labels: Of a category: a bin each, then one for unseen values, then one for missing ones.
    """

    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Of the bins, in words."""
        if self.labels:
            return [*self.labels, UNSEEN, MISSING]
        shown = [f"{edge:g}" for edge in self.edges]
        between = [f"{low} to {high}" for low, high in pairwise(shown)]
        return [f"under {shown[0]}", *between, f"over {shown[-1]}", MISSING] if shown else ["any", MISSING]


def make_bins(rows: DuckDBPyRelation) -> dict[str, Bins]:
    """The bins of each variable, by rows with the columns of the contract."""
    bins = {}
    for one in VARIABLES:
        if one.column == PROBABILITY:
            bins[one.name] = Bins(edges=_PROBABILITIES)
        elif one.kind == "number":
            (edges,) = rows.aggregate(f"quantile_disc({one.sql}, {_QUANTILES})").fetchall()[0]
            below = [math.nextafter(float(edges[0]), -math.inf)] if edges else []
            bins[one.name] = Bins(edges=tuple(sorted({*below, *map(float, (edges or ())[1:])})))
        else:
            counted = rows.aggregate(f"{one.sql} AS value, count(*) AS rows", "value").filter("value IS NOT NULL")
            labels = counted.order("rows DESC, value").limit(_MOST_LABELS).fetchall()
            bins[one.name] = Bins(labels=tuple(sorted(label for label, _ in labels)))
    return bins


def count(rows: DuckDBPyRelation, bins: Mapping[str, Bins]) -> Distributions:
    """Count rows with the columns of the contract and the probability.

    Args:
        rows: Are read several times; of each column, as often as it has variables.
        bins: By variable.
    """
    counts, unseen = dict[str, tuple[int, ...]](), dict[str, dict[str, int]]()
    numbers = [one for one in VARIABLES if one.kind == "number"]
    moments = dict[str, Moments]()
    counted = rows.aggregate(", ".join(["count(*)", *(_counted(one, bins[one.name]) for one in numbers)]))
    total, *found = counted.fetchall()[0]
    for one, number in zip(numbers, found, strict=True):
        in_bins = number.pop("bins") or [0] * (len(bins[one.name].edges) + 1)
        counts[one.name] = (*in_bins, total - sum(in_bins))
        if number["mean"] is not None:
            moments[one.name] = Moments(**number)
    for one in VARIABLES:
        if one.kind == "category":
            by_value = dict(rows.aggregate(f"{one.sql} AS value, count(*)", "value").fetchall())
            missing = by_value.pop(None, 0)
            seen = [by_value.pop(label, 0) for label in bins[one.name].labels]
            counts[one.name] = (*seen, sum(by_value.values()), missing)
            if by_value:
                unseen[one.name] = _most_frequent(by_value)
    in_order = {one.name: counts[one.name] for one in VARIABLES}
    return Distributions(rows=total, counts=in_order, moments=moments, unseen=unseen)


def _counted(number: Variable, bins: Bins) -> str:
    """The counts of the bins of a number but the last one, and its moments."""
    value = f"({number.sql})::DOUBLE"
    # An edge belongs to the bin below it. What lies over the last one would only be counted if there is any.
    edges = f"'{[*bins.edges, math.inf]}'::DOUBLE[]"
    moments = {"mean": "avg", "deviation": "stddev_pop", "minimum": "min", "maximum": "max"}
    asked = "".join(f", '{name}': {function}({value})" for name, function in moments.items())
    return f"{{'bins': map_values(histogram({value}, {edges})){asked}}}"


def _most_frequent(values: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(values.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN])
