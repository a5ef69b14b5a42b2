"""The prediction log: every answered prediction, and what turned out to be true of it, in a database.

A request is answered once its record is in the spool, a file on the local disk. A thread moves the records on to the
database and removes them from the spool, in this order: a record is in one of the two at any time, and being written
twice changes nothing. So:

- SIGTERM: the spool is drained; what a database that is away does not take stays in it, for the next start.
- kill -9 of the process: nothing that was answered is lost. The next worker that starts here finds the spool.
- Loss of power: what the operating system had not yet written is lost, at most some seconds of records.
- Loss of the folder, as of a container's without a volume: what was in the spool is lost.
"""

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import prometheus_client
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from model.console import UserError

logger = logging.getLogger(__name__)

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

SEGMENT_BYTES = 4 * 2**20
_ROWS_AT_A_TIME = 500
_INTERVAL = 0.2  # seconds between looks at the spool
_RETRY = 1.0  # seconds between tries of a database that is away
_ADOPT = 30.0  # seconds between looks for spools that dead workers left
_TELL_AGAIN = 10.0  # seconds between two lines that say the same
_LAST_DRAIN = 10.0  # seconds that a stopping worker gives the database


class Prediction(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """A record of the spool: a prediction."""

    id: str
    time: float
    model_version: str
    contract_version: str
    request_id: str
    probability: float
    inputs: msgspec.Raw


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """A record of the spool: what turned out to be true."""

    prediction_id: str
    time: float
    outcome: bool


_PLAIN = [name for name in Prediction.__struct_fields__ if name != "inputs"]
_RECORD = msgspec.json.Decoder(Prediction | Outcome)


class SpoolFullError(Exception):
    """The spool has reached its bound, or the disk is full."""


def create_log_engine(url: str) -> sa.Engine:
    """Connect to a prediction log, when it is first used.

    Raises:
        UserError: Where the URL is none of a SQLite or PostgreSQL database.
    """
    try:
        parsed = sa.make_url(url)
        kind = parsed.get_backend_name()
        if kind == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
            # A server that has vanished without a word is noticed.
            arguments: dict[str, Any] = {"connect_timeout": 3, "tcp_user_timeout": 5000}
        elif kind == "sqlite":
            arguments = {"timeout": 5}
        else:
            raise UserError(f"PREDICTION_LOG_URL names a {kind} database; it can be a sqlite or postgresql one.")
        engine = sa.create_engine(parsed, connect_args=arguments)
    except sa.exc.ArgumentError as error:
        raise UserError(f"PREDICTION_LOG_URL is no URL of a database: {error}") from error
    if kind == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)

        @sa.event.listens_for(engine, "connect")
        def _connected(connection: Any, _: Any) -> None:
            # Readers do not hold up the writer, and a commit that is lost with the power is still in order.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def create_tables(connection: sa.Connection) -> None:
    """Create the tables of the log where they do not exist."""
    _TABLES.create_all(connection)


def write_records(connection: sa.Connection, records: Sequence[Prediction | Outcome]) -> None:
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
    if predictions:
        connection.execute(insert(PREDICTIONS).on_conflict_do_nothing(), predictions)
    if outcomes:
        new = insert(FEEDBACK)
        latest = {name: new.excluded[name] for name in ("time", "outcome")}
        connection.execute(
            new.on_conflict_do_update(
                index_elements=["prediction_id"], set_=latest, where=FEEDBACK.c.time <= new.excluded.time
            ),
            outcomes,
        )


