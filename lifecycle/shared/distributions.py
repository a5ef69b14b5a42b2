"""Distributions of inputs and predictions in parts of the data and in logs, counted by DuckDB in the training's bins.

The bins are those of histograms.py. A timestamp is counted by hour, by weekday and by how long it is before the event
of its row. A part is reduced to a few hundred counts; no row is kept.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from duckdb import DuckDBPyRelation

from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.histograms import QUANTILES, Bins, shares
from lifecycle.shared.inputs import event_time, feature_columns
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
    event = event_time()
    for column in feature_columns():
        name, sql = column.name, f'"{column.name}"'
        if column.type == "timestamp":
            variables.append(Variable(f"{name} (hour)", name, "category", f"strftime({sql}::TIMESTAMP, '%H')"))
            variables.append(Variable(f"{name} (weekday)", name, "category", f"strftime({sql}::TIMESTAMP, '%a')"))
            if event and name != event:
                days = f"date_diff('second', {sql}::TIMESTAMP, \"{event}\"::TIMESTAMP) / 86400"
                variables.append(Variable(f"{name} (days before {event})", name, "number", days))
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
    counted = count_parts(rows, bins, "0")
    return counted[0] if counted else _nothing(bins)


def count_parts(rows: DuckDBPyRelation, bins: Mapping[str, Bins], part: str) -> dict[int, Distributions]:
    """Count rows by part, as `count_distributions` does.

    Args:
        rows: Rows to count.
        bins: Bins of each variable, by its name.
        part: SQL expression of the part of a row, an integer.

    Returns:
        The distributions by part, in ascending order; parts without rows are left out.
    """
    numbers = [variable for variable in VARIABLES if variable.kind == "number"]
    summaries = [_summary(number, bins[number.name]) for number in numbers]
    counted = rows.aggregate(", ".join([f"({part})::BIGINT AS part", "count(*)", *summaries]), "part").fetchall()
    parts = {number: _nothing(bins, rows=total) for number, total, *_ in sorted(counted)}
    for number, total, *of_numbers in counted:
        for variable, summary in zip(numbers, of_numbers, strict=True):
            in_bins = summary.pop("bins") or [0] * (bins[variable.name].size - 1)
            parts[number].counts[variable.name] = (*in_bins, total - sum(in_bins))
            if summary["mean"] is not None:
                parts[number].moments[variable.name] = Moments(**summary)
    for variable in VARIABLES:
        if variable.kind == "category":
            for number, (counts, unseen) in _count_category(rows, variable, bins[variable.name], part).items():
                parts[number].counts[variable.name] = counts
                if unseen:
                    parts[number].unseen[variable.name] = unseen
    return parts


def count_in_bins(rows: DuckDBPyRelation, variable: Variable, bins: Bins) -> tuple[int, ...]:
    """Count the values of a variable in the bins of another one."""
    if variable.kind == "category":
        return _count_category(rows, variable, bins, "0")[0][0]
    ((total, summary),) = rows.aggregate(f"count(*), {_summary(variable, bins)}").fetchall()
    in_bins = summary["bins"] or [0] * (bins.size - 1)
    return (*in_bins, total - sum(in_bins))


def sql_texts(texts: Sequence[str]) -> str:
    """Return texts as SQL literals with commas between them; NULL if there are none."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts) or "NULL"


def merge(parts: Sequence[Distributions]) -> Distributions:
    """Add up the distributions of parts; of unseen values, the most frequent ones of each part."""
    counts = {name: tuple(np.sum([part.counts[name] for part in parts], axis=0).tolist()) for name in parts[0].counts}
    moments = dict[str, Moments]()
    for name in counts:
        of_all = moments_of(name, parts)
        if of_all:
            moments[name] = of_all
    unseen = dict[str, dict[str, int]]()
    for name in counts:
        values = sum((Counter(part.unseen.get(name, {})) for part in parts), Counter[str]())
        if values:
            unseen[name] = _most_frequent(values)
    return Distributions(rows=sum(part.rows for part in parts), counts=counts, moments=moments, unseen=unseen)


def moments_of(name: str, parts: Sequence[Distributions]) -> Moments | None:
    """Return the moments of a number over all parts; None if it has no finite value in any of them."""
    known = [part for part in parts if name in part.moments]
    if not known:
        return None
    weights = shares([sum(part.counts[name][:-1]) for part in known])
    moments = [part.moments[name] for part in known]
    means, deviations = (np.array([getattr(part, end) for part in moments]) for end in ("mean", "deviation"))
    mean = float(weights @ means)
    return Moments(
        mean=mean,
        deviation=math.sqrt(float(weights @ (deviations**2 + (means - mean) ** 2))),
        minimum=min(part.minimum for part in moments),
        maximum=max(part.maximum for part in moments),
    )


def cluster_size(rows: DuckDBPyRelation, cluster: str) -> float:
    """Return the number of rows in the cluster of a row, on average over the rows; 1 if there are none.

    Args:
        rows: Rows.
        cluster: SQL expression of the cluster of a row; see `clusters.cluster_sql`.
    """
    sizes = rows.aggregate(f"({cluster}) AS cluster, count(*)::DOUBLE AS rows", "cluster")
    (size,) = sizes.aggregate("sum(rows * rows) / sum(rows)").fetchall()[0]
    return float(size or 1.0)


def _nothing(bins: Mapping[str, Bins], rows: int = 0) -> Distributions:
    counts = {variable.name: (0,) * bins[variable.name].size for variable in VARIABLES}
    return Distributions(rows=rows, counts=counts, moments={}, unseen={})


def _count_category(
    rows: DuckDBPyRelation, variable: Variable, bins: Bins, part: str
) -> dict[int, tuple[tuple[int, ...], dict[str, int]]]:
    """Return the number of rows in each bin and the most frequent unseen values, by part."""
    labels = sql_texts(bins.labels)
    valued = rows.project(f"({part})::BIGINT AS part, {variable.sql} AS value")
    marked = valued.project(f"part, value, value IS NOT NULL AND coalesce(value NOT IN ({labels}), true) AS unseen")
    counted = marked.aggregate("part, CASE WHEN NOT unseen THEN value END AS label, unseen, count(*) AS rows")
    by_part = dict[int, dict[tuple[str | None, bool], int]]()
    for number, label, unseen, count in counted.fetchall():
        by_part.setdefault(number, {})[label, unseen] = count
    values = dict[int, dict[str, int]]()
    if any((None, True) in counts for counts in by_part.values()):
        by_value = marked.filter("unseen").aggregate("part, value, count(*) AS rows")
        rank = "row_number() OVER (PARTITION BY part ORDER BY rows DESC, value) AS rank"
        for number, value, count, _ in by_value.project(f"*, {rank}").filter(f"rank <= {_SHOWN}").fetchall():
            values.setdefault(number, {})[value] = count
    return {
        number: (
            (
                *(counts.get((label, False), 0) for label in bins.labels),
                counts.get((None, True), 0),
                counts.get((None, False), 0),
            ),
            _most_frequent(values.get(number, {})),
        )
        for number, counts in by_part.items()
    }


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
