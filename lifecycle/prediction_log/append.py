"""Write to a prediction log without the service: to its database, or to Parquet files in its directory."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from lifecycle.prediction_log.database import (
    Record,
    create_log_engine,
    create_tables,
    is_database,
    rows_by_table,
    write_records,
)
from lifecycle.shared.console import UserError, first_line

_ARROW: dict[type, pa.DataType] = {str: pa.string(), float: pa.float64(), bool: pa.bool_(), int: pa.int64()}


def append_records(url: str, name: str, batches: Iterable[Sequence[Record]]) -> None:
    """Write records to a log: all of them, or none. Records that are already there are not written again.

    Args:
        url: URL of a database, as the service uses it, or of a directory, as fsspec uses it.
        name: Name for the files in a directory. Files with the same name are replaced.
        batches: The records.

    Raises:
        UserError: If the log cannot be written.
    """
    try:
        if is_database(url):
            engine = create_log_engine(url)
            with engine.begin() as connection:
                create_tables(connection)
                for batch in batches:
                    write_records(connection, batch)
            engine.dispose()
        else:
            _append_files(url, name, batches)
    except (sa.exc.SQLAlchemyError, OSError, ImportError, ValueError) as error:
        reason = first_line(error)
        raise UserError(f"nothing was written: the prediction log does not accept records: {reason}") from error


def _append_files(url: str, name: str, batches: Iterable[Sequence[Record]]) -> None:
    """Write a Parquet file for each table that has records, in the directory of the table."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}
        for batch in batches:
            for table, rows in rows_by_table(batch).items():
                schema = pa.schema([pa.field(column.name, _ARROW[column.type.python_type]) for column in table.c])
                path = Path(folder, table.name)
                if table.name not in writers:
                    writers[table.name] = stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
                writers[table.name].write_table(pa.Table.from_pylist(rows, schema))
        for table_name, writer in writers.items():
            writer.close()
            upload(Path(folder, table_name), f"{url}/{table_name}/{name}.parquet")


def upload(path: Path, url: str) -> None:
    """Copy a file to where fsspec writes; a reader sees the whole file or none."""
    import fsspec

    files, target = fsspec.core.url_to_fs(url)
    files.makedirs(files._parent(target), exist_ok=True)  # noqa: SLF001 - fsspec documents it for its subclasses
    with files.transaction, path.open("rb") as source, files.open(target, "wb") as copy:
        shutil.copyfileobj(source, copy)
