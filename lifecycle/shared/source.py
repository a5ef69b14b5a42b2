"""A table outside of the repository: a CSV or Parquet file, or a query of a database, read with DuckDB."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from lifecycle.shared.console import UserError
from lifecycle.shared.parts import end_of, first_day, is_fold, kind_of

# Rows that are read from a database at a time.
_CHUNK = 100_000
# Name of the table in SQL expressions.
TABLE = "source"
# SQL of a column that tells rows apart which nothing else does: a hash of the row, and its number among equal rows.
ROW_ID = f"md5({TABLE}::VARCHAR) || '-' || row_number() OVER (PARTITION BY md5({TABLE}::VARCHAR))"


@dataclass(frozen=True)
class Source:
    """A table.

    Attributes:
        location: Path or URL of a CSV or Parquet file, or the URL of a database as SQLAlchemy uses it.
        query: Query of the database.
    """

    location: str
    query: str = ""

    def rows(self, part: str, columns: Mapping[str, str], time: str | None = None) -> pd.DataFrame:
        """Return the rows of a period, or all rows for the number of a batch.

        Args:
            part: Period or number of the batch.
            columns: By name of the result's columns, an SQL expression in terms of the table's columns.
            time: Name of the column of the result with the time of the rows; None if the data is not split by time.

        Raises:
            UserError: If the table cannot be read, or does not have one of the columns.
        """
        with self.opened() as connection:
            selected = connection.view(TABLE)
            with readable_errors(self.location):
                if time:
                    selected = selected.filter(_within(part, columns[time]))
                expressions = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())
                frame: pd.DataFrame = selected.set_alias(TABLE).project(expressions).df()
                return frame

    @contextmanager
    def opened(self, database: Path | str = ":memory:") -> Iterator[DuckDBPyConnection]:
        """Open a connection in which the table is `source`.

        Args:
            database: File of the connection's database, for what does not fit into memory.

        Raises:
            UserError: If the table cannot be read.
        """
        with duckdb.connect(database, config={"preserve_insertion_order": False}) as connection:
            if self.query:
                self._copy(connection)
            else:
                with readable_errors(self.location):
                    self._file(connection).create_view(TABLE)
            yield connection

    def _file(self, connection: DuckDBPyConnection) -> DuckDBPyRelation:
        if Path(self.location).suffix == ".parquet":
            return connection.read_parquet(self.location)
        # Types are inferred from all rows, so that they do not depend on the order of the rows.
        return connection.read_csv(self.location, sample_size=-1)

    def _copy(self, connection: DuckDBPyConnection) -> None:
        """Copy the result of the query, a chunk of rows at a time."""
        import sqlalchemy as sa

        try:
            engine = sa.create_engine(self.location)
            with engine.connect().execution_options(stream_results=True) as rows:
                for number, chunk in enumerate(pd.read_sql(sa.text(self.query), rows, chunksize=_CHUNK)):
                    connection.register("chunk", chunk)
                    connection.execute(
                        "INSERT INTO copied FROM chunk" if number else "CREATE TABLE copied AS FROM chunk"
                    )
            connection.table("copied").create_view(TABLE)
        except (sa.exc.SQLAlchemyError, duckdb.Error, ImportError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"the query cannot be read from the database: {reason}") from error


@contextmanager
def readable_errors(location: str) -> Iterator[None]:
    """Turn DuckDB's errors about a table into errors for users."""
    try:
        yield
    except duckdb.Error as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{location} cannot be read: {reason}") from error


def _within(part: str, time: str) -> str:
    """Return the SQL condition that a time lies in a period."""
    if is_fold(part):
        raise UserError(f"{part} is a {kind_of(part)}, not a period.")
    return f"({time}) >= DATE '{first_day(part)}' AND ({time}) < DATE '{end_of(part)}'"
