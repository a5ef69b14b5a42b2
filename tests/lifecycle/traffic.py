"""Clients that send requests to production all the time, and record every failure."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.lifecycle.serving.conftest import EXAMPLE

_PAUSE = 0.04  # seconds; two clients send about 50 requests a second


@dataclass
class Client:
    """What one client has seen, which sends its next request after the answer to the last one.

    Attributes:
        versions: Model versions that have answered, in order.
        failed: Errors, and responses other than 200.
        requests: Number of requests.
    """

    versions: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    requests: int = 0

    def ask(self, client: httpx.Client, url: str) -> None:
        """Send one request."""
        self.requests += 1
        try:
            response = client.post(f"{url}/predict", json=EXAMPLE)
        except httpx.TransportError as error:
            self.failed.append(repr(error))
            return
        if response.status_code != httpx.codes.OK:
            self.failed.append(f"{response.status_code}: {response.text}")
        elif (version := response.json()["model_version"]) not in self.versions[-1:]:
            self.versions.append(version)


class Traffic:
    """The responses that the clients have received.

    Each client has its own record: at a switch, one may already have the answer of the new version while the other
    still waits for that of the old one.
    """

    def __init__(self) -> None:
        self.keeps_connection, self.opens_connections = self.clients = Client(), Client()

    @property
    def versions(self) -> list[list[str]]:
        """For each client, the versions that have answered it, in order."""
        return [client.versions for client in self.clients]

    @property
    def failed(self) -> list[str]:
        """The failures of all clients."""
        return [failure for client in self.clients for failure in client.failed]

    @property
    def requests(self) -> int:
        """The number of requests of all clients."""
        return sum(client.requests for client in self.clients)


@contextmanager
def traffic(url: str) -> Iterator[Traffic]:
    """Send 50 requests a second; one client keeps its connection, the other opens one for each request."""
    seen, stopped = Traffic(), threading.Event()

    def keep_asking(record: Client, connections: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=connections)
        with httpx.Client(limits=limits, timeout=10) as client:
            while not stopped.wait(_PAUSE):
                record.ask(client, url)

    threads = [
        threading.Thread(target=keep_asking, args=(seen.keeps_connection, 1)),
        threading.Thread(target=keep_asking, args=(seen.opens_connections, 0)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
