"""The tables of the prediction log, the records in them, and the connection to the database."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Meta
from sqlalchemy.dialects import postgresql, sqlite

from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.columns import TYPES
from lifecycle.shared.console import UserError
from lifecycle.shared.json_types import json_type
from model import contract

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
    sa.Column(TASK.output, getattr(sa, TYPES[TASK.output_type].log), nullable=False),
)
FEEDBACK = sa.Table(
    "feedback",
    _TABLES,
    sa.Column("prediction_id", sa.String(32), primary_key=True),
    sa.Column("time", sa.Float(53), nullable=False, comment="of the latest report; seconds since 1970-01-01 UTC"),
    sa.Column("outcome", getattr(sa, contract.TARGET.forms.log), nullable=False),
)
REFUSALS = sa.Table(
    "refusals",
    _TABLES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("time", sa.Float(53), nullable=False, index=True, comment="of the count; seconds since 1970-01-01 UTC"),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("field", sa.Text, nullable=False, comment="as the client named it; may be unknown to the contract"),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
)


class Prediction(msgspec.Struct, Generic[Inputs], frozen=True, array_like=True, tag="p", gc=False):
    """A prediction, as a record of the spool."""

    id: str
    time: float
    model_version: str
    contract_version: str
    request_id: str
    prediction: Any
    inputs: Inputs


# The outcome of an earlier prediction, as a client reports it.
Feedback = msgspec.defstruct(
    "Feedback",
    [("prediction_id", Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]), ("outcome", json_type(contract.TARGET))],
    frozen=True,
    forbid_unknown_fields=True,
)


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="f", gc=False):
    """The outcome of a prediction, as a record of the spool."""

    prediction_id: str
    time: float
    outcome: bool | float | str


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag="r", gc=False):
    """The number of requests that were invalid in the same way, as a record of the spool."""

    id: str
    time: float
    model_version: str
    field: str
    error: str
    requests: int


# The inputs of a prediction remain the JSON of the request; nothing here parses them.
Record = Prediction[msgspec.Raw] | Outcome | Refusal

_PLAIN = [name for name in Prediction.__struct_fields__ if name not in {"inputs", "prediction"}]


def create_log_engine(url: str) -> sa.Engine:
    """Create the engine of a prediction log, which connects when it is first used.

    Raises:
        UserError: If the URL is not one of a SQLite file or a PostgreSQL database.
    """
    try:
        parsed = sa.make_url(url)
        kind = parsed.get_backend_name()
        arguments: dict[str, Any]
        if kind == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
            # Without these, a server that disappears without closing its connections is not noticed for minutes.
            arguments = {"connect_timeout": 3, "tcp_user_timeout": 5000}
        elif parsed.drivername == "sqlite" and parsed.database not in {None, "", ":memory:"}:
            arguments = {"timeout": 5}
        else:
            raise UserError(
                f"PREDICTION_LOG_URL starts with {parsed.drivername}://. The prediction log can be a PostgreSQL "
                "database (postgresql://) or a SQLite file (sqlite:///)."
            )
        engine = sa.create_engine(parsed, connect_args=arguments)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise UserError(
            "PREDICTION_LOG_URL is not the URL of a database. It looks like postgresql://user:password@host:5432/name, "
            "with percent-encoding for special characters in the password."
        ) from error
    if kind == "sqlite":
        folder = Path(str(parsed.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the prediction log's directory {folder} cannot be created: {error.strerror}.") from error

        @sa.event.listens_for(engine, "connect")
        def _connected(connection: Any, _: Any) -> None:
            # Readers do not block the writer. A power loss may lose the last commits, but does not corrupt the file.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def create_tables(connection: sa.Connection) -> None:
    """Create the tables that do not exist yet."""
    _TABLES.create_all(connection)


def is_database(url: str) -> bool:
    """Return whether a URL is one of a database, instead of a directory."""
    return url.partition(":")[0].partition("+")[0] in {"sqlite", "postgresql"}


def rows_by_table(records: Sequence[Record]) -> dict[sa.Table, list[dict[str, Any]]]:
    """Return the rows of records, with the names of the table's columns; no table without rows."""
    rows: dict[sa.Table, list[dict[str, Any]]] = {PREDICTIONS: [], REFUSALS: [], FEEDBACK: []}
    for record in records:
        if isinstance(record, Prediction):
            row = {name: getattr(record, name) for name in _PLAIN}
            row |= {"inputs": bytes(record.inputs).decode(), TASK.output: TASK.to_log(record.prediction)}
            rows[PREDICTIONS].append(row)
        else:
            rows[REFUSALS if isinstance(record, Refusal) else FEEDBACK].append(msgspec.structs.asdict(record))
    return {table: found for table, found in rows.items() if found}


def write_records(connection: sa.Connection, records: Sequence[Record]) -> None:
    """Write records to the database. A record that is already there changes nothing.

    If a prediction has several outcomes, the latest one is kept.
    """
    insert: Any = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name].insert
    for table, rows in rows_by_table(records).items():
        new = insert(table)
        if table is FEEDBACK:
            latest = {name: new.excluded[name] for name in ("time", "outcome")}
            new = new.on_conflict_do_update(
                index_elements=["prediction_id"], set_=latest, where=FEEDBACK.c.time <= new.excluded.time
            )
        else:
            new = new.on_conflict_do_nothing()
        connection.execute(new, rows)
