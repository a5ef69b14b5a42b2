"""Add rows to the data: `python -m lifecycle.pipeline.ingest [PART]` fetches and validates them and writes their files.

PART is a period such as 2030-07, or the number of a batch such as 0002; by default the next one.
"""

import argparse
import re
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from numpy.typing import NDArray

from lifecycle.shared import console
from lifecycle.shared.columns import Column
from lifecycle.shared.console import UserError
from lifecycle.shared.conversion import to_arrow
from lifecycle.shared.files import replacing_file, replacing_folder, sha256
from lifecycle.shared.params import Split, load_params
from lifecycle.shared.parts import (
    DATA,
    FOLDS,
    batches,
    fold_of,
    key_texts,
    kind_of,
    later,
    part_files,
    period_of,
    periods,
)
from lifecycle.shared.tables import ARROW_SCHEMA
from lifecycle.shared.validation import TELL_APART, as_pandas, row_in_words, validate
from model import contract, data

_BATCH = re.compile(r"(?!0000)\d{4}")
# Column with the number of a row's fold; 0 if rows are split by time.
_FOLD = "fold of the row"
# The identity of a row, in SQL.
_KEYS = ", ".join(f'"{name}"' for name in contract.IDENTITY)
_WITH_FOLD = ARROW_SCHEMA.append(pa.field(_FOLD, pa.int8()))


class NoRowsError(UserError):
    """Raised if the source has no rows for a part."""


def ingest(part: str, split: Split, folder: Path = DATA) -> bool:
    """Fetch a period or a batch, validate it and write its files. The same rows give the same bytes.

    A batch leaves out the rows that earlier batches have, so that `fetch` may return all rows each time. If `fetch`
    returns an iterator of frames, one frame is in memory at a time, and then one period or one fold of a batch.

    Args:
        part: Period or number of the batch.
        split: Split of params.yaml.
        folder: Directory of the data.

    Returns:
        Whether a file is new or has changed.

    Raises:
        UserError: If the source does not have the part or its rows violate the contract. Nothing is written then.
    """
    _require_name(part, split)
    with tempfile.TemporaryDirectory() as temporary, duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        fetched = Path(temporary) / "fetched.parquet"
        count = _fetch(part, split, fetched)
        if not count and not _is_gap(part, split, folder):
            raise NoRowsError(f"the source has no rows for {part}; see `fetch` in model/data.py.")
        rows = connection.read_parquet(str(fetched))
        _require_unique(rows, part)
        if split.by == "time":
            return _write_period(rows, part_files(part, folder)[0])
        return _write_batch(_new_rows(rows, connection, part, folder), folder / part)


def next_part(split: Split, folder: Path = DATA) -> str:
    """Return the part after the newest one."""
    if split.by != "time":
        return f"{int(existing[-1].name) + 1:04}" if (existing := batches(folder)) else "0001"
    known = periods(folder)
    return later(known[-1], 1) if known else period_of(datetime.now(UTC).date(), str(split.period))


def fold_key(columns: Sequence[Column], identity: Sequence[str], group: str | None) -> list[str]:
    """Return the columns whose values decide which fold a row is in.

    Args:
        columns: Input columns.
        identity: Columns that tell rows apart.
        group: Column of the group; None for a split by row. By row, the key is the identity, if clients send it; else
            all inputs, so that rows with the same inputs are together.
    """
    if group is not None:
        return [group]
    roles = {column.name: column.role for column in columns}
    if all(roles[name] != "ignored" for name in identity):
        return list(identity)
    return [name for name, role in roles.items() if role != "ignored"]


def _require_name(part: str, split: Split) -> None:
    if split.by != "time":
        if not _BATCH.fullmatch(part):
            raise UserError(f"{part!r} is not the number of a batch. Write four digits, such as 0002.")
        return
    try:
        fits = kind_of(part) == split.period
    except ValueError:
        fits = False
    if not fits:
        example = period_of(datetime(2030, 7, 1, tzinfo=UTC).date(), str(split.period))
        raise UserError(f"{part!r} is not a {split.period}. Write it like {example}.")


def _is_gap(part: str, split: Split, folder: Path) -> bool:
    """Return whether a period lies among those that have a file; a window may hold it although it has no rows."""
    known = periods(folder)
    return split.by == "time" and bool(known) and known[0] < part < known[-1]


