"""Prove an image before anybody is served by it: `python -m lifecycle.release.prove IMAGE`.

It is run as hardened as in production, and asked: is it of this commit, does it answer as the model does in process,
does it refuse what the contract does not allow, is it fast enough, does it end without breaking off an answer?
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
from lifecycle.release.smoke import EXAMPLE, SAME, difference, expected_answers
from lifecycle.shared import console
from lifecycle.shared.console import UserError
from lifecycle.shared.months import to_columns
from lifecycle.shared.params import load_params
from lifecycle.shared.predictor import Predictor
from model import contract

HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")  # noqa: S108 - the container's
_ROWS = 200  # of the holdout that it is asked about
_ASKED = 200  # times, to see how fast it is
_SHOWN = 20  # lines of what it has said
_PATIENCE = 20  # seconds for an end


def prove(image: str, engine: str, seconds_to_start: float = 60) -> Iterator[str]:
    """Run an image and ask it.

    Args:
        image: Its name.
        engine: `docker` or `podman`.
        seconds_to_start: It has to be ready within.

    Yields:
        What holds, a line each.

    Raises:
        UserError: At the first thing that is wrong.
    """
    with _running(image, engine) as (name, port):
        started = time.monotonic()
        try:
            wait_until_ready(port, lambda: _has_ended(engine, name), seconds_to_start)
        except UserError as error:
            # Not by `--tail`: podman 4 then leaves out what was written apart from its end of line.
            last = _said(engine, "logs", name).splitlines()[-_SHOWN:]
            raise _unfit("\n".join([f"{error}. It said:", *last])) from error
        yield f"ready after {time.monotonic() - started:.1f} s"
        lineage = read_lineage(LINEAGE, stage.MODEL)
        told = ask(port, "GET", "/model")[1]
        if told.get("commit") != lineage["commit"]:
            raise _unfit(f"it is of commit {told.get('commit')}, and not of {lineage['commit']}")
        yield f"of commit {lineage['commit'][:12]}"
        yield _answers(port)
        yield _refuses(port)
        yield _is_fast(port)
        yield _ends_well(port, [engine, "stop", "--time", str(_PATIENCE), name])
        status = _said(engine, "inspect", "--format", "{{.State.ExitCode}}", name)
        if status != "0":
            raise _unfit(f"its exit status at SIGTERM is {status}")


def _has_ended(engine: str, name: str) -> bool:
    return _said(engine, "inspect", "--format", "{{.State.Status}}", name) in {"exited", "stopped", "dead"}


def _answers(port: int) -> str:
    table = pq.read_table(stage.PREPARED / "holdout.parquet").slice(0, _ROWS).drop_columns([contract.TARGET])
    rows = [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    predictor = Predictor.load(stage.MODEL)
    seen = {"rows": rows, "probabilities": predictor.probabilities(to_columns(table))}
    try:
        off = max(difference(port, answers, {}) for answers in (expected_answers(predictor), seen))
    except UserError as error:
        raise _unfit(str(error)) from error
    if off > SAME:
        raise _unfit(f"its probabilities are off by up to {off:.3g}")
    return f"answers the contract's examples, and {len(rows)} rows as the model does in process, to {off:.0e}"


def _refuses(port: int) -> str:
    wrong: list[Any] = [EXAMPLE | {"no_such_column": 1}, EXAMPLE | {contract.INPUTS[0].name: []}, {}, "text", None]
    for body in wrong:
        status, answer = ask(port, "POST", "/predict", body)
        if not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _unfit(f"it answers {json.dumps(body)[:80]} with {status}: {answer}")
    return f"refuses {len(wrong)} kinds of bad input"


def _is_fast(port: int) -> str:
    budget = load_params().gates.answer_milliseconds
    taken = []
    for _ in range(_ASKED):
        start = time.perf_counter()
        ask(port, "POST", "/predict", EXAMPLE)
        taken.append((time.perf_counter() - start) * 1000)
    median = statistics.median(taken)
    if median > budget:
        raise _unfit(f"a row takes {median:.1f} ms, and may take {budget:g} (gates.answer_milliseconds in params.yaml)")
    return f"answers a row in {median:.1f} ms"


def _ends_well(port: int, stop: list[str]) -> str:
    """End it while it is asked without a pause: what it has accepted, it answers, and whole."""
    answered, broken = [], []

    def keep_asking() -> None:
        with suppress(ConnectionRefusedError, ConnectionResetError, http.client.RemoteDisconnected):
            # So ends a connection that the system has taken and the service has not: the client may ask again.
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

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    subprocess.run(stop, capture_output=True, check=True)
    for thread in threads:
        thread.join()
    if broken or not answered:
        raise _unfit(f"at SIGTERM it breaks answers off: {broken[0] if broken else 'none came'}")
    return f"ends at SIGTERM; {len(answered)} requests that came meanwhile were answered"


def _unfit(why: str) -> UserError:
    return UserError(f"the image is not fit to be released: {why}")


def _said(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip()


@contextmanager
def _running(image: str, engine: str) -> Iterator[tuple[str, int]]:
    """The image as a container: its name and its port."""
    port = free_port()
    name = f"{contract.NAME}-proof-{os.getpid()}"
    # The same port on both sides: so it works where the engine gives containers this machine's network, too.
    options = ("--publish", f"127.0.0.1:{port}:{port}", "--env", f"BENTOML_PORT={port}")
    try:
        done = subprocess.run(
            [engine, "run", "--detach", "--name", name, *HARDENED, *options, image],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UserError(f"the image {image} does not start: {done.stderr.strip()}")
        yield name, port
    finally:
        for command in (["kill", name], ["rm", "--force", "--volumes", name]):  # podman's `rm` alone would wait
            subprocess.run([engine, *command], capture_output=True, check=False)


def main() -> None:
    """Prove an image, and say what holds."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.prove", description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--engine", default="", help="docker or podman; by default the first that answers")
    arguments = parser.parse_args()
    for line in prove(arguments.image, find_engine(arguments.engine)):
        print(f"✓ {line}", flush=True)


if __name__ == "__main__":
    console.run_main(main)
