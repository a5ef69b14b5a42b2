"""Data validation, derived from the contract with pandera."""

import re
from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
from pandera.errors import SchemaErrors

from lifecycle.shared.columns import Column, Target
from lifecycle.shared.console import UserError
from lifecycle.shared.inputs import file_columns, request_columns
from lifecycle.shared.parts import end_of, first_day, is_fold
from model import contract

SHOWN_ROWS = 3

_TYPES: dict[str, str] = {column.name: column.type for column in contract.INPUTS}
_TYPES[contract.TARGET.name] = contract.TARGET.type

# What to do if two rows have the same identity.
TELL_APART = (
    "Remove the copies in the source; or, if they are different rows, add a column that tells them apart to IDENTITY "
    "in model/contract.py."
)

NOTHING = "Nothing was written."
HOW_TO_FIX = (
    "Fix the source, or model/contract.py if the rule itself is wrong. "
    "`dvc checkout --force data.dvc` restores the versioned data."
)


def row_in_words(values: Sequence[object]) -> str:
    """Name a row by the values of its identity."""
    return ", ".join(f"{name} {value}" for name, value in zip(contract.IDENTITY, values, strict=True))


def as_pandas(table: pa.Table) -> pd.DataFrame:
    """Convert a table to the frame that `validate` takes: integers and booleans with missing values keep their type."""
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}.get)
    return frame


def validate(rows: pd.DataFrame, *, source: str, part: str | None) -> None:
    """Check the rows of one part against the contract.

    Args:
        rows: The inputs and the target; the index numbers the rows from 0.
        source: Name of the source of the rows, for the message.
        part: Part of the data; if it is a period, the times of the rows must lie in it. None if rows are of any part.

    Raises:
        UserError: If a rule is broken; names each column and rule, the number of rows that break it, and the first of
            them.
    """
    if rows.empty:
        raise UserError(f"{source} has no rows. {HOW_TO_FIX}")
    _validate(_part_schema(part), rows, source, HOW_TO_FIX)


def validate_inputs(rows: pd.DataFrame, *, source: str) -> None:
    """Check rows to predict against the contract, as `validate` does, but of any time.

    Columns that a request does not have, such as the target, may be there; their values may be missing.
    """
    _validate(_file_schema(tuple(rows.columns)), rows, source, NOTHING)


def _validate(schema: pandera.DataFrameSchema, rows: pd.DataFrame, source: str, advice: str) -> None:
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        raise UserError(f"{_message(errors.failure_cases, rows, source)}\n{advice}") from errors


def _input_column(column: Column) -> pandera.Column:
    return pandera.Column(column.forms.pandas, _checks(column), nullable=column.nullable)


@cache
def _file_schema(names: tuple[str, ...]) -> pandera.DataFrameSchema:
    """Return the schema of a file to predict that has columns of these names."""
    requested = {column.name for column in request_columns()}
    columns = {column.name: _input_column(column) for column in request_columns()}
    columns |= {
        column.name: pandera.Column(column.forms.pandas, _checks(column), nullable=True)
        for column in file_columns()
        if column.name in names and column.name not in requested
    }
    return pandera.DataFrameSchema(columns, strict=True)


@cache
def _part_schema(part: str | None) -> pandera.DataFrameSchema:
    columns = {column.name: _input_column(column) for column in contract.INPUTS}
    if contract.TIME and part and not is_fold(part):
        first, after = pd.Timestamp(first_day(part)), pd.Timestamp(end_of(part))
        columns[contract.TIME].checks.append(
            pandera.Check(lambda times: (times >= first) & (times < after), error=f"must lie in {part}")
        )
    target = contract.TARGET
    columns[target.name] = pandera.Column(
        target.forms.pandas,
        _checks(target),
    )
    return pandera.DataFrameSchema(
        columns, strict=True, unique=list(contract.IDENTITY) or None, report_duplicates="exclude_first"
    )


def _checks(column: Column | Target) -> list[pandera.Check]:
    checks = []
    unit = f" {column.unit}" if column.unit else ""
    if column.categories:
        checks.append(pandera.Check.isin(column.categories, error=f"must be one of {', '.join(column.categories)}"))
    if column.pattern:
        checks.append(pandera.Check(partial(_matches, column.pattern), error=f"must match {column.pattern}"))
    if column.minimum is not None:
        checks.append(pandera.Check.ge(column.minimum, error=f"must be at least {column.minimum:g}{unit}"))
    if column.maximum is not None:
        checks.append(pandera.Check.le(column.maximum, error=f"must be at most {column.maximum:g}{unit}"))
    if column.type == "timestamp":
        checks.append(pandera.Check(_are_whole_seconds, error="must not have fractions of a second"))
    if column.type == "number" and None in {column.minimum, column.maximum}:
        checks.append(pandera.Check(np.isfinite, error="must be finite"))
    return checks


def _are_whole_seconds(times: pd.Series) -> pd.Series:
    return times == times.astype("datetime64[s]")


def _matches(pattern: str, texts: pd.Series) -> pd.Series:
    """Return which texts match a pattern as a whole, by the rules of Python, as in the service.

    pandas itself would match by those of RE2, to which the ü in "Zürich" is no letter.
    """
    matching = {text for text in texts.unique() if re.fullmatch(pattern, text)}
    return texts.isin(matching)


def _message(failures: pd.DataFrame, rows: pd.DataFrame, source: str) -> str:
    checks = failures["check"].astype(str)
    # A column of the wrong type breaks its other rules, too; only the type is reported.
    mistyped = checks.str.startswith("dtype(")
    failures = failures[mistyped | ~failures["column"].isin(failures.loc[mistyped, "column"])]
    # pandera reports a duplicate row as a failure of each identity column.
    duplicate = failures["check"].astype(str) == "multiple_fields_uniqueness"
    if duplicate.any():
        cases = failures[duplicate].astype({"failure_case": str}).groupby("index")["failure_case"].agg(" ".join)
        duplicates = pd.DataFrame({"failure_case": cases}).reset_index()
        duplicates[["column", "check"]] = ", ".join(contract.IDENTITY), "must be unique together"
        failures = pd.concat([duplicates, failures[~duplicate]])

    lines = []
    for (column, check), group in failures.groupby(["column", "check"], sort=False, dropna=False):
        name, rule = _rule(column, str(check), group, rows)
        lines.append(f"  {name}: {rule}{_offenders(group)}")
    return f"{source} breaks the contract in {len(lines)} way{'s' if len(lines) > 1 else ''}:\n" + "\n".join(lines)


def _rule(column: object, check: str, group: pd.DataFrame, rows: pd.DataFrame) -> tuple[str, str]:
    """Return the column and the broken rule of a group of failures, in words."""
    case = str(group["failure_case"].iloc[0])
    if check == "column_in_dataframe":
        return case, "the column is missing"
    if check == "column_in_schema":
        return case, "the column is not in the contract"
    if check == "not_nullable":
        return str(column), "must not be missing"
    if check.startswith("dtype("):
        expected = _TYPES[str(column)]
        return str(column), f"must be of type {expected}, is {rows[str(column)].dtype}"
    return str(column), check


def _offenders(group: pd.DataFrame) -> str:
    offending = group.dropna(subset="index").drop_duplicates("index")
    if offending.empty:
        return ""
    shown = ", ".join(
        f"row {row.index_}: {row.failure_case}"
        for row in offending.rename(columns={"index": "index_"}).head(SHOWN_ROWS).itertuples()
    )
    return f" ({len(offending):,} row{'s' if len(offending) > 1 else ''}; first: {shown})"
