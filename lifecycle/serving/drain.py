"""Moves the records of the spool to the database: a process of its own, so that requests are answered meanwhile.

The workers start it, and keep one running. It ends when they have ended and nothing is left, or when what is left
cannot be written. By hand, `python -m lifecycle.serving.drain` empties a spool that was left behind, with the settings
of the service.
"""

import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import prometheus_client
import sqlalchemy as sa
from sqlalchemy.exc import DataError, SQLAlchemyError

from lifecycle.serving.environment import load_settings
from lifecycle.serving.prediction_log import Record, create_log_engine, create_tables, write_records
from lifecycle.serving.spool import DRAIN, SEGMENTS, WRITERS, lock, waiting_bytes
from lifecycle.shared import console
from lifecycle.shared.console import UserError

logger = logging.getLogger("prediction-log")

INTERVAL = 0.2  # seconds between looks at the spool
_RETRY = 1.0  # seconds between tries of a database that is away
_READ_BYTES = 2**19
_RECORD: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


@dataclass
class _Segment:
    path: Path
    file: int
    drained: int = 0

    def abandoned(self) -> bool:
        """Whether its worker has ended, or gone on to another one."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Drain:
    """The spool's way into the database."""

    def __init__(self, folder: Path, engine: sa.Engine) -> None:
        """Prepare to drain a folder into a database.

        Args:
            folder: Of the spool.
            engine: Of the database.
        """
        self._folder, self._engine = folder, engine
        self._segments: dict[Path, _Segment] = {}
        self._ready = False
        self.away = False
        own: dict[str, Any] = {"registry": prometheus_client.CollectorRegistry()}
        self._waiting = prometheus_client.Gauge(
            "prediction_log_waiting_bytes",
            "Bytes of records that wait for the database.",
            multiprocess_mode="mostrecent",
            **own,
        )
        self._up = prometheus_client.Gauge(
            "prediction_log_database_up", "Whether the database takes records.", multiprocess_mode="mostrecent", **own
        )
        self._written = prometheus_client.Counter("prediction_log_records", "Records written to the database.", **own)

    def drain(self) -> bool:
        """Move what is in the spool to the database.

        Returns:
            Whether all of it is there; if not, the database is away.
        """
        self._count_waiting()
        # Nothing to write is asked of it, too, so that it is known to be there before the first record.
        done = (self._ready or self._write([])) and all(map(self._drain, sorted(self._folder.glob(SEGMENTS))))
        self._count_waiting()
        return done

    def _count_waiting(self) -> None:
        drained = sum(segment.drained for segment in self._segments.values())
        self._waiting.set(waiting_bytes(self._folder) - drained)

    def _drain(self, path: Path) -> bool:
        segment = self._segments.get(path)
        if segment is None:
            segment = self._segments[path] = _Segment(path, os.open(path, os.O_RDWR))
        # Asked before it is read: nothing is added to it later.
        abandoned = segment.abandoned()
        while data := os.pread(segment.file, _READ_BYTES, segment.drained):
            end = data.rfind(b"\n") + 1
            if not end and len(data) == _READ_BYTES:  # a very long record
                data = os.pread(segment.file, os.fstat(segment.file).st_size - segment.drained, segment.drained)
                end = data.rfind(b"\n") + 1
            if not end:
                # A last line without an end is being written; or never was, and not acknowledged, by a worker killed.
                break
            if not self._write(self._decoded(data[:end], path)):
                os.fdatasync(segment.file)  # the only copy for some time to come
                return False
            segment.drained += end
            self._count_waiting()
        if abandoned:
            path.unlink()
            os.close(segment.file)
            del self._segments[path]
        return True

    @staticmethod
    def _decoded(data: bytes, path: Path) -> list[Record]:
        records = []
        for line in data.splitlines():
            try:
                # As text, because the inputs are not looked into.
                records.append(_RECORD.decode(line.decode()))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                logger.error("a record of %s is damaged and left out: %s", path, error)  # noqa: TRY400 - no traceback
        return records

    def _write(self, records: list[Record]) -> bool:
        try:
            self._write_all(records)
        except SQLAlchemyError as error:
            if not self.away:
                reason = str(error).partition("\n")[0]
                logger.error("the database is away, records wait in %s: %s", self._folder, reason)  # noqa: TRY400
            self.away = True
            self._ready = False  # it may come back as another one
            with contextlib.suppress(SQLAlchemyError):
                self._engine.dispose()
        else:
            if self.away:
                logger.warning("the database is back")
            self.away = False
            self._written.inc(len(records))
        self._up.set(not self.away)
        return not self.away

    def _write_all(self, records: list[Record]) -> None:
        try:
            with self._engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    # A table that somebody has locked is as good as away.
                    connection.exec_driver_sql("set local statement_timeout = '5s'")
                if not self._ready:
                    create_tables(connection)
                write_records(connection, records)
            self._ready = True
        except DataError as error:
            if len(records) == 1:
                logger.error("a record that the database refuses is left out: %s", error)  # noqa: TRY400
                return
            # One that the database will never take must not keep the others waiting.
            for record in records:
                self._write_all([record])


def main() -> None:
    """Drain the spool of the settings, until all workers have ended and nothing is left to be done."""
    logging.basicConfig(format="%(asctime)s [%(levelname)s] %(name)s: %(message)s", level=logging.INFO)
    # Whoever ends the service's processes one by one is not meant: what they have answered is still to be written.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.nice(5)  # requests come first
    settings = load_settings()
    folder = settings.spool_folder()
    if not folder.is_dir():
        raise UserError(f"there is no spool in {folder}. STATE_FOLDER names its parent.")
    if lock(folder / DRAIN, fcntl.LOCK_EX | fcntl.LOCK_NB) is None:
        sys.exit(0)  # another one is at it
    drain = Drain(folder, create_log_engine(settings.log_url()))
    while True:
        alone = lock(folder / WRITERS, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if alone is not None:
            os.close(alone)
        finished = drain.drain()
        if alone is not None:
            sys.exit(0 if finished else f"the database is away: records wait in {folder} for the next start")
        time.sleep(INTERVAL if finished else _RETRY)


if __name__ == "__main__":
    console.run_main(main)
