"""Pair the rows of two tables: find the columns that can be compared, and pair rows by some of them.

DuckDB joins the tables with bounded memory, and spills to disk what does not fit.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from lifecycle.pipeline import stage

_MEMORY = "640MB"

# DuckDB's types within which values can be compared, whatever their width or unit.
_NUMBERS = "BOOLEAN TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT FLOAT DOUBLE"
_KINDS = {
    **dict.fromkeys(_NUMBERS.split(), "number"),
    **dict.fromkeys(("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS"), "local time"),
    **dict.fromkeys(("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"), "instant"),
}
_NO_VALUES = '"NULL"'  # the type of a column in which every value is missing


@contextmanager
def duckdb_in_memory() -> Iterator[DuckDBPyConnection]:
    """Open an empty database in memory."""
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "memory_limit": _MEMORY,
            "temp_directory": folder,
            "threads": stage.cores(),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,  # downloads nothing
        }
        with duckdb.connect(config=settings) as connection:
            yield connection


def column_types(rows: DuckDBPyRelation) -> dict[str, str]:
    """Return the DuckDB type of each column."""
    return dict(zip(rows.columns, map(str, rows.types), strict=True))


def comparable(before: str, after: str) -> bool:
    """Return whether values of two types can be compared: numbers, strings or times, each among themselves."""
    return _kind(before) == _kind(after) or _NO_VALUES in {before, after}


def aligned(
    before: DuckDBPyRelation, after: DuckDBPyRelation, names: Sequence[str]
) -> tuple[DuckDBPyRelation, DuckDBPyRelation]:
    """Return common columns as b0, b1, … of the first table and a0, a1, … of the second, in the order of the names.

    Columns whose types cannot be compared become strings.
    """
    types, others = column_types(before), column_types(after)
    return (
        before.project(", ".join(f"{_value(name, types, others)} AS b{at}" for at, name in enumerate(names))),
        after.project(", ".join(f"{_value(name, others, types)} AS a{at}" for at, name in enumerate(names))),
    )


def paired(
    connection: DuckDBPyConnection, before: DuckDBPyRelation, after: DuckDBPyRelation, identity: int
) -> DuckDBPyRelation:
    """Pair the rows of two aligned tables.

    If several rows have the same identity, equal rows of both sides form pairs, and the others are paired in the order
    of their values. No row is in two pairs.

    Args:
        connection: Connection of both tables.
        before: First table.
        after: Second table.
        identity: Number of leading columns that identify a row.

    Returns:
        The columns of both tables, `b_number` and `a_number`. One of the numbers is null if a row has no pair.
    """
    if any(_has_duplicates(rows, identity) for rows in (before, after)):
        before, after = _numbered(connection, before, after, identity)
    else:
        before, after = before.project("*, 1 AS b_number"), after.project("*, 1 AS a_number")
    same = " AND ".join(same_value(at) for at in range(identity))
    return before.set_alias("b").join(after.set_alias("a"), f"{same} AND b_number = a_number", how="outer")


def same_value(at: int) -> str:
    """Return the SQL condition of equal values in a column of two aligned tables; missing values are equal."""
    return f"b{at} IS NOT DISTINCT FROM a{at}"


def _kind(column_type: str) -> str:
    return "number" if column_type.startswith("DECIMAL") else _KINDS.get(column_type, column_type)


def _value(name: str, types: Mapping[str, str], others: Mapping[str, str]) -> str:
    """Return the SQL expression of a column that can be compared with that of the other table."""
    value, column_type, other = '"' + name.replace('"', '""') + '"', types[name], others[name]
    kinds = {_kind(column_type), _kind(other)}
    if column_type == other or kinds == {"number"} or _NO_VALUES in kinds:
        return value
    # DuckDB would convert times of different units to nanoseconds, which only cover 584 years. Equal times are equal
    # strings if dates become times first.
    if _kind(column_type) == "local time" and column_type != "TIMESTAMP_NS":
        value = f"{value}::TIMESTAMP"
    return f"{value}::VARCHAR"


def _has_duplicates(rows: DuckDBPyRelation, identity: int) -> bool:
    columns = ", ".join(rows.columns[:identity])
    return bool(rows.aggregate(f"count(*) > count(DISTINCT ({columns}))").fetchall()[0][0])


def _numbered(
    connection: DuckDBPyConnection, before: DuckDBPyRelation, after: DuckDBPyRelation, identity: int
) -> tuple[DuckDBPyRelation, DuckDBPyRelation]:
    """Remove rows that both aligned tables have, one by one, and number the rest within each identity."""
    columns, first = ", ".join(before.columns), ", ".join(before.columns[:identity])
    both = before.project("*, 1 AS side").union(after.project("*, -1 AS side"))
    both.aggregate(f"{columns}, sum(side)::BIGINT AS surplus", columns).filter("surplus <> 0").create("surplus")

    def numbered(sign: int, prefix: str) -> DuckDBPyRelation:
        copies = connection.table("surplus").project(f"{columns}, unnest(range({sign} * surplus))")
        renamed = ", ".join(f"b{at} AS {prefix}{at}" for at in range(len(before.columns)))
        number = f"row_number() OVER (PARTITION BY {first} ORDER BY {columns}) AS {prefix}_number"
        # A table, because it is read more than once.
        copies.project(f"{renamed}, {number}").create(prefix)
        return connection.table(prefix)

    return numbered(1, "b"), numbered(-1, "a")
