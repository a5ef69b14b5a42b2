"""The prediction log, read into DuckDB: from a SQLite or PostgreSQL database, or Parquet files wherever fsspec goes.

It is read once, in columns, and goes into files beside: however many rows there are, memory stays bounded.
Parquet files have the columns of the tables in `prediction_log.py`, and lie in folders that are called as these.
"""

import json
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa
from adbc_driver_manager import Error as AdbcError
from duckdb import ColumnExpression, ConstantExpression, DuckDBPyConnection, DuckDBPyRelation

from lifecycle.pipeline import stage
from lifecycle.serving.prediction_log import FEEDBACK, PREDICTIONS, REFUSALS, create_log_engine
from lifecycle.shared.clusters import cluster_sql
from lifecycle.shared.console import UserError
from model import contract

# How a column of groups of clusters begins, before the unit of the clusters.
CLUSTERED = "group by "
_MEMORY = "512MB"
_INPUTS = json.dumps({column.name: column.forms.duckdb for column in contract.INPUTS})
_PREDICTION = ("id", "time", "model_version", "inputs", "probability")
_DATABASES = ("sqlite", "postgresql")
_SKEW = 300  # seconds by which a clock may be ahead

# The first moment, the first one after, and the first that nobody can have seen.
_Period = tuple[float, float, float]


@dataclass(frozen=True)
class Log:
    """The predictions of a period, and what is known of their outcomes.

    Attributes:
        since: The first moment of the period.
        until: The first one after it.
        predictions: The columns of the contract, `probability`, `time` and `model_version`.
        outcomes: `probability`, `time`, `model_version`, `outcome` and the time when that was `reported`; of those
            predictions alone for which it was. For each unit of clusters that the contract names, the group of the row.
        refusals: `model_version`, `field`, `error` and number of the `requests` that broke the contract.
        elsewhere: How many outcomes were reported in the period of predictions that are not in it: earlier ones, or
            such as the log does not know.
        ahead: How many predictions are of the future, by the clock of this machine.
    """

    since: datetime
    until: datetime
    predictions: DuckDBPyRelation
    outcomes: DuckDBPyRelation
    refusals: DuckDBPyRelation
    elsewhere: int
    ahead: int

    def of(self, version: str) -> "Log":
        """What it has of one version of the model."""
        mine = ColumnExpression("model_version") == ConstantExpression(version)
        parts = {name: getattr(self, name).filter(mine) for name in ("predictions", "outcomes", "refusals")}
        return replace(self, **parts)

    def of_day(self, day: date) -> "Log":
        """The predictions of a day, in UTC."""
        since = datetime.combine(day, datetime.min.time(), UTC)
        until = since + timedelta(days=1)
        within = self.predictions.filter(f"time >= {since.timestamp()!r} AND time < {until.timestamp()!r}")
        return replace(self, since=since, until=until, predictions=within)

    def sample(self, rows: int) -> DuckDBPyRelation:
        """Some of the predictions, always the same."""
        return self.predictions.order("hash(time, probability)").limit(rows)


@contextmanager
def open_log(url: str, since: datetime, until: datetime) -> Iterator[Log]:
    """Read a period of a prediction log.

    Args:
        url: Of a database, as the service has it; or of a folder with Parquet files, as fsspec has it.
        since: Its first moment.
        until: The first moment after it.

    Raises:
        UserError: Where the log cannot be read.
    """
    threads = stage.cores()
    settings: dict[str, Any] = {"memory_limit": _MEMORY, "threads": threads, "preserve_insertion_order": False}
    period = since.timestamp(), until.timestamp(), time.time() + _SKEW
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        connection = stack.enter_context(duckdb.connect(Path(folder) / "log.duckdb", config=settings))
        with _errors_for_people():
            if _is_database(url):
                _connect_database(connection, url, period, stack)
            else:
                _connect_files(connection, url, period)
            log = _read(connection, Path(folder), since, until, period[-1])
        yield log


def outcomes_since(url: str, since: datetime) -> int:
    """How many outcomes were reported since a moment.

    Raises:
        UserError: Where the log cannot be read.
    """
    with _errors_for_people():
        if _is_database(url):
            engine = create_log_engine(url)
            with engine.connect() as connection:
                known = sa.select(sa.func.count()).select_from(FEEDBACK).where(FEEDBACK.c.time >= since.timestamp())
                there = sa.inspect(connection).has_table(FEEDBACK.name)
                return int(connection.execute(known).scalar_one()) if there else 0
        with duckdb.connect() as files:
            _connect_files(files, url, (since.timestamp(), math.inf, math.inf))
            return int(files.view("reported").aggregate("count(*)").fetchall()[0][0])


@contextmanager
def _errors_for_people() -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, AdbcError, sa.exc.SQLAlchemyError, OSError, ImportError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"the prediction log cannot be read: {reason}") from error


def _is_database(url: str) -> bool:
    return url.partition(":")[0].partition("+")[0] in _DATABASES


