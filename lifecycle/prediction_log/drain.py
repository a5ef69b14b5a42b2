"""Move the records of the spool to the database, in a separate process, so that it does not slow down requests.

The workers start the process, and restart it if it dies. After all workers have exited, it exits as soon as the spool
is empty or the database does not accept the rest. To empty a spool that was left behind, run
`python -m lifecycle.prediction_log.drain` with the settings of the service.
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

from lifecycle.prediction_log.database import Record, create_log_engine, create_tables, write_records
from lifecycle.prediction_log.log_settings import LogSettings, read_environment
from lifecycle.prediction_log.spool import DRAIN, SEGMENTS, WRITERS, lock, waiting_bytes
from lifecycle.shared import console
from lifecycle.shared.console import UserError, first_line

logger = logging.getLogger("prediction-log")

INTERVAL = 0.2  # seconds between two passes over the spool
_RETRY = 1.0  # seconds between two attempts while the database is down
_READ_BYTES = 2**19
_RECORD: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


@dataclass
class _Segment:
    path: Path
    file: int
    drained: int = 0

    def abandoned(self) -> bool:
        """Return whether its worker has exited or writes to another segment."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Drain:
    """Moves the records of a spool to the database."""

    def __init__(self, folder: Path, engine: sa.Engine) -> None:
        """Prepare to drain a spool.

        Args:
            folder: Directory of the spool.
            engine: Engine of the database.
        """
        self._folder, self._engine = folder, engine
        self._segments: dict[Path, _Segment] = {}
        self._ready = False
        self.is_down = False
        own: dict[str, Any] = {"registry": prometheus_client.CollectorRegistry()}
        self._waiting = prometheus_client.Gauge(
            "prediction_log_waiting_bytes",
            "Bytes of records in the spool that wait for the database.",
            multiprocess_mode="mostrecent",
            **own,
        )
        self._up = prometheus_client.Gauge(
            "prediction_log_database_up",
            "1 if the database accepts records, else 0.",
            multiprocess_mode="mostrecent",
            **own,
        )
        self._written = prometheus_client.Counter("prediction_log_records", "Records written to the database.", **own)

    def drain(self) -> bool:
        """Move the records in the spool to the database.

        Returns:
            Whether all were moved; if not, the database is down.
        """
        self._count_waiting()
        # Writing nothing creates the tables, and shows before the first record whether the database is up.
        all_moved = (self._ready or self._write([])) and all(map(self._drain, sorted(self._folder.glob(SEGMENTS))))
        self._count_waiting()
        return all_moved

    def _count_waiting(self) -> None:
        drained = sum(segment.drained for segment in self._segments.values())
        self._waiting.set(waiting_bytes(self._folder) - drained)

    def _drain(self, path: Path) -> bool:
        segment = self._segments.get(path)
        if segment is None:
            segment = self._segments[path] = _Segment(path, os.open(path, os.O_RDWR))
        # Checked before the segment is read: after its worker has left it, no record is added.
        abandoned = segment.abandoned()
        while data := os.pread(segment.file, _READ_BYTES, segment.drained):
            end = data.rfind(b"\n") + 1
            if not end and len(data) == _READ_BYTES:  # a record longer than the buffer
                data = os.pread(segment.file, os.fstat(segment.file).st_size - segment.drained, segment.drained)
                end = data.rfind(b"\n") + 1
            if not end:
                # The rest is an incomplete line: its worker is writing it, or was killed before it answered.
                break
            if not self._write(self._decoded(data[:end], path)):
                os.fdatasync(segment.file)  # for now, this is the only copy
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
                # Decoded as text first, which validates the UTF-8 of the inputs; nothing else parses them.
                records.append(_RECORD.decode(line.decode()))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                logger.error("skipped a damaged record in %s: %s", path, error)  # noqa: TRY400 - no traceback
        return records

    def _write(self, records: list[Record]) -> bool:
        try:
            self._write_all(records)
        except SQLAlchemyError as error:
            if not self.is_down:
                reason = first_line(error)
                logger.error("the database is down, records wait in %s: %s", self._folder, reason)  # noqa: TRY400
            self.is_down = True
            self._ready = False  # it may come back without the tables
            with contextlib.suppress(SQLAlchemyError):
                self._engine.dispose()
        else:
            if self.is_down:
                logger.warning("the database is up again")
            self.is_down = False
            self._written.inc(len(records))
        self._up.set(not self.is_down)
        return not self.is_down

    def _write_all(self, records: list[Record]) -> None:
        try:
            with self._engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    # If another session has locked a table, the database counts as down.
                    connection.exec_driver_sql("set local statement_timeout = '5s'")
                if not self._ready:
                    create_tables(connection)
                write_records(connection, records)
            self._ready = True
        except DataError as error:
            if len(records) == 1:
                logger.error("skipped a record that the database rejects: %s", error)  # noqa: TRY400
                return
            # A record that the database never accepts must not hold up the others.
            for record in records:
                self._write_all([record])


def main() -> None:
    """Drain the spool until all workers have exited and nothing is left to do."""
    logging.basicConfig(format="%(asctime)s [%(levelname)s] %(name)s: %(message)s", level=logging.INFO)
    # A signal to all processes of the service must not stop this one before the last records are written.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.nice(5)  # requests come first
    settings = read_environment(LogSettings)
    folder = settings.spool_folder()
    if not folder.is_dir():
        raise UserError(f"there is no spool at {folder}. Set STATE_FOLDER to its parent directory.")
    if lock(folder / DRAIN, fcntl.LOCK_EX | fcntl.LOCK_NB) is None:
        sys.exit(0)  # another process drains it
    drain = Drain(folder, create_log_engine(settings.log_url()))
    while True:
        no_workers = lock(folder / WRITERS, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if no_workers is not None:
            os.close(no_workers)
        finished = drain.drain()
        if no_workers is not None:
            sys.exit(0 if finished else f"the database is down: records wait in {folder} for the next start")
        time.sleep(INTERVAL if finished else _RETRY)


if __name__ == "__main__":
    console.run_main(main)
