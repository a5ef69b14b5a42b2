"""What a table holds: the type, the range and the peculiarities of each column, computed by DuckDB in few scans."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from lifecycle.shared.columns import ColumnType
from lifecycle.shared.source import TABLE

# Columns that are summarized in one query.
_AT_A_TIME = 100
# Largest number of distinct values that are listed.
MOST_VALUES = 50
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
_LARGEST = 2**31 - 1
_DATE_FORMS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M", "%Y%m%d")
_TRUTHS = {("no", "yes"), ("n", "y"), ("f", "t"), ("false", "true"), ("off", "on")}

# Words for a missing value, in lower case. In a column of texts they stay as they are: NA may be Namibia.
_MISSING = ("na", "n/a", "nan", "null", "none", "?", "-", "#n/a")


@dataclass(frozen=True)
class Profile:
    """A column of a table.

    Attributes:
        name: Name in the table.
        type: Type in the contract; None if no row has a value.
        sql: SQL expression that converts the column to that type.
        was: What the values of the column are, if they are converted.
        rows: Number of rows of the table.
        missing: Number of rows without a value.
        distinct: Number of distinct values.
        least: Smallest value of a number or a time.
        most: Largest value.
        common: The most frequent value.
        values: All distinct values, by frequency; empty if there are more than `MOST_VALUES`.
    """

    name: str
    type: ColumnType | None
    sql: str
    was: str
    rows: int
    missing: int
    distinct: int
    least: Any
    most: Any
    common: Any
    values: dict[Any, int]

    @property
    def is_constant(self) -> bool:
        """Whether all rows have the same value, or none has one."""
        return self.distinct <= 1

    @property
    def is_unique(self) -> bool:
        """Whether the value tells all rows apart, as an identifier does."""
        return self.distinct == self.rows > 1 and not self.missing and self.type in {"category", "integer"}


def profiles(connection: DuckDBPyConnection) -> list[Profile]:
    """Describe the columns of the table `source`, in their order."""
    table = connection.view(TABLE)
    columns = list(zip(table.columns, map(str, table.types), strict=True))
    found = []
    for start in range(0, len(columns), _AT_A_TIME):
        found += _summaries(connection, columns[start : start + _AT_A_TIME])
    return found


def sql_name(name: str) -> str:
    """Return a name as SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _summaries(connection: DuckDBPyConnection, columns: Sequence[tuple[str, str]]) -> list[Profile]:
    converted = _conversions(connection, columns)
    expressions = ["count(*)"]
    for name, _ in columns:
        kind, sql, _ = converted[name]
        ordered = sql if kind in {"integer", "number", "timestamp"} else "NULL"
        expressions += [f"count({sql})", f"min({ordered})", f"max({ordered})"]
    rows, *values = connection.view(TABLE).aggregate(", ".join(expressions)).fetchall()[0]
    found = []
    for place, (name, _) in enumerate(columns):
        kind, sql, was = converted[name]
        present, least, most = values[3 * place : 3 * place + 3]
        distinct, listed = _values(connection, sql)
        found.append(
            Profile(
                name=name,
                type=kind if present else None,
                sql=sql,
                was=was,
                rows=rows,
                missing=rows - present,
                distinct=distinct,
                least=least,
                most=most,
                common=next(iter(listed), None),
                values=listed if distinct <= MOST_VALUES else {},
            )
        )
    return found


def _values(connection: DuckDBPyConnection, sql: str) -> tuple[int, dict[Any, int]]:
    """Return the number of distinct values, and the most frequent ones with their numbers of rows.

    Rows are grouped by value, which DuckDB does on disk if need be. Its functions for distinct values and the mode
    would need memory for all values.
    """
    listed = connection.execute(
        f"SELECT value, count(*) AS rows, count(*) OVER () FROM (SELECT {sql} AS value FROM {TABLE}) "  # noqa: S608 - made by `sql_name`
        f"WHERE value IS NOT NULL GROUP BY value ORDER BY rows DESC, value LIMIT {MOST_VALUES}"
    ).fetchall()
    return (listed[0][2] if listed else 0), {value: rows for value, rows, _ in listed}