@dataclass
class _Segment:
    """A file of the spool. Whoever holds its lock drains it; the lock goes with the process."""

    path: Path
    file: int
    size: int = 0
    drained: int = 0

    @classmethod
    def create(cls, folder: Path) -> "_Segment":
        path = folder / f"{time.time_ns():020d}-{os.urandom(4).hex()}.jsonl"
        aside = path.with_suffix(".new")
        file = os.open(aside, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        aside.rename(path)
        return cls(path, file)

    @classmethod
    def adopt(cls, path: Path) -> "_Segment | None":
        try:
            file = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:  # its owner has just drained it
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        if os.fstat(file).st_nlink == 0:
            os.close(file)
            return None
        return cls(path, file, os.fstat(file).st_size)

    def remove(self) -> None:
        self.path.unlink()
        os.close(self.file)


class PredictionLog:
    """Takes records on the request path, and moves them to the database off it."""

    def __init__(self, folder: Path, engine: sa.Engine, *, limit: int, when_full: Literal["drop", "refuse"]) -> None:
        """Start a spool in a folder, with what dead workers have left there.

        Args:
            folder: Of the spools of all workers.
            engine: Of the database.
            limit: Bytes that may wait.
            when_full: What happens to a record beyond the limit.

        Raises:
            UserError: Where nothing can be written to the folder.
        """
        self._folder, self._engine, self._limit, self._when_full = folder, engine, limit, when_full
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._active = _Segment.create(folder)
        except OSError as error:
            raise UserError(
                f"nothing can be written to {folder}: {error.strerror}. Set STATE_FOLDER to a folder that can be, in a "
                f"container on a volume."
            ) from error
        self._closed: deque[_Segment] = deque()
        self._pending = 0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._away = False
        self._ready = False
        self._told_full = -_TELL_AGAIN
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        own: dict[str, Any] = {"registry": prometheus_client.CollectorRegistry()}
        self._waiting_bytes = prometheus_client.Gauge(
            "prediction_log_waiting_bytes",
            "Bytes of records that wait for the database.",
            multiprocess_mode="livesum",
            **own,
        )
        self._available = prometheus_client.Gauge(
            "prediction_log_database_up", "Whether the database takes records.", multiprocess_mode="livemin", **own
        )
        self._written = prometheus_client.Counter("prediction_log_records", "Records written to the database.", **own)
        self._dropped = prometheus_client.Counter("prediction_log_dropped", "Records lost: the spool was full.", **own)
        self._adopt()

    def start(self) -> None:
        """Start the thread that drains the spool."""
        self._thread.start()

    def write(self, records: bytes) -> None:
        """Put records into the spool.

        Args:
            records: Encoded, each with a newline at its end.

        Raises:
            SpoolFullError: Where they have no room and are to be refused.
        """
        with self._lock:
            if self._pending + len(records) > self._limit:
                self._full(records, f"{self._pending:,} bytes wait for the database")
                return
            try:
                self._append(records)
            except OSError as error:
                self._full(records, str(error))

    def stop(self) -> None:
        """Drain what the database takes, and end the thread. What it does not take stays in the folder."""
        self._ending.set()
        self._thread.join()
        self._engine.dispose()

    def _append(self, records: bytes) -> None:
        active = self._active
        if active.size > SEGMENT_BYTES:
            self._closed.append(active)
            active = self._active = _Segment.create(self._folder)
        written = os.write(active.file, records)
        if written < len(records):
            # The disk is full. Half a record at the end of a file is as good as none.
            os.ftruncate(active.file, active.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        active.size += written
        self._pending += written

    def _full(self, records: bytes, reason: str) -> None:
        refuse = self._when_full == "refuse"
        if time.monotonic() > self._told_full + _TELL_AGAIN:
            self._told_full = time.monotonic()
            what = "requests are refused" if refuse else "predictions are answered without a record"
            logger.error("the prediction log has no room (%s): %s", reason, what)
        if refuse:
            raise SpoolFullError
        self._dropped.inc(records.count(b"\n"))

    def _adopt(self) -> None:
        for path in sorted(self._folder.glob("*.jsonl")):
            if path != self._active.path and all(path != segment.path for segment in self._closed):
                segment = _Segment.adopt(path)
                if segment:
                    with self._lock:
                        self._closed.append(segment)
                        self._pending += segment.size

    def _run(self) -> None:
        looked, deadline = time.monotonic(), float("inf")
        while True:
            ending = self._ending.wait(_RETRY if self._away else _INTERVAL)
            if ending:
                deadline = min(deadline, time.monotonic() + _LAST_DRAIN)
            if time.monotonic() > looked + _ADOPT:
                looked = time.monotonic()
                self._adopt()
            finished = self._drain(deadline)
            self._waiting_bytes.set(self._pending)
            if ending and (finished or self._away or time.monotonic() > deadline):
                break
        if self._pending:
            os.fdatasync(self._active.file)
            logger.warning("%s bytes of the prediction log wait in %s for the next start", self._pending, self._folder)
        else:
            self._active.remove()

    def _drain(self, deadline: float) -> bool:
        """Move what is in the spool to the database; True if nothing is left."""
        while time.monotonic() < deadline:
            segment = self._closed[0] if self._closed else self._active
            records, taken = self._read(segment)
            if records:
                if not self._write(records):
                    os.fdatasync(self._active.file)  # the only copy for some time to come
                    return False
                self._written.inc(len(records))
            segment.drained += taken
            with self._lock:
                self._pending -= taken
                if segment.drained >= segment.size and segment is not self._active:
                    self._closed.popleft()
                    segment.remove()
                    continue
            if not taken and segment is self._active:
                return True
        return False

    @staticmethod
    def _read(segment: _Segment) -> tuple[list[Prediction | Outcome], int]:
        """The next records, and how many bytes they take."""
        size = segment.size - segment.drained
        data = os.pread(segment.file, min(size, 2**18), segment.drained)
        if b"\n" not in data:  # a very long one
            data = os.pread(segment.file, size, segment.drained)
        end = data.rfind(b"\n") + 1
        lines = data[:end].splitlines(keepends=True)[:_ROWS_AT_A_TIME]
        records = []
        for line in lines:
            try:
                records.append(_RECORD.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                logger.exception("a record of %s is damaged and left out", segment.path)
        taken = sum(map(len, lines))
        # A last line without an end was never acknowledged: the process was killed while it wrote it.
        return records, taken if lines else size

    def _write(self, records: list[Prediction | Outcome]) -> bool:
        try:
            with self._engine.begin() as connection:
                if not self._ready:
                    create_tables(connection)
                write_records(connection, records)
            self._ready = True
        except SQLAlchemyError as error:
            if not self._away:
                reason = str(error).partition("\n")[0]
                logger.error("the prediction log's database is away, records wait in %s: %s", self._folder, reason)  # noqa: TRY400 - one line, no traceback
            self._away = True
            with contextlib.suppress(SQLAlchemyError):
                self._engine.dispose()
        else:
            if self._away:
                logger.warning("the prediction log's database is back")
            self._away = False
        self._available.set(not self._away)
        return not self._away
