"""A client for a service on this machine: requests, readiness and free ports."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from lifecycle.shared.console import UserError

TIMEOUT = 5  # seconds for a response


def ask(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, Any]:
    """Send a request to a port of this machine.

    Returns:
        The status, and the body: decoded if it is JSON, else as text.

    Raises:
        OSError: If the connection fails or no response arrives within `TIMEOUT`.
        http.client.HTTPException: If the response is incomplete or not HTTP.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        sent = None if body is None and method == "GET" else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        content = response.read().decode()
    finally:
        connection.close()
    try:
        return response.status, json.loads(content)
    except ValueError:
        return response.status, content


def is_ready(port: int) -> bool:
    """Return whether a service accepts requests."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_until_ready(port: int, has_exited: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a service accepts requests.

    Args:
        port: Port of the service on this machine.
        has_exited: Returns whether the process of the service has exited.
        seconds: Timeout.

    Raises:
        UserError: If the service exits or is not ready in time.
    """
    deadline = time.monotonic() + seconds
    while not is_ready(port):
        if has_exited():
            raise UserError("the service exited")
        if time.monotonic() > deadline:
            raise UserError(f"the service was not ready within {seconds:g} s")
        time.sleep(0.1)


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
