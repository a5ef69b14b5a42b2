import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.pipeline import prepare as stage
from lifecycle.pipeline.prepare import prepare
from lifecycle.shared import parts
from lifecycle.shared.console import UserError
from lifecycle.shared.files import require_space
from lifecycle.shared.params import Params
from lifecycle.shared.parts import part_files
from lifecycle.shared.tables import ARROW_SCHEMA, to_columns
from model.features import NAMES, UNSEEN, features
from tests.lifecycle.repository import ROWS

Make = Callable[..., Params]


def test_splits_by_time_and_computes_features(params: Make, small: Path, tmp_path: Path) -> None:
    summary = prepare(params(), small, tmp_path / "out")
    assert summary == "6,000 rows to train on (2013-01 to 2013-02), 3,000 held out (2013-03)"
    train = pq.read_table(tmp_path / "out" / "train.parquet")
    assert train.column_names == [*NAMES, "late"]
    assert train.num_rows == 2 * ROWS
    assert pq.read_table(tmp_path / "out" / "holdout.parquet").equals(
        pq.read_table(part_files("2013-03", small)[0]).cast(ARROW_SCHEMA)
    )
    codes = json.loads((tmp_path / "out" / "codes.json").read_text(encoding="utf-8"))
    january = to_columns(pq.read_table(part_files("2013-01", small)[0]))
    np.testing.assert_array_equal(
        np.column_stack([train.column(name).to_numpy()[:ROWS] for name in NAMES]), features(january, codes)
    )


def test_codes_come_from_the_window_only(params: Make, data: Path, tmp_path: Path) -> None:
    path = part_files("2013-03", data)[0]
    table = pq.read_table(path)
    position = table.column_names.index("destination")
    pq.write_table(table.set_column(position, "destination", pa.array(["XYZ"] * len(table))), path)
    prepare(params(), data, tmp_path / "out")
    codes = json.loads((tmp_path / "out" / "codes.json").read_text(encoding="utf-8"))
    assert "XYZ" not in codes["destination"]
    assert list(codes["destination"]) == sorted(codes["destination"])
    holdout = to_columns(pq.read_table(tmp_path / "out" / "holdout.parquet"))
    assert (features(holdout, codes)[:, NAMES.index("destination")] == UNSEEN).all()


def test_order_of_columns_in_a_file_does_not_matter(params: Make, data: Path, prepared: Path, tmp_path: Path) -> None:
    path = part_files("2013-01", data)[0]
    table = pq.read_table(path)
    pq.write_table(table.select(table.column_names[::-1]), path)
    prepare(params(), data, tmp_path / "out")
    for file in prepared.iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_one_month_at_a_time_is_in_memory(
    params: Make, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[int] = []
    read = parts.read_part

    def counting(part: str, folder: Path) -> pa.Table:
        table = read(part, folder)
        alive.append(pa.total_allocated_bytes())
        return table

    monkeypatch.setattr(stage, "read_part", counting)
    before = pa.total_allocated_bytes()
    longer = params(window={"first": "2013-01", "last": "2013-03"}, holdout={"first": "2013-04", "last": "2013-04"})
    prepare(longer, small, tmp_path / "out")
    month = read("2013-04", small).nbytes
    assert max(alive) - before < 3 * month


def test_failure_leaves_the_last_output(params: Make, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    prepare(params(), data, output)
    before = {p.name: p.read_bytes() for p in output.iterdir()}
    path = part_files("2013-03", data)[0]  # read last, when the training rows are already written aside
    path.write_bytes(path.read_bytes()[:-1_000])
    with pytest.raises(UserError, match="truncated or damaged"):
        prepare(params(), data, output)
    assert {p.name: p.read_bytes() for p in output.iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_too_little_disk_fails_before_anything_is_written(
    params: Make, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_ROOM", 2**60)
    with pytest.raises(UserError, match=r"not enough disk space: about .* MiB are needed and .* MiB are free"):
        prepare(params(), small, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_free_space_for_a_directory_that_does_not_exist_yet(tmp_path: Path) -> None:
    require_space(tmp_path / "a" / "b", 1)
