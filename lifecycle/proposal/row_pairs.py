"""Two tables row by row: columns that can be compared, and rows paired by some of them.

DuckDB joins them, with bounded memory: what does not fit is spilled to disk.
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
    """An empty database in memory."""
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "memory_limit": _MEMORY,
            "temp_directory": folder,
            "threads": stage.cores(),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,  # nothing comes from the network
        }
        with duckdb.connect(config=settings) as connection:
            yield connection


def column_types(rows: DuckDBPyRelation) -> dict[str, str]:
    """The type of each column, as DuckDB calls it."""
    return dict(zip(rows.columns, map(str, rows.types), strict=True))


def comparable(before: str, after: str) -> bool:
    """Whether values of two types can be compared: numbers with numbers, texts with texts, times with times."""
    return _kind(before) == _kind(after) or _NO_VALUES in {before, after}


def aligned(
    before: DuckDBPyRelation, after: DuckDBPyRelation, names: Sequence[str]
) -> tuple[DuckDBPyRelation, DuckDBPyRelation]:
    """Columns that both have: b0, b1 and so on of the one, a0, a1 and so on of the other, in the order of their names.

    Those of types that cannot be compared become text.
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

    If several rows have one identity, those that are the same on both sides belong together; the others are paired in
    the order of their values. No row is in two pairs.

    Args:
        connection: That of both tables.
        before: The one table.
        after: The other table.
        identity: How many of the columns, the first ones, identify a row.

    Returns:
        The columns of both, and `b_number` and `a_number`, one of which is missing where a row has no pair.
    """
    if any(_has_duplicates(rows, identity) for rows in (before, after)):
        before, after = _numbered(connection, before, after, identity)
    else:
        before, after = before.project("*, 1 AS b_number"), after.project("*, 1 AS a_number")
    same = " AND ".join(same_value(at) for at in range(identity))
    return before.set_alias("b").join(after.set_alias("a"), f"{same} AND b_number = a_number", how="outer")


def same_value(at: int) -> str:
    """SQL for whether two aligned tables have the same value in a column; missing values are the same."""
    return f"b{at} IS NOT DISTINCT FROM a{at}"


def _kind(column_type: str) -> str:
    return "number" if column_type.startswith("DECIMAL") else _KINDS.get(column_type, column_type)


def _value(name: str, types: Mapping[str, str], others: Mapping[str, str]) -> str:
    """SQL for a column whose values may be compared with those of the other table."""
    value, column_type, other = '"' + name.replace('"', '""') + '"', types[name], others[name]
    kinds = {_kind(column_type), _kind(other)}
    if column_type == other or kinds == {"number"} or _NO_VALUES in kinds:
        return value
    # DuckDB would convert times of several units to nanoseconds, which hold 584 years only. The same time is the same
    # text, if a date is a time too.
    if _kind(column_type) == "local time" and column_type != "TIMESTAMP_NS":
        value = f"{value}::TIMESTAMP"
    return f"{value}::VARCHAR"


def _has_duplicates(rows: DuckDBPyRelation, identity: int) -> bool:
    columns = ", ".join(rows.columns[:identity])
    return bool(rows.aggregate(f"count(*) > count(DISTINCT ({columns}))").fetchall()[0][0])


def _numbered(
    connection: DuckDBPyConnection, before: DuckDBPyRelation, after: DuckDBPyRelation, identity: int
) -> tuple[DuckDBPyRelation, DuckDBPyRelation]:
    """Two aligned tables without the rows that cancel out, one by one; each row with its number in its identity."""
    columns, first = ", ".join(before.columns), ", ".join(before.columns[:identity])
    both = before.project("*, 1 AS side").union(after.project("*, -1 AS side"))
    both.aggregate(f"{columns}, sum(side)::BIGINT AS surplus", columns).filter("surplus <> 0").create("surplus")

    def numbered(sign: int, prefix: str) -> DuckDBPyRelation:
        copies = connection.table("surplus").project(f"{columns}, unnest(range({sign} * surplus))")
        renamed = ", ".join(f"b{at} AS {prefix}{at}" for at in range(len(before.columns)))
        number = f"row_number() OVER (PARTITION BY {first} ORDER BY {columns}) AS {prefix}_number"
        # A table, because it is read several times.
        copies.project(f"{renamed}, {number}").create(prefix)
        return connection.table(prefix)

    return numbered(1, "b"), numbered(-1, "a")
