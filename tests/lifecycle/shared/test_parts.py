"""Parts of the data: their names, their order, their files, and folds that keep their rows for ever."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.shared.console import UserError
from lifecycle.shared.parts import (
    FOLDS,
    batches,
    end_of,
    first_day,
    fold_of,
    key_texts,
    kind_of,
    later,
    part_exists,
    part_files,
    part_range,
    period_of,
    periods,
    read_part,
    row_count,
)


@pytest.mark.parametrize(
    ("part", "kind", "first", "end"),
    [
        ("2024-02", "month", date(2024, 2, 1), date(2024, 3, 1)),
        ("2024-12", "month", date(2024, 12, 1), date(2025, 1, 1)),
        ("2020-W53", "week", date(2020, 12, 28), date(2021, 1, 4)),
        ("2021-W01", "week", date(2021, 1, 4), date(2021, 1, 11)),
        ("2024-02-29", "day", date(2024, 2, 29), date(2024, 3, 1)),
    ],
)
def test_periods(part: str, kind: str, first: date, end: date) -> None:
    assert (kind_of(part), first_day(part), end_of(part)) == (kind, first, end)
    assert period_of(first, kind) == part


@pytest.mark.parametrize(
    "name",
    ["", "2024", "2024-13", "2024-00", "2024-1", "2024-W54", "2021-W53", "2023-02-29", "fold-00", "fold-21"],
)
def test_what_is_no_part(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        kind_of(name)


def test_order() -> None:
    assert part_range("2023-11", "2024-02") == ["2023-11", "2023-12", "2024-01", "2024-02"]
    assert part_range("2020-W52", "2021-W02") == ["2020-W52", "2020-W53", "2021-W01", "2021-W02"]
    assert part_range("2024-02-28", "2024-03-01") == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert part_range("fold-08", "fold-11") == ["fold-08", "fold-09", "fold-10", "fold-11"]
    assert part_range("2024-02", "2024-01") == []
    assert later("2024-01", -13) == "2022-12"
    assert later("2021-W01", -1) == "2020-W53"
    assert later("fold-03", -2) == "fold-01"
    with pytest.raises(ValueError, match="there is no fold 0; the folds are 1 to 20"):
        later("fold-03", -3)


def test_files(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2, 3]})
    assert (periods(tmp_path), batches(tmp_path)) == ([], [])
    pq.write_table(table, tmp_path / "2024-01.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "2024-02.parquet")
    assert periods(tmp_path) == ["2024-01", "2024-02"]
    assert row_count(periods(tmp_path), tmp_path) == 3
    assert read_part("2024-02", tmp_path).num_rows == 0
    with pytest.raises(UserError, match=r"2024-03.parquet is missing \(available: 2024-01, 2024-02\)\. .*PART=2024-03"):
        read_part("2024-03", tmp_path)
    (tmp_path / "2024-02.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"2024-02.parquet cannot be read as Parquet"):
        row_count(["2024-02"], tmp_path)


def test_folds_consist_of_all_batches(tmp_path: Path) -> None:
    assert not part_exists("fold-01", tmp_path)
    with pytest.raises(UserError, match=r"has no batch of rows\. .*make ingest"):
        read_part("fold-01", tmp_path)
    for batch in ("0002", "0001"):
        (tmp_path / batch).mkdir()
        pq.write_table(pa.table({"batch": [batch]}), tmp_path / batch / "fold-01.parquet")
    (tmp_path / "notes").mkdir()
    assert part_files("fold-01", tmp_path) == [tmp_path / "0001/fold-01.parquet", tmp_path / "0002/fold-01.parquet"]
    assert read_part("fold-01", tmp_path).column("batch").to_pylist() == ["0001", "0002"]
    assert row_count(["fold-01"], tmp_path) == 2
    with pytest.raises(UserError, match=r"0001/fold-02.parquet is missing"):
        row_count(["fold-02"], tmp_path)


def objects(values: list[object]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.array(values, dtype=object)


def test_a_key_keeps_its_fold() -> None:
    """These folds are those of the first version: another hash would move rows from the window into the holdout."""
    names = objects(["a", "b", "Zürich", None])
    assert fold_of(key_texts([names]), salt=0).tolist() == [15, 4, 8, 7]
    numbers = objects([2, 2.0, 2.5, date(2024, 1, 1), True, False])
    folds = fold_of(key_texts([numbers]), salt=0).tolist()
    assert folds[0] == folds[1]  # an integer column that got a missing value
    assert (
        fold_of(key_texts([names, numbers[:4]]), salt=0).tolist()
        != fold_of(key_texts([numbers[:4], names]), salt=0).tolist()
    )


def test_folds_are_even_and_depend_on_the_salt() -> None:
    keys = objects(list(range(40_000)))
    folds = fold_of(key_texts([keys]), salt=1)
    counts = np.bincount(folds, minlength=FOLDS + 1)
    assert counts[0] == 0
    # The standard deviation of a count is 44.
    assert np.abs(counts[1:] - 40_000 / FOLDS).max() < 5 * 44
    other = fold_of(key_texts([keys]), salt=2)
    assert abs((folds == other).mean() - 1 / FOLDS) < 0.01
