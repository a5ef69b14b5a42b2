import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lifecycle.shared.console import UserError
from lifecycle.shared.parts import part_files
from lifecycle.shared.validation import as_pandas, validate

MONTH = "2013-01"


@pytest.fixture
def rows(small: Path) -> pd.DataFrame:
    return as_pandas(pq.read_table(part_files(MONTH, small)[0]))


def complaint(rows: pd.DataFrame) -> str:
    with pytest.raises(UserError) as raised:
        validate(rows, source="data/2013-01.parquet", part=MONTH)
    return str(raised.value)


def test_real_month_is_legal(rows: pd.DataFrame) -> None:
    validate(rows, source="data/2013-01.parquet", part=MONTH)


def test_category_unseen_in_training_is_legal(rows: pd.DataFrame) -> None:
    rows.loc[5, "destination"] = "XYZ"
    rows.loc[6, "carrier"] = "Z9"
    validate(rows, source="data/2013-01.parquet", part=MONTH)


def put(column: str, *values: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def damage(rows: pd.DataFrame) -> pd.DataFrame:
        changed = rows.copy()
        for row, value in enumerate(values, start=7):
            changed.loc[row, column] = value
        return changed

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            put("wind_speed", 1048.0, 201.0, 300.0, 400.0),
            "wind_speed: must be at most 200 miles per hour (4 rows; first: row 7: 1048.0, row 8: 201.0, row 9: 300.0)",
        ),
        (put("wind_speed", -1.0), "wind_speed: must be at least 0 miles per hour (1 row; first: row 7: -1.0)"),
        (put("distance", np.inf), "distance: must be at most 12000 miles (1 row; first: row 7: inf)"),
        (put("distance", np.nan), "distance: must not be missing (1 row; first: row 7: nan)"),
        (put("carrier", None), "carrier: must not be missing (1 row; first: row 7"),
        (put("carrier", "united"), "carrier: must match [A-Z0-9]{2} (1 row; first: row 7: united)"),
        (put("destination", "IAH\n"), "destination: must match [A-Z0-9]{3} (1 row"),
        (put("origin", "SWF"), "origin: must be one of EWR, JFK, LGA (1 row; first: row 7: SWF)"),
        (
            put("scheduled_departure", pd.Timestamp("2013-02-01")),
            "scheduled_departure: must lie in 2013-01 (1 row; first: row 7: 2013-02-01",
        ),
        (lambda rows: rows.drop(columns="humidity"), "humidity: the column is missing"),
        (lambda rows: rows.drop(columns="carrier"), "carrier: the column is missing"),
        (lambda rows: rows.drop(columns="late"), "late: the column is missing"),
        (lambda rows: rows.assign(dep_delay=1), "dep_delay: the column is not in the contract"),
        (
            lambda rows: rows.assign(pressure=rows["pressure"].astype(str)),
            "pressure: must be of type number, is str",
        ),
        (lambda rows: rows.assign(late=1), "late: must be of type boolean, is int64"),
        (
            lambda rows: pd.concat([rows, rows.iloc[[3, 4]]], ignore_index=True),
            "scheduled_departure, carrier, flight_number, origin: must be unique together (2 rows; first: row 3000",
        ),
    ],
)
def test_broken_rule_is_named(rows: pd.DataFrame, damage: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    error = complaint(damage(rows))
    assert error.startswith("data/2013-01.parquet breaks the contract in 1 way:\n")
    assert f"\n  {message}" in error
    assert "dvc checkout" in error


def test_all_broken_rules_are_named_at_once(rows: pd.DataFrame) -> None:
    error = complaint(put("humidity", 101.0)(put("origin", "SWF")(rows)).drop(columns="distance"))
    assert "in 3 ways" in error
    assert all(re.search(f"^  {name}: ", error, re.MULTILINE) for name in ("humidity", "origin", "distance"))


def test_no_rows(rows: pd.DataFrame) -> None:
    assert "has no rows" in complaint(rows.head(0))
