"""Conversion of rows to the types of the contract, if it changes no value."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lifecycle.shared.columns import INTEGERS, Column, ColumnType, Target
from lifecycle.shared.console import UserError
from lifecycle.shared.inputs import file_columns
from lifecycle.shared.tables import ARROW_SCHEMA

_SHOWN_ROWS = 3
# How a missing value is written in a CSV file, unless the column has texts, to which these may belong: Namibia is NA.
_MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_NUMBER = r"^-?(\d+\.?\d*|\.\d+|inf)([eE][+-]?\d+)?$"
_TIME = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.0+)?$"
Bools = NDArray[np.bool_]


class _Rule(NamedTuple):
    """A rule for the values of a column type.

    Attributes:
        fits: Returns which values of a column without missing values keep their meaning when they are converted.
        words: The rule in words.
        advice: What to do in `fetch`.
    """

    fits: Callable[[pd.Series], Bools]
    words: str
    advice: str


def to_arrow(rows: pd.DataFrame, source: str) -> pa.Table:
    """Convert rows of `fetch` to the schema of the contract.

    Args:
        rows: Rows with the columns of the contract, in any order, and perhaps others, which are left out.
        source: Name of the source of the rows, for the message.

    Raises:
        UserError: If a column is missing or occurs twice, or has a value that the conversion would change. Names each
            column and rule, the number of rows that break it, and the first of them.
    """
    lines, arrays = [], []
    for column in file_columns():
        count = list(rows.columns).count(column.name)
        if count != 1:
            lines.append(f"{column.name}: the column {'is missing' if count == 0 else f'occurs {count} times'}")
            continue
        values: pd.Series = rows[column.name]
        missing, wrong, rule = values.isna().to_numpy(), _wrong(values, column), RULES[column.type]
        if isinstance(column, Target) and missing.any():
            lines.append(f"{column.name}: must not be missing{rows_in_words(values, missing)}")
        elif wrong.any():
            lines.append(f"{column.name}: {rule.words}{rows_in_words(values, wrong)}. {rule.advice}")
        else:
            arrays.append(_converted(values, ARROW_SCHEMA.field(column.name)))
    _fail(
        lines, source, "Convert the values in model/data.py, or change model/contract.py if the declaration is wrong."
    )
    return pa.table(arrays, schema=ARROW_SCHEMA)


def to_contract(rows: pa.Table, source: str, advice: str, *, start: int = 0, as_texts: bool = False) -> pa.Table:
    """Convert the columns of a file that are in the contract to its types, and leave the others as they are.

    Args:
        rows: Some rows of the file.
        source: Name of the file, for the message.
        advice: What to do, for the message.
        start: Number of the first of these rows in the file.
        as_texts: Whether the file has all values as texts, as CSV does. Then numbers, times, true and false are read
            from these.

    Raises:
        UserError: If a column occurs twice, or has a value that the conversion would change. Names each column and
            rule, the number of rows that break it, and the first of them.
    """
    lines = []
    for column in file_columns():
        count = rows.column_names.count(column.name)
        if count > 1:
            lines.append(f"{column.name}: the column occurs {count} times")
        elif count:
            values, kind = rows.column(column.name), ARROW_SCHEMA.field(column.name).type
            if values.type == kind:
                continue
            converted, wrong = from_texts(values, column) if as_texts else _from_types(values, column)
            if wrong.any():
                lines.append(
                    f"{column.name}: {RULES[column.type].words}{rows_in_words(values.to_pandas(), wrong, start)}"
                )
            else:
                rows = rows.set_column(rows.column_names.index(column.name), column.name, converted)
    _fail(lines, source, advice)
    return rows


def from_texts(values: pa.ChunkedArray, column: Column | Target) -> tuple[pa.ChunkedArray, Bools]:
    """Read the values of a column from texts.

    Returns:
        The values as the contract has them, and which of the texts are not of its type, of shape (rows,). Values of
        other texts are only right if all of them are of its type.
    """
    if column.type == "category":
        return values, np.zeros(len(values), dtype=np.bool_)
    kind = ARROW_SCHEMA.field(column.name).type
    is_missing = pc.is_in(values, pa.array([*_MISSING, None], pa.string()))
    present = pc.if_else(is_missing, None, values)
    if column.type == "boolean":
        words = pc.utf8_lower(present)
        fits = pc.is_in(words, pa.array([*_TRUTHS, None]))
        converted = pc.is_in(words, pa.array([word for word, truth in _TRUTHS.items() if truth]))
        return pc.if_else(pc.is_null(present), None, converted), _as_bools(pc.invert(fits))
    is_of_type, shape = (_is_time, _TIME) if column.type == "timestamp" else (_is_number, _NUMBER)
    wrong = _as_bools(pc.invert(pc.fill_null(pc.match_substring_regex(present, shape), True)))
    if wrong.any():
        return present, wrong
    try:
        converted = present.cast(pa.float64() if column.type == "integer" else kind)
    except pa.ArrowInvalid:
        return present, np.array([text is not None and not is_of_type(text) for text in present.to_pylist()])
    if column.type == "integer":
        # Pandas writes integers as 2001.0 if some values of the column are missing.
        wrong = ~_are_integers(converted.to_pandas()) & ~_as_bools(pc.is_null(converted))
        return (converted if wrong.any() else converted.cast(kind)), wrong
    return converted, wrong


def _from_types(values: pa.ChunkedArray, column: Column | Target) -> tuple[pa.ChunkedArray, Bools]:
    """Convert values of another type, as `from_texts` does."""
    series = values.to_pandas()
    wrong = _wrong(series, column)
    converted = values if wrong.any() else _converted(series, ARROW_SCHEMA.field(column.name))
    return pa.chunked_array(converted) if isinstance(converted, pa.Array) else converted, wrong


def _wrong(values: pd.Series, column: Column | Target) -> Bools:
    """Return which values are not of the column's type; a missing one may be of any."""
    present = values.notna().to_numpy()
    wrong = np.zeros(len(values), dtype=np.bool_)
    wrong[present] = ~RULES[column.type].fits(values[present])
    return wrong


