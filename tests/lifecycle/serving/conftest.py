"""A trained model, and its service as a real process."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from model import contract
from tests.lifecycle.repository import EXAMPLE_PROJECT, with_example

EXAMPLE: dict[str, Any] = {column.name: column.example for column in contract.INPUTS}
_TRIES = 3


# Below those that the system gives to clients, and for each of pytest's processes others.
_PORTS = itertools.count(20_000 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))


def free_port() -> int:
    """Return a port on which a server started here is reached.

    Binding it is not enough to know: a container that an interrupted run left behind holds its ports by rules of the
    network alone, and takes every connection to them.
    """
    for port in _PORTS:
        with socket.socket() as server, suppress(OSError):
            server.bind(("127.0.0.1", port))
            server.listen(1)
            server.settimeout(0.5)
            with socket.create_connection(("127.0.0.1", port), timeout=0.5):
                accepted, _ = server.accept()
            # Closed second, it does not keep the port in TIME_WAIT.
            accepted.close()
            return port
    raise AssertionError


def eventually(found: Callable[[], Any], seconds: float = 15) -> Any:
    """Wait until something is true, and return it."""
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.05)
    return value


@dataclass
class Service:
    """A running service."""

    url: str
    process: "subprocess.Popen[bytes]"
    state: Path
    output: Path

    def post(self, path: str = "/predict", **arguments: Any) -> httpx.Response:
        return httpx.post(self.url + path, **{"timeout": 30} | arguments)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def predict(self, *rows: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.post(json=list(rows))
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["predictions"]
        return found

    def metric(self, name: str) -> float:
        """The value of a metric; of one that nobody has counted yet it is 0."""
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith(f"{name} ")]
        return float(lines[0].split()[1]) if lines else 0.0

    def log(self, query: str) -> list[Any]:
        """What a query finds in the SQLite log; nothing before the first record is in it."""
        engine = sa.create_engine(f"sqlite:///{self.state}/predictions.db")
        with engine.connect() as connection:
            there = sa.inspect(connection).has_table("feedback")
            found = [tuple(row) for row in connection.execute(sa.text(query))] if there else []
        engine.dispose()
        return found

    def stop(self) -> int:
        """End it as an orchestrator does, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def workers(self) -> list[int]:
        """Process ids."""
        found = subprocess.run(
            ["pgrep", "--parent", str(self.process.pid)], capture_output=True, text=True, check=True
        ).stdout
        return [int(pid) for pid in found.split()]


def start_service(folder: Path, state: Path, **environment: str) -> Service:
    """Start the service on what is in a folder, and wait until it is ready."""
    state.mkdir(parents=True, exist_ok=True)
    # BentoML looks for a free port for itself, and takes it a moment later: by then somebody else may have it.
    for _ in range(_TRIES):
        service = _start_service(folder, state, environment)
        if service.process.poll() is None:
            return service
        said = service.output.read_text(encoding="utf-8")
        assert "Address already in use" in said, said
        service.output.unlink()
    raise AssertionError(said)


def _start_service(folder: Path, state: Path, environment: dict[str, str]) -> Service:
    """The service when it is ready, or has ended."""
    port = free_port()
    output = state / "output.txt"
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", "lifecycle.serving.service:ModelService", "--port", str(port)],
            cwd=EXAMPLE_PROJECT,
            env=with_example()
            | {
                "BENTOML_DO_NOT_TRACK": "true",
                # Services that share it wipe each other's metrics.
                "BENTOML_HOME": str(state / "bentoml"),
                "MODEL_FOLDER": str(folder / "artifacts/model"),
                "LINEAGE": str(folder / "artifacts/lineage.json"),
                "STATE_FOLDER": str(state),
            }
            | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    service = Service(f"http://127.0.0.1:{port}", process, state, output)

    def ready_or_ended() -> bool:
        try:
            return process.poll() is not None or service.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    eventually(ready_or_ended, 60)
    return service


@contextmanager
def running(folder: Path, state: Path, **environment: str) -> Iterator[Service]:
    """A service that is ended afterwards."""
    service = start_service(folder, state, **environment)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()


@pytest.fixture(scope="session")
def service(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service as it is out of the box; tests share it."""
    with running(trained, tmp_path_factory.mktemp("service")) as started:
        yield started
