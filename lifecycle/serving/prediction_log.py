"""The prediction log: every answered prediction, and what turned out to be true of it, in a database.

Beside them are counts of the requests that broke the contract: what they held is not kept.

A request is answered once its record is in the spool, a file on the local disk (spool.py). A process beside the
workers moves the records on to the database and removes them from the spool, in this order (drain.py): a record is in
one of the two at any time, and being written twice changes nothing. So:

- SIGTERM: the spool is drained; what a database that is away does not take stays in it, for the next start.
- kill -9 of any of the processes: nothing that was answered is lost. The spool is drained on, at once or after the
  next start on the same STATE_FOLDER.
- Loss of power: what the operating system had not yet written is lost, at most some seconds of records.
- Loss of the folder, as of a container's without a volume: what was in the spool is lost.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lifecycle.shared.console import UserError

Inputs = TypeVar("Inputs")

_TABLES = sa.MetaData()

PREDICTIONS = sa.Table(
    "predictions",
    _TABLES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("time", sa.Float(53), nullable=False, index=True, comment="seconds since 1970-01-01 UTC"),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("contract_version", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False, comment="a JSON object"),
    sa.Column("probability", sa.Float(53), nullable=False),
)
FEEDBACK = sa.Table(
    "feedback",
    _TABLES,
    sa.Column("prediction_id", sa.String(32), primary_key=True),
    sa.Column("time", sa.Float(53), nullable=False, comment="seconds since 1970-01-01 UTC, of the latest report"),
    sa.Column("outcome", sa.Boolean, nullable=False),
)
REFUSALS = sa.Table(
    "refusals",
    _TABLES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("time", sa.Float(53), nullable=False, index=True, comment="seconds since 1970-01-01 UTC, of the count"),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("field", sa.Text, nullable=False, comment="of the contract, or unknown to it"),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
)


class Prediction(msgspec.Struct, Generic[Inputs], frozen=True, array_like=True, tag="p", gc=False):
    """A record of the spool: a prediction."""

    id: str
    time: float
    model_version: str
    contract_version: str
    request_id: str
    probability: float
    inputs: Inputs


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="f", gc=False):
    """A record of the spool: what turned out to be true."""

    prediction_id: str
    time: float
    outcome: bool


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag="r", gc=False):
    """A record of the spool: how many requests have broken the contract in the same way."""

    id: str
    time: float
    model_version: str
    field: str
    error: str
    requests: int


# As the spool has them: the inputs stay as they are, in JSON.
Record = Prediction[msgspec.Raw] | Outcome | Refusal

_PLAIN = [name for name in Prediction.__struct_fields__ if name != "inputs"]


def create_log_engine(url: str) -> sa.Engine:
    """Connect to a prediction log, when it is first used.

    Raises:
        UserError: Where the URL is none of a SQLite or PostgreSQL database.
    """
    try:
        parsed = sa.make_url(url)
        kind = parsed.get_backend_name()
        arguments: dict[str, Any]
        if kind == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
            # A server that has vanished without a word is noticed.
            arguments = {"connect_timeout": 3, "tcp_user_timeout": 5000}
        elif parsed.drivername == "sqlite" and parsed.database not in {None, "", ":memory:"}:
            arguments = {"timeout": 5}
        else:
            raise UserError(
                f"PREDICTION_LOG_URL names no PostgreSQL database and no SQLite file (it starts with "
                f"{parsed.drivername}://)."
            )
        engine = sa.create_engine(parsed, connect_args=arguments)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise UserError(
            "PREDICTION_LOG_URL is no URL of a database. It looks like postgresql://user:password@host:5432/database; "
            "what is special in a password is written as %.."
        ) from error
    if kind == "sqlite":
        folder = Path(str(parsed.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the database of predictions cannot be in {folder}: {error.strerror}.") from error

        @sa.event.listens_for(engine, "connect")
        def _connected(connection: Any, _: Any) -> None:
            # Readers do not hold up the writer, and a commit that is lost with the power is still in order.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def create_tables(connection: sa.Connection) -> None:
    """Create the tables of the log where they do not exist."""
    _TABLES.create_all(connection)


def write_records(connection: sa.Connection, records: Sequence[Record]) -> None:
    """Write records to the database; those that it has already change nothing.

    Of several outcomes of a prediction the latest stays.
    """
    insert: Any = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name].insert
    predictions = [
        {name: getattr(record, name) for name in _PLAIN} | {"inputs": bytes(record.inputs).decode()}
        for record in records
        if isinstance(record, Prediction)
    ]
    outcomes = [msgspec.structs.asdict(record) for record in records if isinstance(record, Outcome)]
    refusals = [msgspec.structs.asdict(record) for record in records if isinstance(record, Refusal)]
    if predictions:
        connection.execute(insert(PREDICTIONS).on_conflict_do_nothing(), predictions)
    if refusals:
        connection.execute(insert(REFUSALS).on_conflict_do_nothing(), refusals)
    if outcomes:
        new = insert(FEEDBACK)
        latest = {name: new.excluded[name] for name in ("time", "outcome")}
        connection.execute(
            new.on_conflict_do_update(
                index_elements=["prediction_id"], set_=latest, where=FEEDBACK.c.time <= new.excluded.time
            ),
            outcomes,
        )
