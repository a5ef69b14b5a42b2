"""The spool: where a record of the prediction log waits on the local disk until the database has it.

A folder with segments, files of one record a line. A worker appends to a segment of its own, and holds its lock for as
long as it does; `lifecycle.serving.drain`, a process of its own, reads them all and removes what the database has.
Locks go with their process, however it ends, so nothing is left to be cleaned up.
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
WRITERS = "writers.lock"  # shared by the workers
DRAIN = "drain.lock"  # of the one process that drains
SEGMENTS = "*.jsonl"

_ROOT = Path(__file__).parent.parent.parent
_LOOK_AGAIN = 0.1  # seconds between two looks at a spool that is full
_TELL_AGAIN = 10.0  # seconds between two lines that say the same
_LAST_DRAIN = 10.0  # seconds that a stopping worker gives the database


class SpoolFullError(Exception):
    """The spool has reached its bound, or the disk is full."""


def lock(path: Path, kind: int) -> int | None:
    """Lock a file, which is made where there is none.

    Args:
        path: Of the file.
        kind: As of `fcntl.flock`.

    Returns:
        Its descriptor: closing it gives the lock back. None if another process has the lock.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def prepare_spool(folder: Path) -> None:
    """Make the folder of a spool, if there is none.

    Raises:
        UserError: Where nothing can be written to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WRITERS).touch()
    except OSError as error:
        raise UserError(
            f"nothing can be written to {folder}: {error.strerror}. Set STATE_FOLDER to a folder that can be, in a "
            f"container on a volume."
        ) from error


class Spool:
    """A worker's side of the spool. Not for use by several threads."""

    def __init__(self, folder: Path, *, limit: int, when_full: Literal["drop", "refuse"]) -> None:
        """Open a spool.

        Args:
            folder: Of the spools of all workers.
            limit: Bytes that may wait in the folder.
            when_full: What happens to a record beyond the limit.

        Raises:
            UserError: Where nothing can be written to the folder.
        """
        self._folder, self._limit, self._when_full = folder, limit, when_full
        self._segment_bytes = min(SEGMENT_BYTES, limit // 8)
        self._file, self._size = -1, 0
        prepare_spool(folder)
        self._writers = lock(folder / WRITERS, fcntl.LOCK_SH)
        self._rotate()
        self._looked = self._told_full = float("-inf")
        self._process: subprocess.Popen[bytes] | None = None
        own: dict[str, Any] = {"registry": prometheus_client.CollectorRegistry()}
        self._dropped = prometheus_client.Counter("prediction_log_dropped", "Records lost: the spool was full.", **own)

    def write(self, records: bytes, *, keep: bool = False) -> None:
        """Append records.

        Args:
            records: Encoded, each with a newline at its end.
            keep: Whether they must not be dropped, whatever the setting.

        Raises:
            SpoolFullError: Where they have no room and are to be refused.
        """
        size = len(records)
        try:
            if self._size > self._segment_bytes or (self._waiting + size > self._limit and self._may_look()):
                self._rotate()
            if self._waiting + size > self._limit:
                self._full(records, f"{self._waiting:,} bytes wait for the database", keep=keep)
                return
            written = os.write(self._file, records)
            if written < size:  # the disk is full, and half a record is as good as none
                os.ftruncate(self._file, self._size)
                self._full(records, "the disk is full", keep=keep)
                return
        except OSError as error:
            self._full(records, str(error), keep=keep)
            return
        self._size += size
        self._waiting += size

    def keep_drained(self) -> None:
        """Start the process that drains the folder, unless there is one."""
        if self._process and self._process.poll() is None:
            return
        free = lock(self._folder / DRAIN, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if free is None:
            return
        os.close(free)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lifecycle.serving.drain"],
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            # Ctrl-C in a terminal is not for it: it ends when all workers have.
            start_new_session=True,
        )

    def close(self) -> None:
        """Give the database time to take what waits; what it does not take stays in the folder for the next start."""
        os.close(self._file)
        if self._writers is not None:
            os.close(self._writers)
        self.keep_drained()
        until = time.monotonic() + _LAST_DRAIN
        while (free := lock(self._folder / DRAIN, fcntl.LOCK_EX | fcntl.LOCK_NB)) is None:
            if time.monotonic() > until:
                return
            time.sleep(0.02)
        os.close(free)
        if self._process:
            self._process.wait()

    def _rotate(self) -> None:
        """Go on in a new segment, and leave the last one to be removed when it has been drained."""
        if self._size or self._file < 0:
            path = self._folder / f"{time.time_ns():020d}-{os.urandom(4).hex()}.jsonl"
            # Under its name it is locked from the start, or it could be taken for one that nobody writes to.
            aside = path.with_suffix(".new")
            file = os.open(aside, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            aside.rename(path)
            if self._file >= 0:
                os.close(self._file)
            self._file, self._size = file, 0
        self._waiting = waiting_bytes(self._folder)

    def _may_look(self) -> bool:
        now = time.monotonic()
        if now < self._looked + _LOOK_AGAIN:
            return False
        self._looked = now
        return True

    def _full(self, records: bytes, reason: str, *, keep: bool) -> None:
        refuse = self._when_full == "refuse"
        if time.monotonic() > self._told_full + _TELL_AGAIN:
            self._told_full = time.monotonic()
            what = "requests are refused" if refuse else "predictions are answered without a record"
            logger.error("the prediction log has no room (%s): %s", reason, what)
        if refuse or keep:
            raise SpoolFullError
        self._dropped.inc(records.count(b"\n"))


def waiting_bytes(folder: Path) -> int:
    """The size of all segments of a folder."""
    total = 0
    for path in folder.glob(SEGMENTS):
        with contextlib.suppress(FileNotFoundError):  # just drained
            total += path.stat().st_size
    return total