def _conversions(
    connection: DuckDBPyConnection, columns: Sequence[tuple[str, str]]
) -> dict[str, tuple[ColumnType, str, str]]:
    """Return for each column its type in the contract, the SQL of its values, and what its text is."""
    converted: dict[str, tuple[ColumnType, str, str]] = {}
    texts = []
    for name, kind in columns:
        sql = sql_name(name)
        base = kind.partition("(")[0]
        if base == "BOOLEAN":
            converted[name] = "boolean", sql, ""
        elif base in _INTEGERS:
            converted[name] = "integer", sql, ""
        elif base in {"FLOAT", "DOUBLE", "DECIMAL"}:
            converted[name] = "number", f"{sql}::DOUBLE", ""
        elif base == "TIMESTAMP WITH TIME ZONE":
            converted[name] = "timestamp", f"date_trunc('second', timezone('UTC', {sql}))", ""
        elif base in {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}:
            converted[name] = "timestamp", f"date_trunc('second', {sql}::TIMESTAMP)", ""
        else:
            converted[name] = "category", f"nullif(trim({sql}::VARCHAR), '')", ""
            texts.append(name)
    integers = [name for name, (kind, _, _) in converted.items() if kind == "integer"]
    converted |= _large_integers(connection, integers)
    return converted | _typed_texts(connection, {name: converted[name][1] for name in texts})


def _large_integers(connection: DuckDBPyConnection, names: Sequence[str]) -> dict[str, tuple[ColumnType, str, str]]:
    """Return integers that need more than 32 bits, as numbers."""
    if not names:
        return {}
    expressions = ", ".join(f"max(abs({sql_name(name)}::DOUBLE))" for name in names)
    largest = connection.view(TABLE).aggregate(expressions).fetchall()[0]
    return {
        name: ("number", f"{sql_name(name)}::DOUBLE", "")
        for name, most in zip(names, largest, strict=True)
        if most is not None and most > _LARGEST
    }


def _typed_texts(connection: DuckDBPyConnection, texts: dict[str, str]) -> dict[str, tuple[ColumnType, str, str]]:
    """Return the texts that are numbers, dates, percentages, or yes and no in all rows with a value."""
    candidates = [(name, *conversion) for name, sql in texts.items() for conversion in _of_text(sql)]
    if not candidates:
        return {}
    counts = ", ".join(
        f"count({sql}), count({texts[name]}), count(*) FILTER ({_is_missing(texts[name])})"
        for name, _, sql, _ in candidates
    )
    values = connection.view(TABLE).aggregate(counts).fetchall()[0]
    typed: dict[str, tuple[ColumnType, str, str]] = {}
    for place, (name, kind, sql, was) in enumerate(candidates):
        fitting, present, spelled = values[3 * place : 3 * place + 3]
        if fitting and fitting == present - spelled and name not in typed:
            typed[name] = kind, sql, f"{was}, or a word for a missing value" if spelled else was
    return typed


def _of_text(sql: str) -> Iterator[tuple[ColumnType, str, str]]:
    """Yield the conversions of a text: the type, the SQL, which is NULL for a text that is none, and what it is."""
    bare = f"regexp_replace({sql}, '^[€$£] ?| ?[€$£]$', '')"
    # Digits after a leading zero are a code, such as a postcode.
    whole = "(0|[1-9][0-9]*)"
    grouped = f"regexp_full_match({bare}, '[-+]?([1-9][0-9]{{0,2}}(,[0-9]{{3}})+|{whole})(\\.[0-9]+)?')"
    comma = f"regexp_full_match({bare}, '[-+]?([1-9][0-9]{{0,2}}(\\.[0-9]{{3}})+|{whole})(,[0-9]+)?')"
    is_code = f"regexp_matches({sql}, '^[-+]?0[0-9]')"
    yield "number", f"CASE WHEN {grouped} THEN replace({bare}, ',', '')::DOUBLE END", "number"
    yield "number", f"CASE WHEN {comma} THEN translate({bare}, ',.', '.')::DOUBLE END", "number with a decimal comma"
    yield "number", f"CASE WHEN NOT {is_code} THEN try_cast({sql} AS DOUBLE) END", "number"
    yield "number", f"try_cast(regexp_extract({sql}, '^([-+]?[0-9.]+) ?%$', 1) AS DOUBLE) / 100", "percentage"
    yield "timestamp", f"date_trunc('second', try_cast({sql} AS TIMESTAMP))", "date"
    for form in _DATE_FORMS:
        yield "timestamp", f"try_strptime({sql}, '{form}')", "date"
    for false, true in sorted(_TRUTHS):
        yield "boolean", f"CASE lower({sql}) WHEN '{true}' THEN true WHEN '{false}' THEN false END", "yes or no"


def _is_missing(sql: str) -> str:
    """Return the SQL condition that a text is a word for a missing value."""
    return f"lower({sql}) IN ({', '.join(repr(word) for word in _MISSING)})"
