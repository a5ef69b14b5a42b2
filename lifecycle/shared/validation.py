"""Data validation, derived from the contract with pandera."""

from functools import cache

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
from pandera.errors import SchemaErrors

from lifecycle.shared.columns import Column
from lifecycle.shared.console import UserError
from model import contract

SHOWN_ROWS = 3

_MEND = (
    "Mend the source, or model/contract.py where the rule itself is wrong. "
    "`dvc checkout --force data.dvc` brings the versioned data back."
)


def as_pandas(table: pa.Table) -> pd.DataFrame:
    """A table as the frame that `validate` takes: whole numbers stay whole where some are missing."""
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)
    return frame


def validate(rows: pd.DataFrame, *, source: str, month: str) -> None:
    """Check the rows of one month against the contract.

    Args:
        rows: The inputs and the target; the index numbers the rows from 0.
        source: What the rows were read from, for the message.
        month: The month they have to be of, as ``YYYY-MM``.

    Raises:
        UserError: Naming each column and rule that is broken, how often, and the first offending rows.
    """
    if rows.empty:
        raise UserError(f"{source} has no rows. {_MEND}")
    _validate(_month_schema(month), rows, source, _MEND)


def validate_inputs(rows: pd.DataFrame, *, source: str) -> None:
    """Check rows that are to be predicted against the contract: as `validate`, of any month and without a target."""
    _validate(pandera.DataFrameSchema(_input_columns(), strict=True), rows, source, "Nothing was written.")


def _validate(schema: pandera.DataFrameSchema, rows: pd.DataFrame, source: str, mend: str) -> None:
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        raise UserError(f"{_message(errors.failure_cases, rows, source)}\n{mend}") from errors


def _input_columns() -> dict[str, pandera.Column]:
    return {c.name: pandera.Column(c.forms.pandas, _checks(c), nullable=c.nullable) for c in contract.INPUTS}


@cache
def _month_schema(month: str) -> pandera.DataFrameSchema:
    columns = _input_columns()
    if contract.TIME:
        first = pd.Timestamp(month)
        after = first + pd.offsets.MonthBegin()
        columns[contract.TIME].checks.append(
            pandera.Check(lambda times: (times >= first) & (times < after), error=f"must lie in {month}")
        )
    columns[contract.TARGET] = pandera.Column(
        "bool",
        pandera.Check(
            lambda target: target.any() and not target.all(),
            error="must not be the same in every row: nothing to learn",
        ),
    )
    return pandera.DataFrameSchema(
        columns, strict=True, unique=list(contract.IDENTITY), report_duplicates="exclude_first"
    )


def _checks(column: Column) -> list[pandera.Check]:
    checks = []
    unit = f" {column.unit}" if column.unit else ""
    if column.categories:
        checks.append(pandera.Check.isin(column.categories, error=f"must be one of {', '.join(column.categories)}"))
    if column.pattern:
        checks.append(pandera.Check.str_matches(f"^{column.pattern}$", error=f"must match {column.pattern}"))
    if column.minimum is not None:
        checks.append(pandera.Check.ge(column.minimum, error=f"must be at least {column.minimum:g}{unit}"))
    if column.maximum is not None:
        checks.append(pandera.Check.le(column.maximum, error=f"must be at most {column.maximum:g}{unit}"))
    if column.type == "number" and None in {column.minimum, column.maximum}:
        checks.append(pandera.Check(np.isfinite, error="must be finite"))
    return checks


def _message(failures: pd.DataFrame, rows: pd.DataFrame, source: str) -> str:
    checks = failures["check"].astype(str)
    # A column of the wrong type breaks its other rules too; only the type is worth a line.
    mistyped = checks.str.startswith("dtype(")
    failures = failures[mistyped | ~failures["column"].isin(failures.loc[mistyped, "column"])]
    # A duplicate row comes as a failure of each identity column.
    duplicate = failures["check"].astype(str) == "multiple_fields_uniqueness"
    if duplicate.any():
        cases = failures[duplicate].astype({"failure_case": str}).groupby("index")["failure_case"].agg(" ".join)
        rows_found = pd.DataFrame({"failure_case": cases}).reset_index()
        rows_found[["column", "check"]] = ", ".join(contract.IDENTITY), "must be unique together"
        failures = pd.concat([rows_found, failures[~duplicate]])

    lines = []
    for (column, check), group in failures.groupby(["column", "check"], sort=False, dropna=False):
        name, rule = _rule(column, str(check), group, rows)
        lines.append(f"  {name}: {rule}{_offenders(group)}")
    return f"{source} breaks the contract in {len(lines)} way{'s' if len(lines) > 1 else ''}:\n" + "\n".join(lines)


def _rule(column: object, check: str, group: pd.DataFrame, rows: pd.DataFrame) -> tuple[str, str]:
    """The column that a group of failures is about, and what it says in words."""
    case = str(group["failure_case"].iloc[0])
    if check == "column_in_dataframe":
        return case, "the column is missing"
    if check == "column_in_schema":
        return case, "the column is not in the contract"
    if check == "not_nullable":
        return str(column), "must not be missing"
    if check.startswith("dtype("):
        wanted = next((c.type for c in contract.INPUTS if c.name == column), "true or false")
        return str(column), f"must be of type {wanted}, is {rows[str(column)].dtype}"
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
