"""Ingestion, preparation, prediction from files and the service take and refuse the same values."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from lifecycle.pipeline.ingest import ingest
from lifecycle.pipeline.predict import predict
from lifecycle.pipeline.prepare import prepare
from lifecycle.serving.requests import Row
from lifecycle.shared.console import UserError
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.params import Params
from lifecycle.shared.parts import part_files
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import ARROW_SCHEMA
from model import data
from tests.lifecycle.repository import MONTHS

MONTH = MONTHS[0]
INPUTS = [column.name for column in request_columns()]
NOON = datetime(2013, 1, 15, 12)  # noqa: DTZ001 - the contract's times have no zone
VALUES: dict[str, list[tuple[Any, bool]]] = {
    "scheduled_departure": [
        (NOON, True),
        (NOON.replace(microsecond=500_000), False),
        (NOON.replace(microsecond=1), False),
        (NOON.replace(tzinfo=UTC), False),
        (date(2013, 1, 15), False),
        (1_358_251_200_000, False),
        (1_358_251_200, False),
        (1_358_251_200.0, False),
        ("noon", False),
        ("2013-02-30T12:00:00", False),
        (True, False),
        (None, False),
    ],
    "carrier": [
        ("UA", True),
        ("NA", True),
        ("ua", False),
        ("UA\n", False),
        ("", False),
        (7, False),
        (77, False),
        (True, False),
        (NOON, False),
        (None, False),
    ],
    "flight_number": [
        (12, True),
        (12.0, True),
        (12.5, False),
        (0, False),
        (10_000, False),
        (2**40, False),
        (True, False),
        ("far", False),
        (NOON, False),
        (None, False),
    ],
    "distance": [
        (529, True),
        (529.5, True),
        (-1.0, False),
        (1e300, False),
        (True, False),
        ("far", False),
        ("1,000", False),
        (NOON, False),
        (None, False),
    ],
    "plane_seats": [(199, True), (199.0, True), (None, True), (199.5, False), (True, False), ("many", False)],
    "wind_gust": [(20.5, True), (20, True), (None, True), (True, False), ("strong", False)],
}
# `make test` runs a third of the cases.
CASES = [
    pytest.param(name, value, fits, marks=pytest.mark.long if number % 3 else ())
    for name, values in VALUES.items()
    for number, (value, fits) in enumerate(values)
]
Door = Callable[[str, Any], None]


def some_rows(month: str, months: Path) -> pa.Table:
    """Return four rows of a month, with different outcomes."""
    table = pq.read_table(part_files(month, months)[0]).select(ARROW_SCHEMA.names)
    late = table.column("late").to_pylist()
    return table.take([late.index(True), late.index(False), len(table) - 2, len(table) - 1])


def with_first(rows: pa.Table, name: str, value: Any) -> pa.Table:
    """Give the first row another value, or all rows if one column cannot hold it and the others."""
    values = [value, *rows.column(name).to_pylist()[1:]]
    is_other_time = isinstance(value, date) and (name != "scheduled_departure" or not _is_plain(value))
    try:
        column = pa.array([value] * len(rows) if is_other_time or isinstance(value, bool) else values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        column = pa.array([value] * len(rows))
    return rows.set_column(rows.column_names.index(name), name, column)


def _is_plain(value: date) -> bool:
    return isinstance(value, datetime) and value.tzinfo is None


@pytest.fixture
def doors(
    months: Path, trained: Path, params: Callable[..., Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Door]:
    """By name, functions that raise an error if a row with a value in a column does not pass."""
    predictor, settings = Predictor.load(trained / "artifacts/model"), params()
    folder, rows = tmp_path / "data", some_rows(MONTH, months)
    folder.mkdir()
    for month in MONTHS[:3]:
        pq.write_table(some_rows(month, months), part_files(month, folder)[0])

    def by_ingestion(name: str, value: Any) -> None:
        monkeypatch.setattr(data, "fetch", lambda _: with_first(rows, name, value).to_pandas())
        ingest(MONTH, settings.split, tmp_path / "ingested")

    def by_preparation(name: str, value: Any) -> None:
        pq.write_table(with_first(rows, name, value), part_files(MONTH, folder)[0])
        prepare(settings, folder, tmp_path / "prepared")

    def by_parquet(name: str, value: Any) -> None:
        pq.write_table(with_first(rows, name, value), tmp_path / "in.parquet")
        predict(tmp_path / "in.parquet", tmp_path / "out.parquet", predictor)

    def by_csv(name: str, value: Any) -> None:
        texts = pa.array(map(_text, [value, *rows.column(name).to_pylist()[1:]]), pa.string())
        pa.csv.write_csv(rows.set_column(rows.column_names.index(name), name, texts), tmp_path / "in.csv")
        predict(tmp_path / "in.csv", tmp_path / "out.csv", predictor)

    def by_request(name: str, value: Any) -> None:
        row = {column: _json(cell) for column, cell in rows.select(INPUTS).to_pylist()[0].items()}
        msgspec.json.decode(json.dumps(row | {name: _json(value)}), type=Row)

    return {
        "ingestion": by_ingestion,
        "preparation": by_preparation,
        "Parquet": by_parquet,
        "CSV": by_csv,
        "service": by_request,
    }


def _text(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, date) else None if value is None else str(value)


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize(("name", "value", "fits"), CASES)
def test_same_values(doors: dict[str, Door], name: str, value: Any, *, fits: bool) -> None:
    taken = {}
    for door, enter in doors.items():
        try:
            enter(name, value)
            reason = ""
        except (msgspec.ValidationError, UserError) as refused:
            reason = str(refused)
        taken[door] = not reason
        assert not reason or name in reason
    # In CSV the code 77 and the text "77" are the same.
    expected = dict.fromkeys(doors, fits) | ({"CSV": True} if (name, value) == ("carrier", 77) else {})
    assert taken == expected
