"""Verify an image before its release: `python -m lifecycle.release.prove IMAGE`.

It runs the image as hardened as in production, and checks that it was built from this commit, predicts the same as the
model in process, rejects invalid requests, is fast enough, and completes its requests when it is stopped.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any

import pyarrow.parquet as pq

from lifecycle.pipeline import stage
from lifecycle.pipeline.lineage import LINEAGE, read_lineage
from lifecycle.release.client import ask, free_port, wait_until_ready
from lifecycle.release.image import find_engine
from lifecycle.release.smoke import EXAMPLE, SAME, expected_answers, largest_difference
from lifecycle.shared import console
from lifecycle.shared.console import UserError
from lifecycle.shared.params import load_params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns
from model import contract

HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")  # noqa: S108 - the container's
_ROWS = 200  # rows of the holdout whose predictions are compared
_TIMED = 200  # requests whose latency is measured
_SHOWN = 20  # lines of the log in an error message
_STOP_TIMEOUT = 20  # seconds


def prove(image: str, engine: str, seconds_to_start: float = 60) -> Iterator[str]:
    """Run an image and check it.

    Args:
        image: Name of the image.
        engine: `docker` or `podman`.
        seconds_to_start: Timeout for the service to become ready.

    Yields:
        A line for each check that passes.

    Raises:
        UserError: If the image does not start, or at the first check that fails.
    """
    with _running(image, engine) as (name, port):
        started = time.monotonic()
        try:
            wait_until_ready(port, lambda: _has_exited(engine, name), seconds_to_start)
        except UserError as error:
            # Not with `--tail`: podman 4 then omits lines whose text and line break were written separately.
            last_lines = _output_of(engine, "logs", name).splitlines()[-_SHOWN:]
            raise _unfit("\n".join([f"{error}. The end of its log:", *last_lines])) from error
        yield f"ready after {time.monotonic() - started:.1f} s"
        lineage = read_lineage(LINEAGE, stage.MODEL)
        answer = ask(port, "GET", "/model")[1]
        if answer.get("commit") != lineage["commit"]:
            raise _unfit(f"it was built from commit {answer.get('commit')} instead of {lineage['commit']}")
        yield f"built from commit {lineage['commit'][:12]}"
        yield _check_predictions(port)
        yield _check_invalid_requests(port)
        yield _check_latency(port)
        yield _check_stop(port, [engine, "stop", "--time", str(_STOP_TIMEOUT), name])
        status = _output_of(engine, "inspect", "--format", "{{.State.ExitCode}}", name)
        if status != "0":
            raise _unfit(f"its exit status after SIGTERM is {status}")


def _has_exited(engine: str, name: str) -> bool:
    return _output_of(engine, "inspect", "--format", "{{.State.Status}}", name) in {"exited", "stopped", "dead"}


def _check_predictions(port: int) -> str:
    table = pq.read_table(stage.PREPARED / "holdout.parquet").slice(0, _ROWS).select([*EXAMPLE])
    rows = [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    predictor = Predictor.load(stage.MODEL)
    predictions = predictor.predict(to_columns(table))
    holdout = {"rows": rows, "predictions": predictions, "target": predictor.metadata["target"]}
    try:
        difference = max(largest_difference(port, answers, {}) for answers in (expected_answers(predictor), holdout))
    except UserError as error:
        raise _unfit(str(error)) from error
    if difference > SAME:
        raise _unfit(f"its predictions differ from the model's by up to {difference:.3g}")
    return f"predicts the contract's examples and {len(rows)} holdout rows as the model does, within {difference:.0e}"


def _check_invalid_requests(port: int) -> str:
    bodies: list[Any] = [EXAMPLE | {"no such column": 1}, EXAMPLE | {next(iter(EXAMPLE)): []}, [], "text", None]
    for body in bodies:
        status, answer = ask(port, "POST", "/predict", body)
        if not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _unfit(f"POST /predict with {json.dumps(body)[:80]} returned {status} instead of 4xx: {answer}")
    return f"rejects {len(bodies)} kinds of invalid requests"


def _check_latency(port: int) -> str:
    budget = load_params().gates.answer_milliseconds
    latencies = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        ask(port, "POST", "/predict", EXAMPLE)
        latencies.append((time.perf_counter() - start) * 1000)
    median = statistics.median(latencies)
    if median > budget:
        raise _unfit(
            f"a prediction takes {median:.1f} ms (median); at most {budget:g} ms is allowed "
            f"(gates.answer_milliseconds in params.yaml)"
        )
    return f"predicts a row in {median:.1f} ms (median)"


def _check_stop(port: int, stop: list[str]) -> str:
    """Stop the service under load, and check that it answers every request that it has accepted."""
    answered, broken = [], []

    def send_requests() -> None:
        with suppress(ConnectionRefusedError, ConnectionResetError, http.client.RemoteDisconnected):
            # These errors mean that the service never accepted the connection: the client may retry.
            while True:
                try:
                    status, answer = ask(port, "POST", "/predict", EXAMPLE)
                except http.client.IncompleteRead as error:
                    broken.append(repr(error))
                    return
                if status == HTTPStatus.OK:
                    answered.append(answer)
                elif status != HTTPStatus.SERVICE_UNAVAILABLE:
                    broken.append(f"{status}: {answer}")

    threads = [threading.Thread(target=send_requests) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    subprocess.run(stop, capture_output=True, check=True)
    for thread in threads:
        thread.join()
    if broken or not answered:
        raise _unfit(f"it does not complete its requests at SIGTERM: {broken[0] if broken else 'it answered none'}")
    return f"stops at SIGTERM after it has answered all {len(answered)} requests that it had accepted"


def _unfit(why: str) -> UserError:
    return UserError(f"the image cannot be released: {why}")


def _output_of(*command: str) -> str:
    completed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return completed.stdout.strip()


@contextmanager
def _running(image: str, engine: str) -> Iterator[tuple[str, int]]:
    """Run the image in a container, and yield the name of the container and the port of the service."""
    port = free_port()
    name = f"{contract.NAME}-proof-{os.getpid()}"
    # The same port inside and outside also works if the engine gives containers the network of this machine.
    options = ("--publish", f"127.0.0.1:{port}:{port}", "--env", f"BENTOML_PORT={port}")
    try:
        completed = subprocess.run(
            [engine, "run", "--detach", "--name", name, *HARDENED, *options, image],
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode:
            raise UserError(f"the image {image} does not start: {completed.stderr.strip()}")
        yield name, port
    finally:
        # `podman rm` alone would wait for the container to stop.
        for command in (["kill", name], ["rm", "--force", "--volumes", name]):
            subprocess.run([engine, *command], capture_output=True, check=False)


def main() -> None:
    """Verify the image that the arguments name, and print the checks that pass."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.prove", description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--engine", default="", help="docker or podman; by default the first that runs")
    arguments = parser.parse_args()
    for line in prove(arguments.image, find_engine(arguments.engine)):
        print(f"✓ {line}", flush=True)


if __name__ == "__main__":
    console.run_main(main)