def _is_time(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _is_number(text: str) -> bool:
    return math.isfinite(float(text))


def _as_bools(values: pa.ChunkedArray) -> Bools:
    return np.asarray(values.to_numpy(), dtype=np.bool_)


def _fail(lines: Sequence[str], source: str, advice: str) -> None:
    """Raise UserError if a rule is broken."""
    if lines:
        ways = f"{len(lines)} way{'s' if len(lines) > 1 else ''}"
        message = "\n".join(f"  {line}" for line in lines)
        raise UserError(f"{source} does not fit the contract in {ways}:\n{message}\n{advice}")


def rows_in_words(values: pd.Series, wrong: Bools, start: int = 0) -> str:
    """Return the number of wrong rows, and the first of them with their values.

    Args:
        values: Values of a column.
        wrong: Which rows are wrong, of shape (rows,).
        start: Number of the first row in its file.
    """
    positions = np.flatnonzero(wrong)
    shown = ", ".join(
        f"row {start + position}: {_shown(values.iloc[position])}" for position in positions[:_SHOWN_ROWS]
    )
    return f" ({len(positions):,} row{'s' if len(positions) > 1 else ''}; first: {shown})"


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _converted(values: pd.Series, field: pa.Field) -> pa.Array:
    """Convert values that fit."""
    kind = field.type
    if values.dtype == object and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        values = values.astype("Float64")  # integers and floats among one another
    return pa.array(values.astype(object) if pa.types.is_string(kind) else values, kind, from_pandas=True)


def _each(values: pd.Series, kind: tuple[type, ...], *, but: tuple[type, ...] = ()) -> Bools:
    return np.fromiter((isinstance(v, kind) and not isinstance(v, but) for v in values), np.bool_, len(values))


def _are_booleans(values: pd.Series) -> Bools:
    return _each(values, (bool, np.bool_))


def _are_texts(values: pd.Series) -> Bools:
    return _each(values, (str,))


def _are_numbers(values: pd.Series) -> Bools:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        is_complex = pd.api.types.is_complex_dtype(values)
        return np.full(len(values), not is_complex)
    return _each(values, (int, float, np.integer, np.floating), but=(bool, np.bool_))


def _are_integers(values: pd.Series) -> Bools:
    numbers = _are_numbers(values)
    exact = np.full(len(values), np.nan)
    if numbers.any():  # pandas refuses to convert times, even none
        exact[numbers] = values[numbers].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray((exact == np.floor(exact)) & (exact >= INTEGERS[0]) & (exact <= INTEGERS[1]))


def _are_times(values: pd.Series) -> Bools:
    if not pd.api.types.is_datetime64_dtype(values):  # not true of times with a zone
        return np.zeros(len(values), dtype=np.bool_)
    times = values.to_numpy()
    return np.asarray(times == times.astype("datetime64[s]"))


RULES: dict[ColumnType, _Rule] = {
    "boolean": _Rule(_are_booleans, "must be true or false", 'For example: `rows[name] == "yes"` or `rows[name] == 1`'),
    "category": _Rule(_are_texts, "must be text", "For numbers that are codes: `rows[name].map(str)`"),
    "integer": _Rule(
        _are_integers,
        f"must be a whole number from {INTEGERS[0]} to {INTEGERS[1]}",
        "Declare it as a number, or as a category if it identifies something",
    ),
    "number": _Rule(_are_numbers, "must be a number", "For text: `pd.to_numeric(rows[name])`"),
    "timestamp": _Rule(
        _are_times,
        "must be a date and time without a zone and without fractions of a second (datetime64)",
        "For text: `pd.to_datetime(rows[name])`; for a zone: `.dt.tz_convert(zone).dt.tz_localize(None)`; for "
        'fractions: `.dt.floor("s")`',
    ),
}
