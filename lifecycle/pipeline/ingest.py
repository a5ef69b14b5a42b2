"""Add rows to the data: `python -m lifecycle.pipeline.ingest [PART]` fetches and validates them and writes their files.

PART is a period such as 2030-07, or the number of a batch such as 0002; by default the next one.
"""

import argparse
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.shared import console
from lifecycle.shared.columns import Column
from lifecycle.shared.console import UserError
from lifecycle.shared.conversion import to_arrow
from lifecycle.shared.files import replacing_file, replacing_folder
from lifecycle.shared.params import Split, load_params
from lifecycle.shared.parts import DATA, FOLDS, batches, fold_of, kind_of, later, part_files, period_of, periods
from lifecycle.shared.tables import ARROW_SCHEMA
from lifecycle.shared.validation import as_pandas, validate
from model import contract, data

_BATCH = re.compile(r"(?!0000)\d{4}")


class NoRowsError(UserError):
    """Raised if the source has no rows for a part."""


def ingest(part: str, split: Split, folder: Path = DATA) -> bool:
    """Fetch a period or a batch, validate it and write its files. The same rows give the same bytes.

    A batch leaves out the rows that earlier batches have, so that `fetch` may return all rows each time.

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
    rows = data.fetch(part)
    source = f"fetch({part!r})"
    if rows.empty and not _is_gap(part, split, folder):
        raise NoRowsError(f"the source has no rows for {part}; see `fetch` in model/data.py.")
    table = to_arrow(rows, source) if not rows.empty else ARROW_SCHEMA.empty_table()
    if split.by != "time":
        table = _new_rows(table, part, folder)
    if table.num_rows:
        validate(as_pandas(table), source=source, part=part if split.by == "time" else "fold-01")
    # Sorted, so that the file does not depend on the order in which the source returns rows.
    table = table.sort_by([(name, "ascending") for name in contract.IDENTITY])
    if split.by == "time":
        return _write_period(table, part_files(part, folder)[0])
    return _write_batch(table, split, folder / part)


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


def _new_rows(table: pa.Table, part: str, folder: Path) -> pa.Table:
    """Return the rows that no earlier batch has.

    Raises:
        NoRowsError: If there is none.
    """
    keys = list(contract.IDENTITY)
    files = [file for batch in batches(folder) if batch.name < part for file in batch.glob("*.parquet")]
    if files:
        numbered = table.select(keys).append_column("row", pa.array(np.arange(table.num_rows)))
        known = pa.concat_tables([pq.read_table(file, columns=keys) for file in files]).cast(table.select(keys).schema)
        new = numbered.join(known, keys, join_type="left anti", use_threads=False)
        table = table.take(pa.array(np.sort(new.column("row").to_numpy())))
    if not table.num_rows:
        raise NoRowsError("the source has no new rows; see `fetch` in model/data.py.")
    return table


def _write_period(table: pa.Table, path: Path) -> bool:
    with replacing_file(path) as aside:
        _write(table, aside)
        return not path.exists() or path.read_bytes() != aside.read_bytes()


def _write_batch(table: pa.Table, split: Split, path: Path) -> bool:
    before = {file.name: file.read_bytes() for file in path.glob("*.parquet")}
    keys_of_split = fold_key(contract.INPUTS, contract.IDENTITY, contract.GROUP if split.by == "group" else None)
    keys = [np.array(table.column(name).to_pylist(), dtype=object) for name in keys_of_split]
    folds = fold_of(keys, int(split.salt or 0))
    with replacing_folder(path) as aside:
        for fold in range(1, FOLDS + 1):
            _write(table.filter(pa.array(folds == fold)), aside / f"fold-{fold:02}.parquet")
        return before != {file.name: file.read_bytes() for file in aside.glob("*.parquet")}


def _write(table: pa.Table, path: Path) -> None:
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
