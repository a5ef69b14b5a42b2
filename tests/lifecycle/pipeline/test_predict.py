import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from lifecycle.pipeline import predict
from lifecycle.shared.console import UserError
from lifecycle.shared.parts import part_files
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import ARROW_SCHEMA, to_columns
from model import contract
from tests.lifecycle.repository import run_with_example

ENDINGS = ("parquet", "csv")


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a trained model where the command looks for it."""
    return Path(shutil.copytree(trained, tmp_path_factory.mktemp("predict") / "trained"))


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor.load(folder / "artifacts/model")


@pytest.fixture(scope="module")
def rows(small: Path) -> pa.Table:
    return pq.read_table(part_files("2013-04", small)[0]).select(ARROW_SCHEMA.names).cast(ARROW_SCHEMA)


def write(table: pa.Table, path: Path) -> Path:
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


def read(path: Path) -> pa.Table:
    if path.suffix == ".csv":
        options = pa.csv.ConvertOptions(column_types=ARROW_SCHEMA, strings_can_be_null=True)
        return pa.csv.read_csv(path, convert_options=options)
    return pq.read_table(path)


def assert_scored(path: Path, rows: pa.Table, predictor: Predictor) -> None:
    """Assert that a file has these rows with the probability and label of the predictor."""
    scored = read(path)
    assert scored.column_names == [*rows.column_names, "probability", "label"]
    assert scored.select(rows.column_names).to_pylist() == rows.to_pylist()
    expected = predictor.predict(to_columns(rows))
    np.testing.assert_allclose(scored.column("probability").to_numpy(), expected, rtol=0, atol=1e-6)
    assert scored.column("label").to_pylist() == (expected >= predictor.metadata["threshold"]).tolist()


def command(folder: Path, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    return run_with_example(sys.executable, "-m", "lifecycle.pipeline.predict", *arguments, folder=folder)


def test_command(folder: Path, rows: pa.Table, predictor: Predictor, tmp_path: Path) -> None:
    source, target = write(rows, tmp_path / "in.csv"), tmp_path / "new/out.parquet"
    completed = command(folder, source, target)
    assert (completed.returncode, completed.stdout) == (0, f"{target}: 3,000 rows\n")
    assert "Traceback" not in completed.stderr
    assert_scored(target, rows, predictor)


@pytest.mark.parametrize("arguments", [[], ["in.csv"], ["in.csv", "out.csv", "more.csv"]])
def test_command_prints_its_usage(folder: Path, arguments: list[str]) -> None:
    completed = command(folder, *arguments)
    assert completed.returncode == 2
    assert completed.stderr.startswith("usage: python -m lifecycle.pipeline.predict [-h] [--model MODEL] IN OUT\n")


def test_command_rejects_invalid_rows(folder: Path, rows: pa.Table, tmp_path: Path) -> None:
    source = write(rows.drop_columns("distance"), tmp_path / "in.csv")
    completed = command(folder, source, tmp_path / "out.csv")
    assert completed.returncode == 1
    assert completed.stderr.startswith("error: ")
    assert "distance: the column is missing" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(("given", "wanted"), list(itertools.product(ENDINGS, ENDINGS)))
def test_any_format_to_any_format(
    rows: pa.Table, predictor: Predictor, tmp_path: Path, given: str, wanted: str
) -> None:
    source, target = write(rows, tmp_path / f"in.{given}"), tmp_path / f"out.{wanted}"
    assert predict.predict(source, target, predictor) == 3_000
    assert_scored(target, rows, predictor)


def test_target_is_optional(rows: pa.Table, predictor: Predictor, tmp_path: Path) -> None:
    rows = rows.drop_columns(contract.TARGET.name)
    predict.predict(write(rows, tmp_path / "in.csv"), tmp_path / "out.csv", predictor)
    assert_scored(tmp_path / "out.csv", rows, predictor)


@pytest.mark.parametrize("given", ENDINGS)
def test_file_of_many_batches(
    rows: pa.Table, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setattr(predict, "BATCH", 1_000)
    scored: list[int] = []
    score = predictor.score

    def counted(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        scored.append(len(matrix))
        return score(matrix)

    monkeypatch.setattr(predictor, "score", counted)
    rows = pa.concat_tables([rows] * 4)  # more than a block of CSV
    source, target = write(rows, tmp_path / f"in.{given}"), tmp_path / "out.parquet"
    assert predict.predict(source, target, predictor) == sum(scored) == 12_000
    assert len(scored) > 1
    assert_scored(target, rows, predictor)


@pytest.mark.parametrize("given", ENDINGS)
def test_file_written_by_pandas(rows: pa.Table, predictor: Predictor, tmp_path: Path, given: str) -> None:
    """Pandas writes integers as 2001.0 if some are missing; the columns are in another order, too."""
    frame = rows.to_pandas()[rows.column_names[::-1]]
    assert str(frame["plane_year"].dtype) == "float64"
    source, target = tmp_path / f"in.{given}", tmp_path / "out.parquet"
    frame.to_csv(source, index=False) if given == "csv" else frame.to_parquet(source)
    predict.predict(source, target, predictor)
    expected = predictor.predict(to_columns(rows))
    scored = pq.read_table(target)
    np.testing.assert_allclose(scored.column("probability").to_numpy(), expected, rtol=0, atol=1e-6)
    assert scored.column("plane_year").cast(pa.int32()).to_pylist() == rows.column("plane_year").to_pylist()


def test_output_is_replaced_even_if_it_is_the_input(rows: pa.Table, predictor: Predictor, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("an earlier one", encoding="utf-8")
    predict.predict(write(rows, tmp_path / "in.csv"), target, predictor)
    assert_scored(target, rows, predictor)
    predict.predict(tmp_path / "in.csv", tmp_path / "in.csv", predictor)
    assert_scored(tmp_path / "in.csv", rows, predictor)


def with_value(rows: pa.Table, name: str, value: Any, row: int = 1234) -> pa.Table:
    """Replace a value in one row; the column gets the type of its new values."""
    values = rows.column(name).to_pylist()
    values[row] = value
    return rows.set_column(rows.column_names.index(name), name, pa.array(values))


def with_text(rows: pa.Table, name: str, value: str) -> pa.Table:
    texts = rows.set_column(rows.column_names.index(name), name, rows.column(name).cast(pa.string()))
    return with_value(texts, name, value)


BAD_ROWS: dict[str, tuple[Callable[[pa.Table], pa.Table], list[str]]] = {
    "missing column": (lambda rows: rows.drop_columns("distance"), ["distance: the column is missing"]),
    "strange column": (
        lambda rows: rows.append_column("note", rows.column("carrier")),
        ["note", "not in the contract"],
    ),
    "too small": (lambda rows: with_value(rows, "distance", -3.0), ["distance", "at least 1 miles", "row 1234: -3"]),
    "too large": (lambda rows: with_value(rows, "flight_number", 10_000), ["flight_number", "9999", "row 1234"]),
    "infinite": (lambda rows: with_value(rows, "wind_speed", float("inf")), ["wind_speed", "200", "row 1234"]),
    "no such category": (lambda rows: with_value(rows, "origin", "SFO"), ["origin", "EWR, JFK, LGA", "row 1234: SFO"]),
    "another pattern": (lambda rows: with_value(rows, "carrier", "ua"), ["carrier", "[A-Z0-9]{2}", "row 1234: ua"]),
    "missing value": (lambda rows: with_value(rows, "distance", None), ["distance", "must not be missing", "row 1234"]),
    "no number": (lambda rows: with_text(rows, "distance", "far"), ["distance", "number"]),
    "no whole number": (lambda rows: with_text(rows, "plane_year", "2001.5"), ["plane_year", "whole number"]),
    "no time": (lambda rows: with_text(rows, "scheduled_departure", "2013-02-30T10:00:00"), ["scheduled_departure"]),
}


@pytest.mark.parametrize("given", ENDINGS)
@pytest.mark.parametrize("bad", BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_rows_are_named_and_nothing_is_written(
    rows: pa.Table, predictor: Predictor, tmp_path: Path, given: str, bad: tuple[Any, list[str]]
) -> None:
    spoil, expected = bad
    source, target = write(spoil(rows), tmp_path / f"in.{given}"), tmp_path / "out.csv"
    target.write_text("an earlier one", encoding="utf-8")
    with pytest.raises(UserError) as raised:
        predict.predict(source, target, predictor)
    assert str(source) in str(raised.value)
    assert [part for part in expected if part not in str(raised.value)] == []
    assert target.read_text(encoding="utf-8") == "an earlier one"
    assert set(tmp_path.iterdir()) == {source, target}


def as_csv(rows: pa.Table, **texts: str) -> str:
    """Write the first row as CSV, with some values replaced by texts."""
    cells = {name: "" if value is None else str(value) for name, value in rows.to_pylist()[0].items()} | texts
    return f"{','.join(cells)}\n{','.join(cells.values())}\n"


@pytest.mark.parametrize(
    "case",
    [
        ("carrier", "NA", "NA"),  # Namibia, or North America: a text as any other
        ("wind_gust", "NA", None),
        ("wind_gust", "nan", None),
        ("wind_gust", "", None),
        ("wind_gust", "1e1", 10.0),
        ("plane_seats", "199.0", 199),
        ("plane_seats", "null", None),
        ("scheduled_departure", "2013-04-01 05:00:00", datetime(2013, 4, 1, 5)),  # noqa: DTZ001 - without a zone
        ("late", "yes", True),
        ("late", "0", False),
        ("late", "FALSE", False),
        ("late", "", None),
    ],
)
def test_csv_as_people_write_it(
    rows: pa.Table, predictor: Predictor, tmp_path: Path, case: tuple[str, str, Any]
) -> None:
    name, text, value = case
    (tmp_path / "in.csv").write_text(as_csv(rows, **{name: text}), encoding="utf-8")
    predict.predict(tmp_path / "in.csv", tmp_path / "out.parquet", predictor)
    assert pq.read_table(tmp_path / "out.parquet").column(name).to_pylist() == [value]


def test_column_that_occurs_twice(rows: pa.Table, predictor: Predictor, tmp_path: Path) -> None:
    text = as_csv(rows).replace("wind_gust", "wind_speed", 1)
    (tmp_path / "in.csv").write_text(text, encoding="utf-8")
    twice = rows.rename_columns(["wind_speed" if name == "wind_gust" else name for name in rows.column_names])
    for source in (tmp_path / "in.csv", write(twice, tmp_path / "in.parquet")):
        with pytest.raises(UserError, match="wind_speed: the column occurs 2 times"):
            predict.predict(source, tmp_path / "out.csv", predictor)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("wanted", ENDINGS)
def test_odd_target_in_a_later_block(rows: pa.Table, predictor: Predictor, tmp_path: Path, wanted: str) -> None:
    """The target is copied, so it has to be one: in all rows of a file, however it is read."""
    many = pa.concat_tables([rows] * 7)
    late = ["yes" if value else "no" for value in many.column("late").to_pylist()]
    late[19_999] = "unknown"
    source = write(many.set_column(many.column_names.index("late"), "late", pa.array(late)), tmp_path / "in.csv")
    with pytest.raises(UserError, match=r"late: must be true or false \(1 row; first: row 19999: 'unknown'\)"):
        predict.predict(source, tmp_path / f"out.{wanted}", predictor)
    assert list(tmp_path.iterdir()) == [source]


def test_invalid_row_of_a_later_batch_has_its_number_in_the_file(
    rows: pa.Table, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "BATCH", 1_000)
    source = write(with_value(rows, "carrier", "ua", row=2_005), tmp_path / "in.parquet")
    with pytest.raises(UserError, match=r"row 2,?005: ua"):
        predict.predict(source, tmp_path / "out.csv", predictor)
    assert list(tmp_path.iterdir()) == [source]


BAD_FILES = {
    "in.csv": [b"", b"\xff\x00\xfe", b"a,b\n1\n", b'"scheduled_departure\n'],
    "in.parquet": [b"", b"PAR1", b"no Parquet"],
}


@pytest.mark.parametrize(
    ("name", "content"), [(name, content) for name, contents in BAD_FILES.items() for content in contents]
)
def test_file_that_cannot_be_read(predictor: Predictor, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        predict.predict(tmp_path / name, tmp_path / "out.csv", predictor)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_truncated_file(rows: pa.Table, predictor: Predictor, tmp_path: Path) -> None:
    source = write(rows, tmp_path / "in.parquet")
    source.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"in\.parquet cannot be read"):
        predict.predict(source, tmp_path / "out.csv", predictor)


@pytest.mark.parametrize("given", ENDINGS)
def test_no_rows(rows: pa.Table, predictor: Predictor, tmp_path: Path, given: str) -> None:
    source = write(rows.slice(0, 0), tmp_path / f"in.{given}")
    with pytest.raises(UserError, match="has no rows"):
        predict.predict(source, tmp_path / "out.csv", predictor)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("missing.csv", "out.csv", r"missing\.csv cannot be read"),
        ("in.xlsx", "out.csv", r"in\.xlsx is neither Parquet nor CSV"),
        ("in.csv", "out.json", r"out\.json is neither Parquet nor CSV"),
        ("in.csv", "out", "out is neither Parquet nor CSV"),
    ],
)
def test_invalid_paths(predictor: Predictor, tmp_path: Path, source: str, target: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        predict.predict(tmp_path / source, tmp_path / target, predictor)
    assert list(tmp_path.iterdir()) == []


def test_times_before_the_range_of_pandas(rows: pa.Table, predictor: Predictor, tmp_path: Path) -> None:
    """The command accepts all times that the service accepts."""
    early = datetime(1, 1, 1)  # noqa: DTZ001 - the contract's times have no zone
    rows = rows.set_column(0, ARROW_SCHEMA.field(0), pa.array([early] * len(rows), pa.timestamp("ms")))
    predict.predict(write(rows, tmp_path / "in.parquet"), tmp_path / "out.parquet", predictor)
    assert_scored(tmp_path / "out.parquet", rows, predictor)
