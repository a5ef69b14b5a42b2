"""A table outside of the repository: a CSV or Parquet file, or a query of a database, read with DuckDB."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from lifecycle.shared.console import UserError, first_line
from lifecycle.shared.parts import end_of, first_day, is_fold, kind_of

# Name of the table in SQL expressions.
TABLE = "source"
# SQL of a column that tells rows apart which nothing else does: a hash of the row, and its number among equal rows.
ROW_ID = f"md5({TABLE}::VARCHAR) || '-' || row_number() OVER (PARTITION BY md5({TABLE}::VARCHAR))"

# Rows in memory at a time.
_CHUNK = 50_000
_SETTINGS: dict[str, Any] = {"memory_limit": "1GB", "preserve_insertion_order": False}
# The types of a database's values that stay as they are. Others, such as a UUID or an array, become text.
_KEPT = (bool, int, float, Decimal, str, date, datetime, type(None))


@dataclass(frozen=True)
class Source:
    """A table.

    Attributes:
        location: Path or URL of a CSV or Parquet file, or the URL of a database as SQLAlchemy uses it.
        query: Query of the database.
    """

    location: str
    query: str = ""

    def rows(self, part: str, columns: Mapping[str, str], time: str | None = None) -> Iterator[pd.DataFrame]:
        """Read the rows of a period, or all rows for the number of a batch, a chunk at a time.

        Args:
            part: Period or number of the batch.
            columns: By name of the result's columns, an SQL expression in terms of the table's columns.
            time: Name of the column of the result with the time of the rows; None if the data is not split by time.

        Yields:
            Frames with these columns; none if there is no row.

        Raises:
            UserError: If the table cannot be read, or does not have one of the columns.
        """
        with self.opened() as connection, readable_errors(self.location):
            selected = connection.view(TABLE)
            if time:
                selected = selected.filter(_within(part, columns[time]))
            expressions = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())
            for batch in selected.set_alias(TABLE).project(expressions).to_arrow_reader(_CHUNK):
                yield batch.to_pandas()

    @contextmanager
    def opened(self) -> Iterator[DuckDBPyConnection]:
        """Open a connection in which the table is `source`. It needs little memory, however large the table is.

        Raises:
            UserError: If the table cannot be read.
        """
        if not self.query and Path(self.location).suffix == ".parquet":
            with tempfile.TemporaryDirectory() as folder, _connected(Path(folder) / "empty.duckdb") as connection:
                with readable_errors(self.location):
                    connection.read_parquet(_local(self)).create_view(TABLE)
                yield connection
        else:
            with _connected(_copy(self)) as connection:
                yield connection


@contextmanager
def readable_errors(location: str) -> Iterator[None]:
    """Turn DuckDB's errors about a table into errors for users."""
    try:
        yield
    except (duckdb.Error, OSError, ImportError, ValueError) as error:
        reason = first_line(error)
        if isinstance(error, UnicodeDecodeError) or "not utf-8 encoded" in str(error):
            reason = "it is not encoded in UTF-8, into which `iconv --from latin1 --to utf-8` converts it"
        elif "automatically detect the CSV" in str(error):
            reason = (
                "some rows do not have as many values as the first line, which has to hold the names of the columns"
            )
        raise UserError(f"{location} cannot be read: {reason}.") from error


def _connected(database: Path) -> DuckDBPyConnection:
    """Connect to a database in a file, beside which DuckDB writes what does not fit into memory."""
    return duckdb.connect(database, config=_SETTINGS)


def _local(source: Source) -> str:
    """Return the path of the file, which is downloaded once if it is at a URL."""
    if "://" not in source.location:
        return source.location
    import fsspec

    files, remote = fsspec.core.url_to_fs(source.location)
    path = Path(_folder(source).name) / f"table{Path(remote).suffix}"
    if not path.exists():
        files.get_file(remote, str(path.with_suffix(".new")))
        path.with_suffix(".new").rename(path)
    return str(path)


def _copy(source: Source) -> Path:
    """Return a database with a copy of the table, which is made once, until the process ends.

    The text of a CSV file would be parsed, and the query of a database be run, for each use of the table.
    """
    path = Path(_folder(source).name) / "copy.duckdb"
    if not path.exists():
        new = path.with_suffix(".new")
        with _connected(new) as connection, readable_errors(source.location):
            if source.query:
                _copy_query(source, connection)
            else:
                _read_csv(_local(source), connection).to_table(TABLE)
        new.rename(path)
    return path


def _read_csv(path: str, connection: DuckDBPyConnection) -> DuckDBPyRelation:
    import fsspec

    with fsspec.open(path, "rb", compression="infer") as file:
        first = file.readline().decode("utf-8")
    if not first:
        raise UserError(f"{path} is empty.")
    # Left to itself, DuckDB skips lines until the rest is regular, without a word.
    delimiter = max(",;\t|", key=re.sub(r'"[^"]*"', "", first).count)
    # Types are inferred from all rows, so that they do not depend on the order of the rows.
    return connection.read_csv(path, delimiter=delimiter, header=True, skiprows=0, sample_size=-1)


@cache
def _folder(_: Source) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory()


def _copy_query(source: Source, connection: DuckDBPyConnection) -> None:
    """Copy the result of the query, a chunk of rows at a time."""
    import pyarrow.dataset
    import sqlalchemy as sa

    with tempfile.TemporaryDirectory() as folder:
        schemas = []
        try:
            url = sa.make_url(source.location)
            if url.drivername == "postgresql":
                url = url.set(drivername="postgresql+psycopg")
            engine = sa.create_engine(url, poolclass=sa.NullPool)
            with engine.connect() as database:
                database.execution_options(stream_results=True)
                result = database.execute(sa.text(source.query))
                names = list(result.keys())
                for number, rows in enumerate(result.partitions(_CHUNK)):
                    columns = [[_as_known(value) for value in column] for column in zip(*rows, strict=True)]
                    chunk = pa.table(columns, names=names)
                    pq.write_table(chunk, f"{folder}/{number:08}.parquet")
                    schemas.append(chunk.schema)
            if not schemas:
                raise UserError("the query returns no rows.")
            # A column may have no value in a chunk, so that its type follows from the others.
            schema = pa.unify_schemas(schemas, promote_options="permissive")
        except (sa.exc.SQLAlchemyError, pa.ArrowException, ImportError) as error:
            reason = first_line(error)
            raise UserError(f"the query cannot be read from the database: {reason}") from error
        connection.from_arrow(pyarrow.dataset.dataset(folder, schema)).to_table(TABLE)


def _as_known(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    return value if isinstance(value, _KEPT) else str(value)


def _within(part: str, time: str) -> str:
    """Return the SQL condition that a time lies in a period."""
    if is_fold(part):
        raise UserError(f"{part} is a {kind_of(part)}, not a period.")
    return f"({time}) >= DATE '{first_day(part)}' AND ({time}) < DATE '{end_of(part)}'"