def _fetch(part: str, split: Split, path: Path) -> int:
    """Fetch and validate the rows of a part, and write them to a file, with the number of their fold.

    Returns:
        Number of rows.
    """
    fetched = data.fetch(part)
    rows = 0
    with pq.ParquetWriter(path, _WITH_FOLD) as writer:
        for chunk in [fetched] if isinstance(fetched, pd.DataFrame) else fetched:
            if chunk.empty:
                continue
            source = f"fetch({part!r})" + (f", from row {rows:,}" if rows else "")
            table = to_arrow(chunk, source)
            validate(as_pandas(table), source=source, part=part if split.by == "time" else None)
            writer.write_table(table.append_column(_WITH_FOLD.field(_FOLD), pa.array(_folds(table, split), pa.int8())))
            rows += len(table)
    return rows


def _folds(table: pa.Table, split: Split) -> NDArray[np.intp]:
    if split.by == "time":
        return np.zeros(len(table), dtype=np.intp)
    keys = fold_key(contract.INPUTS, contract.IDENTITY, contract.GROUP if split.by == "group" else None)
    return fold_of(key_texts([table.column(name).to_pylist() for name in keys]), int(split.salt or 0))


def _require_unique(rows: DuckDBPyRelation, part: str) -> None:
    """Fail if rows of several chunks have the same identity; within a chunk, validation has compared them."""
    repeated = rows.aggregate(f"{_KEYS}, count(*) AS count", _KEYS).filter("count > 1")
    first = repeated.limit(1).fetchall()
    if first:
        *values, _ = first[0]
        (more,) = repeated.aggregate("sum(count - 1)").fetchall()[0]
        raise UserError(
            f"fetch({part!r}) returns {more:,} row{'s' if more > 1 else ''} more than once. The first: "
            f"{row_in_words(values)}. {TELL_APART}"
        )


def _new_rows(rows: DuckDBPyRelation, connection: DuckDBPyConnection, part: str, folder: Path) -> DuckDBPyRelation:
    """Return the rows that no earlier batch has.

    Raises:
        NoRowsError: If there is none.
    """
    files = [str(file) for batch in batches(folder) if batch.name < part for file in batch.glob("*.parquet")]
    if files:
        rows.create_view("fetched")
        connection.read_parquet(files).create_view("known")
        rows = connection.query(f"SELECT fetched.* FROM fetched ANTI JOIN known USING ({_KEYS})")  # noqa: S608 - from the contract
    if not rows.limit(1).fetchall():
        raise NoRowsError("the source has no new rows; see `fetch` in model/data.py.")
    return rows


def _write_period(rows: DuckDBPyRelation, path: Path) -> bool:
    with replacing_file(path) as aside:
        _write(rows, aside)
        return not path.exists() or sha256(path) != sha256(aside)


def _write_batch(rows: DuckDBPyRelation, path: Path) -> bool:
    before = {file.name: sha256(file) for file in path.glob("*.parquet")}
    with replacing_folder(path) as aside:
        for fold in range(1, FOLDS + 1):
            _write(rows.filter(f'"{_FOLD}" = {fold}'), aside / f"fold-{fold:02}.parquet")
        return before != {file.name: sha256(file) for file in aside.glob("*.parquet")}


def _write(rows: DuckDBPyRelation, path: Path) -> None:
    table = rows.select(*(f'"{name}"' for name in ARROW_SCHEMA.names)).to_arrow_table().cast(ARROW_SCHEMA)
    # Sorted, so that the file does not depend on the order in which the source returns rows.
    table = table.sort_by([(name, "ascending") for name in contract.IDENTITY])
    pq.write_table(table.replace_schema_metadata(), path, compression="zstd", compression_level=19)


def main() -> None:
    """Ingest a part, and print whether its files changed."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.pipeline.ingest", description=__doc__)
    parser.add_argument("part", nargs="?", help="period or number of the batch; default: the next one")
    split = load_params().split
    part = parser.parse_args().part or next_part(split)
    changed = ingest(part, split)
    place = part_files(part)[0] if split.by == "time" else DATA / part
    if changed:
        files = [place] if place.is_file() else sorted(place.glob("*.parquet"))
        print(f"{place}: {sum(pq.read_metadata(file).num_rows for file in files):,} rows. Run `make` to use them.")
    else:
        print(f"{place} is up to date.")


if __name__ == "__main__":
    console.run_main(main)
