import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from lifecycle.pipeline import ingest
from lifecycle.shared.console import UserError
from lifecycle.shared.parts import part_files
from model import contract, data
from tests.lifecycle.repository import MONTHLY, MONTHS, ROOT

# Columns of the source that are filled in only after the departure or cancellation of a flight.
AFTERWARDS = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]


def test_same_file_as_the_versioned_one(months: Path) -> None:
    """Ingesting gives the same bytes as the versioned files, which another machine wrote."""
    out = yaml.safe_load((ROOT / "data.dvc").read_text(encoding="utf-8"))["outs"][0]["md5"]
    listing = json.loads((ROOT / ".dvc/remote/files/md5" / out[:2] / out[2:]).read_text(encoding="utf-8"))
    versioned = {entry["relpath"]: entry["md5"] for entry in listing}
    for month in MONTHS:
        path = part_files(month, months)[0]
        assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == versioned[path.name]


@pytest.fixture(scope="module")
def january() -> pd.DataFrame:
    """The rows of the source for January; tests must not change them."""
    return data.fetch("2013-01")


# The last month is the one that differs most from the others.
@pytest.mark.parametrize(
    "month", [*(pytest.param(f"2013-{n:02}", marks=pytest.mark.long) for n in range(5, 12)), "2013-12"]
)
def test_every_month_of_the_year_fits_the_contract(tmp_path: Path, month: str) -> None:
    assert ingest.ingest(month, MONTHLY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{month}.parquet"]


def test_ingest_again_changes_nothing(months: Path) -> None:
    path = part_files("2013-01", months)[0]
    before = path.read_bytes()
    assert ingest.ingest("2013-01", MONTHLY, months) is False
    assert path.read_bytes() == before


def test_order_of_the_source_does_not_matter(
    months: Path, january: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "fetch", lambda _month: january.sample(frac=1, random_state=1))
    ingest.ingest("2013-01", MONTHLY, tmp_path)
    assert part_files("2013-01", tmp_path)[0].read_bytes() == part_files("2013-01", months)[0].read_bytes()


def test_target_counts_cancelled_and_diverted_flights(january: pd.DataFrame) -> None:
    flights = data._flights()
    source = flights[flights["month"] == 1]
    assert len(january) == len(source) == 27_004
    late, not_arrived = (source["arr_delay"] > 15).sum(), source["arr_delay"].isna().sum()
    assert not_arrived > 0
    assert january["late"].sum() == late + not_arrived


def test_no_input_depends_on_what_is_known_after_departure(monkeypatch: pytest.MonkeyPatch) -> None:
    before = data.fetch("2013-02")
    table = data._table

    def shuffled(name: str) -> pd.DataFrame:
        rows = table(name).copy()
        if name == "flights.csv.zip":
            random = np.random.default_rng(0)
            for column in AFTERWARDS:
                rows[column] = random.permutation(rows[column].to_numpy())
        return rows

    monkeypatch.setattr(data, "_table", shuffled)
    after = data.fetch("2013-02")
    inputs = [c.name for c in contract.INPUTS]
    pd.testing.assert_frame_equal(before[inputs], after[inputs])
    assert not before["late"].equals(after["late"])


def test_missing_plane_does_not_reveal_a_cancellation() -> None:
    """The source lacks the plane of a third of the cancelled flights, and of no other flight."""
    flights = data._flights()
    cancelled = flights["dep_time"].isna()
    rows = flights.merge(data._planes(), on="tailnum", how="left")
    for carrier in ("UA", "EV", "B6", "9E", "US"):
        of_carrier = (rows["carrier"] == carrier).to_numpy()
        missing = rows["plane_seats"].isna().to_numpy()
        gap = missing[of_carrier & cancelled.to_numpy()].mean() - missing[of_carrier & ~cancelled.to_numpy()].mean()
        assert abs(gap) < 0.02, carrier


@pytest.mark.parametrize("month", ["2013-13", "2013-1", "January", "2013-01-01", "../2013-01"])
def test_invalid_month(month: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(repr(month))):
        ingest.ingest(month, MONTHLY, tmp_path)


def test_month_that_the_source_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no rows for 2014-01"):
        ingest.ingest("2014-01", MONTHLY, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rows: rows.assign(humidity=rows["humidity"] * 10), "humidity: must be at most 100 percent"),
        (lambda rows: rows.drop(columns="distance"), "distance: the column is missing"),
        (lambda rows: rows.assign(distance="far"), "distance: must be a number (27,004 rows; first: row 0: 'far'"),
        (lambda rows: pd.concat([rows, rows.head(2)]), "must be unique together (2 rows"),
    ],
)
def test_bad_rows_are_not_written(
    damage: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
    january: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data, "fetch", lambda _month: damage(january))
    with pytest.raises(UserError, match=re.escape(message)):
        ingest.ingest("2013-01", MONTHLY, tmp_path)
    assert not list(tmp_path.iterdir())
