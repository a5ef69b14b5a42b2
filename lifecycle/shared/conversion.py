"""Conversion of a frame to the types of the contract, if it changes no value."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.shared.columns import Column, ColumnType, Target
from lifecycle.shared.console import UserError
from lifecycle.shared.tables import ARROW_SCHEMA
from model import contract

_SHOWN_ROWS = 3
_INTEGERS = np.iinfo(np.int32)
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
    """Convert rows to the schema of the contract.

    Args:
        rows: Rows with the columns of the contract, in any order, and perhaps others, which are left out.
        source: Name of the source of the rows, for the message.

    Raises:
        UserError: If a column is missing or occurs twice, or has a value that the conversion would change. Names each
            column and rule, the number of rows that break it, and the first of them.
    """
    lines, arrays = [], []
    columns: list[Column | Target] = [*contract.INPUTS, contract.TARGET]
    for column in columns:
        count = list(rows.columns).count(column.name)
        if count != 1:
            lines.append(f"{column.name}: the column {'is missing' if count == 0 else f'occurs {count} times'}")
            continue
        values: pd.Series = rows[column.name]
        broken = _broken(values, column)
        if broken:
            lines.append(f"{column.name}: {broken}")
        else:
            arrays.append(_converted(values, ARROW_SCHEMA.field(column.name)))
    if lines:
        ways = f"{len(lines)} way{'s' if len(lines) > 1 else ''}"
        message = "\n".join(f"  {line}" for line in lines)
        raise UserError(
            f"{source} does not fit the contract in {ways}:\n{message}\n"
            f"Convert the values in model/data.py, or change model/contract.py if the declaration is wrong."
        )
    return pa.table(arrays, schema=ARROW_SCHEMA)


def _broken(values: pd.Series, column: Column | Target) -> str:
    """Return the rule that values break, with the first rows that break it; empty if they break none."""
    missing = values.isna().to_numpy()
    if isinstance(column, Target) and missing.any():
        return f"must not be missing{_rows(values, missing)}"
    rule = RULES[column.type]
    wrong = np.zeros(len(values), dtype=np.bool_)
    wrong[~missing] = ~rule.fits(values[~missing])
    return f"{rule.words}{_rows(values, wrong)}. {rule.advice}" if wrong.any() else ""


def _rows(values: pd.Series, wrong: Bools) -> str:
    positions = np.flatnonzero(wrong)
    shown = ", ".join(f"row {position}: {_shown(values.iloc[position])}" for position in positions[:_SHOWN_ROWS])
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
    exact[numbers] = values[numbers].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray((exact == np.floor(exact)) & (exact >= _INTEGERS.min) & (exact <= _INTEGERS.max))


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
        f"must be a whole number from {_INTEGERS.min} to {_INTEGERS.max}",
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
