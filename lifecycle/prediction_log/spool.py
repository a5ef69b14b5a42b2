"""The spool: the files on the local disk in which records wait until they are in the database.

The spool is a directory of segments, which are files with one record per line. Each worker appends to its own segment
and holds a lock on it while it does. `drain.py`, a separate process, reads all segments and removes those that are in
the database. The operating system releases a lock when its process ends, however it ends, so nothing has to be cleaned
up.
"""

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import prometheus_client

from lifecycle.shared.console import UserError

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 4 * 2**20
WRITERS = "writers.lock"  # each worker holds a shared lock
DRAIN = "drain.lock"  # the process that drains holds it
SEGMENTS = "*.jsonl"

_ROOT = Path(__file__).parent.parent.parent
_RECHECK_INTERVAL = 0.1  # seconds between two checks of whether a full spool has room again
_LOG_INTERVAL = 10.0  # seconds between two log lines with the same message
_LAST_DRAIN = 10.0  # seconds that a stopping worker waits for the spool to be drained


class SpoolFullError(Exception):
    """The spool has reached its limit, or the disk is full."""


def lock(path: Path, kind: int) -> int | None:
    """Lock a file; create it if it does not exist.

    Args:
        path: Path of the file.
        kind: Operation, as for `fcntl.flock`.

    Returns:
        File descriptor, which releases the lock when it is closed; None if another process holds the lock.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def prepare_spool(folder: Path) -> None:
    """Create the directory of a spool if it does not exist.

    Raises:
        UserError: If it is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WRITERS).touch()
    except OSError as error:
        raise UserError(
            f"{folder} is not writable: {error.strerror}. Set STATE_FOLDER to a writable directory; in a container, "
            "to one on a volume."
        ) from error


class Spool:
    """The spool as a worker writes to it. Not thread-safe."""

    def __init__(self, folder: Path, *, limit: int, when_full: Literal["drop", "refuse"]) -> None:
        """Open a spool.

        Args:
            folder: Directory of the spool, which all workers share.
            limit: Largest size of the spool in bytes.
            when_full: Whether a record beyond the limit is dropped or refused.

        Raises:
            UserError: If the directory is not writable.
        """
        self._folder, self._limit, self._when_full = folder, limit, when_full
        self._segment_bytes = min(SEGMENT_BYTES, limit // 8)
        self._file, self._size = -1, 0
        prepare_spool(folder)
        self._writers = lock(folder / WRITERS, fcntl.LOCK_SH)
        self._rotate()
        self._checked_at = self._logged_at = float("-inf")
        self._process: subprocess.Popen[bytes] | None = None
        own: dict[str, Any] = {"registry": prometheus_client.CollectorRegistry()}
        self._dropped = prometheus_client.Counter(
            "prediction_log_dropped", "Records dropped: the spool was full.", **own
        )

    def write(self, records: bytes, *, keep: bool = False) -> None:
        """Append records.

        Args:
            records: Encoded records, each with a newline at its end.
            keep: Whether to refuse them if the spool is full, even if it is set to drop records.

        Raises:
            SpoolFullError: If there is no room and the records are not to be dropped.
        """
        size = len(records)
        try:
            if self._size > self._segment_bytes or (self._waiting + size > self._limit and self._may_recheck()):
                self._rotate()
            if self._waiting + size > self._limit:
                self._full(records, f"{self._waiting:,} bytes wait for the database", keep=keep)
                return
            written = os.write(self._file, records)
            if written < size:  # the disk is full; half a record is useless
                os.ftruncate(self._file, self._size)
                self._full(records, "the disk is full", keep=keep)
                return
        except OSError as error:
            self._full(records, str(error), keep=keep)
            return
        self._size += size
        self._waiting += size

    def keep_drained(self) -> None:
        """Start the process that drains the spool unless one is running."""
        if self._process and self._process.poll() is None:
            return
        free = lock(self._folder / DRAIN, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if free is None:
            return
        os.close(free)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lifecycle.prediction_log.drain"],
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            # Ctrl-C in a terminal must not reach it: it exits after all workers have.
            start_new_session=True,
        )

    def close(self) -> None:
        """Wait a while for the spool to be drained. What is left stays there until the next start."""
        os.close(self._file)
        if self._writers is not None:
            os.close(self._writers)
        self.keep_drained()
        deadline = time.monotonic() + _LAST_DRAIN
        while (free := lock(self._folder / DRAIN, fcntl.LOCK_EX | fcntl.LOCK_NB)) is None:
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
        os.close(free)
        if self._process:
            self._process.wait()

    def _rotate(self) -> None:
        """Start a new segment, and release the last one, which is removed once it is drained."""
        if self._size or self._file < 0:
            path = self._folder / f"{time.time_ns():020d}-{os.urandom(4).hex()}.jsonl"
            # It is renamed after it is locked, because an unlocked segment counts as abandoned.
            temporary = path.with_suffix(".new")
            file = os.open(temporary, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            temporary.rename(path)
            if self._file >= 0:
                os.close(self._file)
            self._file, self._size = file, 0
        self._waiting = waiting_bytes(self._folder)

    def _may_recheck(self) -> bool:
        now = time.monotonic()
        if now < self._checked_at + _RECHECK_INTERVAL:
            return False
        self._checked_at = now
        return True

    def _full(self, records: bytes, reason: str, *, keep: bool) -> None:
        refuse = self._when_full == "refuse"
        if time.monotonic() > self._logged_at + _LOG_INTERVAL:
            self._logged_at = time.monotonic()
            consequence = "requests are refused" if refuse else "predictions are answered without a record"
            logger.error("the spool of the prediction log is full (%s): %s", reason, consequence)
        if refuse or keep:
            raise SpoolFullError
        self._dropped.inc(records.count(b"\n"))


def waiting_bytes(folder: Path) -> int:
    """Return the size of all segments in a directory."""
    total = 0
    for path in folder.glob(SEGMENTS):
        with contextlib.suppress(FileNotFoundError):  # drained in the meantime
            total += path.stat().st_size
    return total
