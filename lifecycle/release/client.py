"""Asks a running service over HTTP."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from lifecycle.shared.console import UserError

PATIENCE = 5  # seconds for an answer


def ask(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, Any]:
    """Send a request to a port of this machine.

    Returns:
        The status, and the answer; a text where it is no JSON.

    Raises:
        OSError: Where nothing answers in time.
        http.client.HTTPException: Where an answer is broken off.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        sent = None if body is None and method == "GET" else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        content = answer.read().decode()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(content)
    except ValueError:
        return answer.status, content


def is_ready(port: int) -> bool:
    """Whether a service takes requests."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_until_ready(port: int, has_ended: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a service takes requests.

    Args:
        port: Port of this machine.
        has_ended: Tells whether the process of the service has ended.
        seconds: Time that it has to get ready.

    Raises:
        UserError: If it ends, or is not ready in time.
    """
    until = time.monotonic() + seconds
    while not is_ready(port):
        if has_ended():
            raise UserError("it has ended")
        if time.monotonic() > until:
            raise UserError(f"it is not ready within {seconds:g} s")
        time.sleep(0.1)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
