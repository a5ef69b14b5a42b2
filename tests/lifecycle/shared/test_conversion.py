"""What a conversion to the contract's types would change is refused by column, rule and rows; the rest is exact."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lifecycle.shared.columns import Column, ColumnType, Target
from lifecycle.shared.console import UserError
from lifecycle.shared.conversion import RULES, to_arrow
from lifecycle.shared.validation import as_pandas
from model import contract, data

MISSING = (None, np.nan, pd.NA)
FITS: dict[str, tuple[ColumnType, Any, list[Any]]] = {
    "booleans": ("boolean", [True, False], [True, False]),
    "NumPy booleans": ("boolean", np.array([True, False]), [True, False]),
    "booleans or missing": ("boolean", [True, None, pd.NA, np.nan], [True, None, None, None]),
    "pandas booleans": ("boolean", pd.array([True, None], "boolean"), [True, None]),
    "texts": ("category", ["a", "Zürich", ""], ["a", "Zürich", ""]),
    "texts or missing": ("category", ["a", None, np.nan, pd.NA], ["a", None, None, None]),
    "pandas texts": ("category", pd.array(["a", None], "string"), ["a", None]),
    "pandas categories": ("category", pd.Categorical(["b", "a", None]), ["b", "a", None]),
    "integers": ("integer", [1, -2], [1, -2]),
    "whole numbers": ("integer", [1.0, np.nan, -2.0], [1, None, -2]),
    "integers among others": ("integer", pd.Series([1, 2.0, None], dtype=object), [1, 2, None]),
    "pandas integers": ("integer", pd.array([1, None], "Int64"), [1, None]),
    "small integers": ("integer", np.array([1, 255], np.uint8), [1, 255]),
    "numbers": ("number", [1, 2.5], [1.0, 2.5]),
    "numbers among others": ("number", pd.Series([1, 2.5, None], dtype=object), [1.0, 2.5, None]),
    "single precision": ("number", np.array([0.1, np.nan], np.float32), [float(np.float32(0.1)), None]),
    "times": (
        "timestamp",
        np.array(["2020-02-29T12:00:01", "NaT"], "datetime64[s]"),
        [pd.Timestamp("2020-02-29T12:00:01"), None],
    ),
    "nanoseconds": ("timestamp", np.array(["2020-01-01"], "datetime64[ns]"), [pd.Timestamp("2020-01-01")]),
    "days": ("timestamp", np.array(["2020-01-01"], "datetime64[D]"), [pd.Timestamp("2020-01-01")]),
}
# For each, the number of values that break the rule, and the first of them as it is shown.
BREAKS: dict[str, tuple[ColumnType, Any, int, str]] = {
    "a count as boolean": ("boolean", [True, 2, 0, 1], 3, "row 1: 2"),
    "numbers as boolean": ("boolean", [1.0, 0.0], 2, "row 0: 1.0"),
    "words as boolean": ("boolean", ["yes", "no"], 2, "row 0: 'yes'"),
    "numbers as category": ("category", ["a", 2, 3.0], 2, "row 1: 2"),
    "bytes as category": ("category", [b"a"], 1, "row 0: b'a'"),
    "fractions as integer": ("integer", [1.0, 1.5], 1, "row 1: 1.5"),
    "booleans as integer": ("integer", [True, False], 2, "row 0: True"),
    "digits as integer": ("integer", ["1"], 1, "row 0: '1'"),
    "too large": ("integer", [2**31, 2**31 - 1, -(2**31)], 1, "row 0: 2147483648"),
    "infinite": ("integer", [np.inf, 1.0], 1, "row 0: inf"),
    "booleans as number": ("number", np.array([True]), 1, "row 0: True"),
    "complex": ("number", np.array([1j]), 1, "row 0: 1j"),
    "digits as number": ("number", [1.5, "2.5", "n/a"], 2, "row 1: '2.5'"),
    "texts as time": ("timestamp", ["2020-01-01"], 1, "row 0: '2020-01-01'"),
    "milliseconds since 1970": ("timestamp", [1_577_836_800_000], 1, "row 0: 1577836800000"),
    "a zone": ("timestamp", pd.to_datetime(["2020-01-01T00:00Z"]), 1, "row 0: 2020-01-01 00:00:00+00:00"),
    "fractions of a second": (
        "timestamp",
        pd.to_datetime(["2020-01-01T00:00:00.5"]),
        1,
        "row 0: 2020-01-01 00:00:00.5",
    ),
}


@pytest.fixture
def one_column(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replace the contract by one with a single input of a type, and convert values of it."""

    def convert(kind: ColumnType, values: Any) -> list[Any]:
        from lifecycle.shared import conversion, tables

        column = Column(name="x", type=kind, description="Any.", example="", nullable=True)
        target = Target(name="y", type="boolean", description="Any.")
        monkeypatch.setattr(contract, "INPUTS", (column,))
        monkeypatch.setattr(contract, "TARGET", target)
        monkeypatch.setattr(conversion, "ARROW_SCHEMA", tables.arrow_schema())
        rows = pd.DataFrame({"x": values, "y": True, "not in the contract": 0})
        cells: list[Any] = to_arrow(rows, "rows").column("x").to_pylist()
        return cells

    return convert


@pytest.mark.parametrize("kind", FITS)
def test_values_that_fit(kind: str, one_column: Any) -> None:
    declared, values, expected = FITS[kind]
    assert one_column(declared, values) == expected


@pytest.mark.parametrize("kind", BREAKS)
def test_values_that_a_conversion_would_change(kind: str, one_column: Any) -> None:
    declared, values, count, first = BREAKS[kind]
    with pytest.raises(UserError) as raised:
        one_column(declared, values)
    message = str(raised.value)
    assert f"x: {RULES[declared].words} ({count} row{'s' if count > 1 else ''}; first: {first}" in message
    assert RULES[declared].advice in message


def test_every_column_with_a_fault_is_named() -> None:
    rows = data.fetch("2013-01").head(3)
    target = rows["late"].astype(object)
    target.iloc[1] = None
    rows = rows.assign(late=target, carrier=7).drop(columns="origin")
    rows.insert(0, "distance", 1.0, allow_duplicates=True)
    with pytest.raises(UserError) as raised:
        to_arrow(rows, "fetch('2013-01')")
    lines = str(raised.value).splitlines()
    assert lines[0] == "fetch('2013-01') does not fit the contract in 4 ways:"
    assert lines[1].startswith("  carrier: must be text (3 rows; first: row 0: 7, row 1: 7, row 2: 7)")
    assert lines[2:5] == [
        "  origin: the column is missing",
        "  distance: the column occurs 2 times",
        "  late: must not be missing (1 row; first: row 1: None)",
    ]


def test_the_conversion_keeps_all_rows_of_the_example() -> None:
    rows = data.fetch("2013-01")
    frame = as_pandas(to_arrow(rows, "fetch"))
    for name in frame.columns:
        expected = rows[name].reset_index(drop=True)
        pd.testing.assert_series_equal(frame[name].astype(expected.dtype), expected)
