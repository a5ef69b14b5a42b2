"""The service as a real process, started on a trained model."""

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

from lifecycle.shared.inputs import request_columns
from tests.lifecycle.repository import EXAMPLE_PROJECT, with_example

EXAMPLE: dict[str, Any] = {column.name: column.example for column in request_columns()}
_TRIES = 3


# Below the ports that the system assigns to clients, and different for each of pytest's processes.
_PORTS = itertools.count(20_000 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))


def free_port() -> int:
    """Return a port on which a new server can be reached.

    Binding the port does not prove that: a container left behind by an interrupted run redirects all connections to its
    ports, without a listening socket. So this also connects to it.
    """
    for port in _PORTS:
        with socket.socket() as server, suppress(OSError):
            server.bind(("127.0.0.1", port))
            server.listen(1)
            server.settimeout(0.5)
            with socket.create_connection(("127.0.0.1", port), timeout=0.5):
                accepted, _ = server.accept()
            # The side that closes first keeps the port in TIME_WAIT; that is the client here.
            accepted.close()
            return port
    raise AssertionError


def eventually(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """Wait until a function returns a true value, and return that value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
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
        predictions: list[dict[str, Any]] = answer.json()["predictions"]
        return predictions

    def metric(self, name: str) -> float:
        """Return the value of a metric; 0 if it has not been counted yet."""
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith(f"{name} ")]
        return float(lines[0].split()[1]) if lines else 0.0

    def log(self, query: str) -> list[Any]:
        """Return the result of a query to the SQLite log; empty before the first record."""
        engine = sa.create_engine(f"sqlite:///{self.state}/predictions.db")
        with engine.connect() as connection:
            exists = sa.inspect(connection).has_table("feedback")
            rows = [tuple(row) for row in connection.execute(sa.text(query))] if exists else []
        engine.dispose()
        return rows

    def stop(self) -> int:
        """Stop it with SIGTERM, as an orchestrator does, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        listed = subprocess.run(
            ["pgrep", "--parent", str(self.process.pid)], capture_output=True, text=True, check=True
        ).stdout
        return [int(pid) for pid in listed.split()]


def start_service(folder: Path, state: Path, **environment: str) -> Service:
    """Start the service with the model in a directory, and wait until it is ready."""
    state.mkdir(parents=True, exist_ok=True)
    # BentoML chooses a second, free port and binds it a moment later; another process may have taken it by then.
    for _ in range(_TRIES):
        service = _start_service(folder, state, environment)
        if service.process.poll() is None:
            return service
        output = service.output.read_text(encoding="utf-8")
        assert "Address already in use" in output, output
        service.output.unlink()
    raise AssertionError(output)


def _start_service(folder: Path, state: Path, environment: dict[str, str]) -> Service:
    """Start the service, and wait until it is ready or has exited."""
    port = free_port()
    output = state / "output.txt"
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", "lifecycle.serving.service:ModelService", "--port", str(port)],
            cwd=EXAMPLE_PROJECT,
            env=with_example()
            | {
                "BENTOML_DO_NOT_TRACK": "true",
                # Services with the same directory delete each other's metrics.
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
    """Run a service until the block ends."""
    service = start_service(folder, state, **environment)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()


@pytest.fixture(scope="session")
def service(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with its default settings, shared by tests."""
    with running(trained, tmp_path_factory.mktemp("service")) as started:
        yield started
