"""Distributions of inputs and predictions, of months and of logs, counted by DuckDB in the bins of the training data.

The bins are those of histograms.py; a timestamp is counted by its hour and its weekday. What is kept of a month is a
few hundred counts, and no row.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from duckdb import DuckDBPyRelation

from lifecycle.shared.histograms import QUANTILES, Bins
from lifecycle.shared.settings import Settings
from model import contract

PROBABILITY = "probability"

_PROBABILITIES = tuple(n / 20 for n in range(21))
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
            found.append(Variable(name, name, "number", f"CASE WHEN NOT isnan({sql}) THEN {sql}::DOUBLE END"))
    return (*found, Variable(PROBABILITY, PROBABILITY, "number", f'"{PROBABILITY}"::DOUBLE'))


VARIABLES = _variables()


class Moments(Settings):
    """Of the finite values of a number."""

    mean: float
    deviation: float
    minimum: float
    maximum: float


class Distributions(Settings):
    """How the rows of a period are distributed.

    Attributes:
        rows: In all.
        counts: By variable, how many rows are in each bin.
        moments: By number, unless it has no finite value.
        unseen: By category, the values without a bin that are most frequent, with their number.
    """

    rows: int
    counts: dict[str, tuple[int, ...]]
    moments: dict[str, Moments]
    unseen: dict[str, dict[str, int]]


def make_variable_bins(rows: DuckDBPyRelation) -> dict[str, Bins]:
    """The bins of each variable, by rows with the columns of the contract."""
    bins = {}
    for one in VARIABLES:
        if one.column == PROBABILITY:
            bins[one.name] = Bins(edges=_PROBABILITIES)
        elif one.kind == "number":
            found = rows.aggregate(f"quantile_disc({one.sql}, {list(QUANTILES)}) FILTER (isfinite({one.sql}))")
            bins[one.name] = Bins.of_number(found.fetchall()[0][0] or ())
        else:
            counted = rows.aggregate(f"{one.sql} AS value, count(*) AS rows", "value").filter("value IS NOT NULL")
            bins[one.name] = Bins.of_category(dict(counted.fetchall()))
    return bins


def count_distributions(rows: DuckDBPyRelation, bins: Mapping[str, Bins]) -> Distributions:
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
        in_bins = number.pop("bins") or [0] * (bins[one.name].size - 1)
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
    # DuckDB takes an edge for the end of the bin below it, but the least value begins the bin above it. What lies over
    # the last edge would only be counted if there is any.
    below = [math.nextafter(least, -math.inf) for least in bins.edges[:1]]
    edges = f"'{[*below, *bins.edges[1:], math.inf]}'::DOUBLE[]"
    moments = {"mean": "avg", "deviation": "stddev_pop", "minimum": "min", "maximum": "max"}
    finite = f"CASE WHEN isfinite({number.sql}) THEN {number.sql} END"
    asked = "".join(f", '{name}': {function}({finite})" for name, function in moments.items())
    return f"{{'bins': map_values(histogram({number.sql}, {edges})){asked}}}"


def _most_frequent(values: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(values.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN])
