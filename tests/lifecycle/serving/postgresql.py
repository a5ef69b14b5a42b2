"""A PostgreSQL server for tests, which they can stop, kill and start again."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.lifecycle.missing import find, need
from tests.lifecycle.serving.conftest import free_port

_NUMBERS = itertools.count(1)


def _programs() -> Path:
    """Return the directory of `initdb` and `postgres`."""
    need("postgres")
    return Path(str(find("postgres"))).resolve().parent


class Postgresql:
    """A server with its own data directory. PostgreSQL refuses to run as root, so root runs it as another user."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder, self._port = programs, folder, free_port()
        self._run_as: dict[str, Any] = {}
        if os.geteuid() == 0:
            names = {user.pw_name for user in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self._run_as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--username=test", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        """Start it unless it is running, and wait until it accepts connections."""
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "output.txt").read_text(encoding="utf-8")
            # After a kill, it does not start until the remaining processes of the previous server have exited.
            if self._process is None or self._process.poll() is not None:
                self._process = self._launch()
            time.sleep(0.05)

    def stop(self) -> None:
        """Shut it down in an orderly way; it closes its connections."""
        self._terminate(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server to simulate a crash."""
        self._terminate(signal.SIGKILL)

    def database(self) -> str:
        """Create an empty database, and return its URL."""
        self.start()
        name = f"test_{next(_NUMBERS)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://test@127.0.0.1:{self._port}/{database}"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _launch(self) -> "subprocess.Popen[bytes]":
        with (self._folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._folder / "data", "-k", self._folder),
                    *("-h", "127.0.0.1", "-p", str(self._port), "-c", "fsync=on"),
                ],
                stdout=output,
                stderr=output,
                cwd=self._folder,
                **self._run_as,
            )

    def _terminate(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def _run(self, program: str, *arguments: str) -> None:
        completed = subprocess.run(
            [self._programs / program, "-D", self._folder / "data", *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
            **self._run_as,
        )
        assert completed.returncode == 0, completed.stdout + completed.stderr


@contextmanager
def postgresql_server() -> Iterator[Postgresql]:
    """Run a server and remove it afterwards. If PostgreSQL is not installed, the test is skipped."""
    programs = _programs()
    # Not in pytest's directory, because other users cannot enter it, and its path is too long for a Unix socket.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        server = Postgresql(programs, folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
