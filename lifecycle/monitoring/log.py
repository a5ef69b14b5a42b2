"""Read the prediction log into DuckDB: from a SQLite or PostgreSQL database, or from Parquet files by fsspec.

The log is read once, by columns, into temporary files, so that memory stays bounded for any number of rows. Parquet
files have the columns of the tables in `prediction_log/database.py`, in directories with the names of the tables.
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
from urllib.parse import quote

import duckdb
import sqlalchemy as sa
from adbc_driver_manager import Error as AdbcError
from duckdb import ColumnExpression, ConstantExpression, DuckDBPyConnection, DuckDBPyRelation

from lifecycle.pipeline import stage
from lifecycle.prediction_log.database import FEEDBACK, PREDICTIONS, REFUSALS, create_log_engine, is_database
from lifecycle.shared.addresses import libpq_uri
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.clusters import cluster_sql, group_sql
from lifecycle.shared.columns import TYPES
from lifecycle.shared.console import UserError, first_line
from lifecycle.shared.inputs import request_columns
from model import contract

# Prefix of the names of cluster columns; the unit of the clusters follows.
CLUSTERED = "group by "
_MEMORY = "512MB"
_INPUTS = json.dumps({column.name: column.forms.duckdb for column in request_columns()})
_PREDICTION = ("id", "time", "model_version", "inputs", TASK.output)
_SKEW = 300  # seconds that the clock of the service may be ahead

# Start, end and the earliest time that lies in the future, as timestamps.
_Period = tuple[float, float, float]


@dataclass(frozen=True)
class Log:
    """The predictions of a period and their known outcomes.

    Attributes:
        since: Start of the period.
        until: End of the period, exclusive.
        predictions: Predictions, with the columns of the contract, `prediction`, `time` and `model_version`.
        outcomes: Predictions with a known outcome, with the columns `prediction`, `time`, `model_version`, `outcome`,
            the time when it was `reported`, and the row's group for each unit of clusters that the contract names.
        refusals: Invalid requests: `model_version`, `field`, `error` and the number of `requests`.
        elsewhere: Number of outcomes reported in the period for predictions outside of it, or not in the log.
        ahead: Number of predictions with a time in the future, by the clock of this machine.
    """

    since: datetime
    until: datetime
    predictions: DuckDBPyRelation
    outcomes: DuckDBPyRelation
    refusals: DuckDBPyRelation
    elsewhere: int
    ahead: int

    @property
    def day(self) -> str:
        """The SQL expression of the day of a prediction, counted from the start of the period."""
        return f"floor((time - {self.since.timestamp()!r}) / 86400)"

    def of(self, version: str) -> "Log":
        """Return the part of the log that belongs to one version of the model."""
        of_version = ColumnExpression("model_version") == ConstantExpression(version)
        parts = {name: getattr(self, name).filter(of_version) for name in ("predictions", "outcomes", "refusals")}
        return replace(self, **parts)

    def of_day(self, day: date) -> "Log":
        """Return the part of the log with the predictions of a day, in UTC."""
        since = datetime.combine(day, datetime.min.time(), UTC)
        until = since + timedelta(days=1)
        within = self.predictions.filter(f"time >= {since.timestamp()!r} AND time < {until.timestamp()!r}")
        return replace(self, since=since, until=until, predictions=within)

    def sample(self, rows: int) -> DuckDBPyRelation:
        """Return some of the predictions, always the same ones."""
        return self.predictions.order("hash(time, prediction)").limit(rows)


@contextmanager
def open_log(url: str, since: datetime, until: datetime) -> Iterator[Log]:
    """Read a period of a prediction log.

    Args:
        url: URL of a database, as the service uses it, or of a directory with Parquet files, as fsspec uses it.
        since: Start of the period.
        until: End of the period, exclusive.

    Raises:
        UserError: If the log cannot be read.
    """
    threads = stage.cores()
    settings: dict[str, Any] = {"memory_limit": _MEMORY, "threads": threads, "preserve_insertion_order": False}
    period = since.timestamp(), until.timestamp(), time.time() + _SKEW
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        connection = stack.enter_context(duckdb.connect(Path(folder) / "log.duckdb", config=settings))
        with _errors_for_people(url):
            if is_database(url):
                _connect_database(connection, url, period, stack)
            else:
                _connect_files(connection, url, period)
            log = _read(connection, Path(folder), since, until, period[-1])
        yield log


def outcomes_since(url: str, since: datetime) -> int:
    """Return the number of outcomes reported since a time.

    Raises:
        UserError: If the log cannot be read.
    """
    with _errors_for_people(url):
        if is_database(url):
            engine = _existing(url)
            with engine.connect() as connection:
                count = sa.select(sa.func.count()).select_from(FEEDBACK).where(FEEDBACK.c.time >= since.timestamp())
                exists = sa.inspect(connection).has_table(FEEDBACK.name)
                reported = int(connection.execute(count).scalar_one()) if exists else 0
            engine.dispose()
            return reported
        with duckdb.connect() as files:
            _connect_files(files, url, (since.timestamp(), math.inf, math.inf))
            return int(files.view("reported").aggregate("count(*)").fetchall()[0][0])


def time_of(url: str, prediction: str) -> datetime | None:
    """Return the time of a prediction by its id; None if the log does not have it.

    Raises:
        UserError: If the log cannot be read.
    """
    with _errors_for_people(url):
        if is_database(url):
            engine = _existing(url)
            with engine.connect() as connection:
                exists = sa.inspect(connection).has_table(PREDICTIONS.name)
                query = sa.select(PREDICTIONS.c.time).where(PREDICTIONS.c.id == prediction)
                times = list(connection.execute(query).scalars()) if exists else []
            engine.dispose()
        else:
            with duckdb.connect() as files:
                _connect_files(files, url, (-math.inf, math.inf, math.inf))
                rows = files.view("logged").filter(ColumnExpression("id") == ConstantExpression(prediction))
                times = [time for (time,) in rows.project("time").fetchall()]
    return datetime.fromtimestamp(times[0], UTC) if times else None


@contextmanager
def _errors_for_people(url: str) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, AdbcError, sa.exc.SQLAlchemyError, OSError, ImportError, ValueError) as error:
        reason = first_line(error)
        password = sa.make_url(url).password if is_database(url) else None
        for secret in {password, quote(password, safe="")} if password else ():
            reason = reason.replace(secret, "***")
        raise UserError(f"the prediction log cannot be read: {reason}") from error


def _existing(url: str) -> sa.Engine:
    """Return the engine of a database; SQLite would make one where there is none.

    Raises:
        UserError: If the file of a SQLite database does not exist.
    """
    engine = create_log_engine(url)
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
        raise UserError(
            f"there is no prediction log at {engine.url.database}. The service makes it when it starts; is the address "
            "right?"
        )
    return engine


def _connect_database(connection: DuckDBPyConnection, url: str, period: _Period, stack: ExitStack) -> None:
    """Register the rows of a database as `logged`, `reported` and `refused`, streamed by columns."""
    engine = _existing(url)
    # SQLAlchemy explains a failed connection better than ADBC does.
    with engine.connect() as checked:
        existing = [sa.inspect(checked).has_table(table.name) for table in (PREDICTIONS, FEEDBACK, REFUSALS)]
    engine.dispose()
    first, after, ahead = period
    columns, moment = [PREDICTIONS.c[name] for name in _PREDICTION], PREDICTIONS.c.time
    queries: dict[str, sa.Select[Any]] = {
        "logged": sa.select(*columns).where(moment >= first, sa.or_(moment < after, moment >= ahead)),
        "reported": sa.select(FEEDBACK).where(FEEDBACK.c.time >= first),
        "refused": sa.select(REFUSALS).where(REFUSALS.c.time >= first, REFUSALS.c.time < after),
    }
    for (name, query), exists in zip(queries.items(), existing, strict=True):
        if not exists:
            _create_empty(connection, name)
            continue
        cursor: Any = stack.enter_context(stack.enter_context(_columns_of(engine)).cursor())
        cursor.execute(str(query.compile(engine, compile_kwargs={"literal_binds": True})))
        connection.register(name, cursor.fetch_record_batch())


def _columns_of(engine: sa.Engine) -> Any:
    """Connect to a database with a driver that returns rows by columns."""
    if engine.dialect.name == "sqlite":
        import adbc_driver_sqlite.dbapi

        return adbc_driver_sqlite.dbapi.connect(engine.url.database)
    import adbc_driver_postgresql.dbapi

    return adbc_driver_postgresql.dbapi.connect(libpq_uri(engine.url))


def _connect_files(connection: DuckDBPyConnection, url: str, period: _Period) -> None:
    """Register the rows of Parquet files as `logged`, `reported` and `refused`."""
    import fsspec

    files, folder = fsspec.core.url_to_fs(url)
    if not files.isdir(folder):
        raise UserError(f"there is no prediction log at {url}: it is neither a directory nor the URL of a database.")
    if "://" in url:
        connection.register_filesystem(files)
    first, after, ahead = (f"'{moment}'::DOUBLE" for moment in period)
    rows = {
        "logged": f"time >= {first} AND (time < {after} OR time >= {ahead})",
        "reported": f"time >= {first}",
        "refused": f"time >= {first} AND time < {after}",
    }
    for name, place in (("logged", "predictions"), ("reported", "feedback"), ("refused", "refusals")):
        paths = sorted(files.glob(f"{folder}/{place}/*.parquet"))
        if "://" in url:
            paths = [files.unstrip_protocol(path) for path in paths]
        if paths:
            found = connection.read_parquet(paths).filter(rows[name])
            if name == "reported":  # of several outcomes of a prediction, the latest counts
                latest = "prediction_id, max(time) AS time, arg_max(outcome, time) AS outcome"
                found = found.aggregate(latest, "prediction_id")
            found.create_view(name)
        else:
            _create_empty(connection, name)


def _create_empty(connection: DuckDBPyConnection, name: str) -> None:
    """Create an empty view."""
    output, outcome = TYPES[TASK.output_type].duckdb, contract.TARGET.forms.duckdb
    kinds = {"time": "DOUBLE", TASK.output: output, "outcome": outcome, "requests": "INTEGER"}
    columns = {"logged": _PREDICTION, "reported": FEEDBACK.c.keys(), "refused": REFUSALS.c.keys()}[name]
    shown = ", ".join(f"NULL::{kinds.get(column, 'VARCHAR')} AS {column}" for column in columns)
    connection.query(f"SELECT {shown} LIMIT 0").create_view(name)


def _read(connection: DuckDBPyConnection, folder: Path, since: datetime, until: datetime, future: float) -> Log:
    """Read `logged`, `reported` and `refused`, each once; large tables are written into the directory."""
    after = until.timestamp()
    inputs = ", ".join(f'inputs."{column.name}" AS "{column.name}"' for column in request_columns())
    kept = f"hash(id) AS key, time, model_version, {TASK.logged_sql()} AS prediction"
    parsed = connection.view("logged").project(f"* REPLACE (from_json(inputs, '{_INPUTS}') AS inputs)")
    # A Parquet file is written faster than a table, and read as fast.
    file = str(folder / "predictions.parquet")
    parsed.project(f"{kept}, {inputs}").write_parquet(file, compression="lz4")
    all_predictions = connection.read_parquet(file)
    (ahead,) = all_predictions.filter(f"time >= {future!r}").aggregate("count(*)").fetchall()[0]
    predictions = all_predictions.filter(f"time < {after!r}")
    # The hash of an id takes a fifth of its memory; collisions are too unlikely to matter.
    outcome = f"outcome::{contract.TARGET.forms.duckdb} AS outcome"
    reported = f"hash(prediction_id) AS key, time AS reported, {outcome}"
    clusters = "".join(f', {group_sql(sql)} AS "{CLUSTERED}{unit}"' for unit, sql in cluster_sql("key").items())
    predicted = predictions.project(f"key, time, model_version, prediction{clusters}")
    connection.view("reported").project(reported).join(predicted, "key", "left").to_table("matched")
    matched = connection.table("matched")
    unknown = matched.filter(f"time IS NULL AND reported < {after!r}")
    (elsewhere,) = unknown.aggregate("count(*)").fetchall()[0]
    outcomes = matched.filter("time IS NOT NULL")
    connection.view("refused").to_table("refusals")
    return Log(since, until, predictions, outcomes, connection.table("refusals"), int(elsewhere), int(ahead))
