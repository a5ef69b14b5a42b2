"""Distributions of inputs and predictions in parts of the data and in logs, counted by DuckDB in the training's bins.

The bins are those of histograms.py; a timestamp is counted by hour and by weekday. A part is reduced to a few hundred
counts; no row is kept.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from duckdb import DuckDBPyRelation

from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.histograms import QUANTILES, Bins
from lifecycle.shared.inputs import feature_columns
from lifecycle.shared.settings import Settings

# Column of the predictions, in logs that are read and in parts that are counted.
PREDICTION = "prediction"

_SHOWN = 5  # unseen values that are listed


@dataclass(frozen=True)
class Variable:
    """A quantity that is counted, derived from one column.

    Attributes:
        name: Name in reports: the column's name, unless several variables are derived from the column.
        column: Column of the contract, or ``prediction``.
        kind: A ``number`` is counted in ranges, a ``category`` by value.
        sql: SQL expression of the value, in terms of the column.
    """

    name: str
    column: str
    kind: Literal["number", "category"]
    sql: str


def _variables() -> tuple[Variable, ...]:
    variables = []
    for column in feature_columns():
        name, sql = column.name, f'"{column.name}"'
        if column.type == "timestamp":
            variables.append(Variable(f"{name} (hour)", name, "category", f"strftime({sql}, '%H')"))
            variables.append(Variable(f"{name} (weekday)", name, "category", f"strftime({sql}, '%a')"))
        elif column.type in {"category", "boolean"}:
            variables.append(Variable(name, name, "category", f"{sql}::VARCHAR"))
        else:
            # NaN becomes NULL; DuckDB would order it as the largest number.
            variables.append(Variable(name, name, "number", f"CASE WHEN NOT isnan({sql}) THEN {sql}::DOUBLE END"))
    return (*variables, *(Variable(name, PREDICTION, kind, sql) for name, (kind, sql) in TASK.variables().items()))


VARIABLES = _variables()


class Moments(Settings):
    """Mean, standard deviation and range of the finite values of a number."""

    mean: float
    deviation: float
    minimum: float
    maximum: float


class Distributions(Settings):
    """The distribution of each variable over the rows of a period.

    Attributes:
        rows: Number of rows.
        counts: By variable, the number of rows in each bin.
        moments: By number, its moments; absent if it has no finite value.
        unseen: By category, the most frequent values without a bin, with their number of rows.
    """

    rows: int
    counts: dict[str, tuple[int, ...]]
    moments: dict[str, Moments]
    unseen: dict[str, dict[str, int]]


def make_variable_bins(rows: DuckDBPyRelation) -> dict[str, Bins]:
    """Make the bins of each variable from rows with the columns of the contract and the target."""
    bins = {name: Bins(edges=edges, labels=labels) for name, (edges, labels) in _prediction_bins(rows).items()}
    for variable in VARIABLES:
        name, sql = variable.name, variable.sql
        if variable.column == PREDICTION:
            continue
        if variable.kind == "number":
            quantiles = rows.aggregate(f"quantile_disc({sql}, {list(QUANTILES)}) FILTER (isfinite({sql}))")
            bins[name] = Bins.of_number(quantiles.fetchall()[0][0] or ())
        else:
            counted = rows.aggregate(f"{sql} AS value, count(*) AS rows", "value").filter("value IS NOT NULL")
            bins[name] = Bins.of_category(dict(counted.fetchall()))
    return {variable.name: bins[variable.name] for variable in VARIABLES}


def _prediction_bins(rows: DuckDBPyRelation) -> dict[str, tuple[tuple[float, ...], tuple[str, ...]]]:
    """Return edges and labels of the bins of the predictions."""
    sql = TASK.binned_by()
    quantiles = rows.aggregate(f"quantile_disc({sql}, {list(QUANTILES)})").fetchall()[0][0] if sql else ()
    return TASK.bins(quantiles or ())


def count_distributions(rows: DuckDBPyRelation, bins: Mapping[str, Bins]) -> Distributions:
    """Count rows with the columns of the contract and the prediction.

    Args:
        rows: Rows to count. They are scanned once for all numbers and once for each category.
        bins: Bins of each variable, by its name.
    """
    counts, unseen = dict[str, tuple[int, ...]](), dict[str, dict[str, int]]()
    numbers = [variable for variable in VARIABLES if variable.kind == "number"]
    moments = dict[str, Moments]()
    counted = rows.aggregate(", ".join(["count(*)", *(_summary(number, bins[number.name]) for number in numbers)]))
    total, *summaries = counted.fetchall()[0]
    for number, summary in zip(numbers, summaries, strict=True):
        in_bins = summary.pop("bins") or [0] * (bins[number.name].size - 1)
        counts[number.name] = (*in_bins, total - sum(in_bins))
        if summary["mean"] is not None:
            moments[number.name] = Moments(**summary)
    for variable in VARIABLES:
        if variable.kind == "category":
            by_value = dict(rows.aggregate(f"{variable.sql} AS value, count(*)", "value").fetchall())
            missing = by_value.pop(None, 0)
            seen = [by_value.pop(label, 0) for label in bins[variable.name].labels]
            counts[variable.name] = (*seen, sum(by_value.values()), missing)
            if by_value:
                unseen[variable.name] = _most_frequent(by_value)
    in_order = {variable.name: counts[variable.name] for variable in VARIABLES}
    return Distributions(rows=total, counts=in_order, moments=moments, unseen=unseen)


def _summary(number: Variable, bins: Bins) -> str:
    """Return SQL for the moments of a number and its counts in all bins except the last, that of missing values."""
    # DuckDB counts an edge in the bin below it, but the least value belongs to the bin above it. Infinity is an edge
    # because DuckDB adds a bin for values over the last edge only if there are any.
    below = [math.nextafter(least, -math.inf) for least in bins.edges[:1]]
    edges = f"'{[*below, *bins.edges[1:], math.inf]}'::DOUBLE[]"
    moments = {"mean": "avg", "deviation": "stddev_pop", "minimum": "min", "maximum": "max"}
    finite = f"CASE WHEN isfinite({number.sql}) THEN {number.sql} END"
    moments_sql = "".join(f", '{name}': {function}({finite})" for name, function in moments.items())
    return f"{{'bins': map_values(histogram({number.sql}, {edges})){moments_sql}}}"


def _most_frequent(values: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(values.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN])