def _connect_database(connection: DuckDBPyConnection, url: str, period: _Period, stack: ExitStack) -> None:
    """Have the rows of a database as `logged`, `reported` and `refused`, streamed in columns."""
    engine = create_log_engine(url)
    with engine.connect() as checked:  # tells better than what reads columns why there is no way
        there = [sa.inspect(checked).has_table(table.name) for table in (PREDICTIONS, FEEDBACK, REFUSALS)]
    engine.dispose()
    first, after, ahead = period
    columns, moment = [PREDICTIONS.c[name] for name in _PREDICTION], PREDICTIONS.c.time
    asked: dict[str, sa.Select[Any]] = {
        "logged": sa.select(*columns).where(moment >= first, sa.or_(moment < after, moment >= ahead)),
        "reported": sa.select(FEEDBACK).where(FEEDBACK.c.time >= first),
        "refused": sa.select(REFUSALS).where(REFUSALS.c.time >= first, REFUSALS.c.time < after),
    }
    for (name, question), exists in zip(asked.items(), there, strict=True):
        if not exists:
            _nothing(connection, name)
            continue
        cursor: Any = stack.enter_context(stack.enter_context(_columns_of(engine)).cursor())
        cursor.execute(str(question.compile(engine, compile_kwargs={"literal_binds": True})))
        connection.register(name, cursor.fetch_record_batch())


def _columns_of(engine: sa.Engine) -> Any:
    """A connection to a database that gives its rows in columns."""
    if engine.dialect.name == "sqlite":
        import adbc_driver_sqlite.dbapi

        return adbc_driver_sqlite.dbapi.connect(engine.url.database)
    import adbc_driver_postgresql.dbapi

    address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return adbc_driver_postgresql.dbapi.connect(address)


def _connect_files(connection: DuckDBPyConnection, url: str, period: _Period) -> None:
    """Have the rows of Parquet files as `logged`, `reported` and `refused`."""
    import fsspec

    files, folder = fsspec.core.url_to_fs(url)
    if not files.isdir(folder):
        raise UserError(f"there is no prediction log at {url}: it is no folder, and no URL of a database.")
    if "://" in url:
        connection.register_filesystem(files)
    first, after, ahead = (f"'{moment}'::DOUBLE" for moment in period)
    rows = {
        "logged": f"time >= {first} AND (time < {after} OR time >= {ahead})",
        "reported": f"time >= {first}",
        "refused": f"time >= {first} AND time < {after}",
    }
    for name, place in (("logged", "predictions"), ("reported", "feedback"), ("refused", "refusals")):
        found = sorted(files.glob(f"{folder}/{place}/*.parquet"))
        if "://" in url:
            found = [files.unstrip_protocol(file) for file in found]
        if found:
            connection.read_parquet(found).filter(rows[name]).create_view(name)
        else:
            _nothing(connection, name)


def _nothing(connection: DuckDBPyConnection, name: str) -> None:
    """Have no rows."""
    kinds = {"time": "DOUBLE", "probability": "DOUBLE", "outcome": "BOOLEAN", "requests": "INTEGER"}
    columns = {"logged": _PREDICTION, "reported": FEEDBACK.c.keys(), "refused": REFUSALS.c.keys()}[name]
    shown = ", ".join(f"NULL::{kinds.get(column, 'VARCHAR')} AS {column}" for column in columns)
    connection.query(f"SELECT {shown} LIMIT 0").create_view(name)


def _read(connection: DuckDBPyConnection, folder: Path, since: datetime, until: datetime, future: float) -> Log:
    """Read `logged`, `reported` and `refused`, each once; what is large goes into the folder."""
    after = until.timestamp()
    inputs = ", ".join(f'inputs."{column.name}" AS "{column.name}"' for column in contract.INPUTS)
    kept = "hash(id) AS key, time, model_version, probability"
    parsed = connection.view("logged").project(f"* REPLACE (from_json(inputs, '{_INPUTS}') AS inputs)")
    # Written faster than a table, and read as fast.
    file = str(folder / "predictions.parquet")
    parsed.project(f"{kept}, {inputs}").write_parquet(file, compression="lz4")
    everything = connection.read_parquet(file)
    (ahead,) = everything.filter(f"time >= {future!r}").aggregate("count(*)").fetchall()[0]
    predictions = everything.filter(f"time < {after!r}")
    # A hash of an id takes a fifth of its room; that two of them are the same will not happen.
    reported = "hash(prediction_id) AS key, time AS reported, outcome::BOOLEAN AS outcome"
    clusters = "".join(f', {sql} AS "{CLUSTERED}{unit}"' for unit, sql in cluster_sql("key").items())
    asked = predictions.project(f"key, time, model_version, probability{clusters}")
    connection.view("reported").project(reported).join(asked, "key", "left").to_table("matched")
    matched = connection.table("matched")
    unknown = matched.filter(f"time IS NULL AND reported < {after!r}")
    (elsewhere,) = unknown.aggregate("count(*)").fetchall()[0]
    outcomes = matched.filter("time IS NOT NULL")
    connection.view("refused").to_table("refusals")
    return Log(since, until, predictions, outcomes, connection.table("refusals"), int(elsewhere), int(ahead))
