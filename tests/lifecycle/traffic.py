"""Clients that send requests to production all the time, and record every failure."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.lifecycle.serving.conftest import EXAMPLE

_PAUSE = 0.04  # seconds; two clients send about 50 requests a second


@dataclass
class Traffic:
    """The responses that clients have received.

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


@contextmanager
def traffic(url: str) -> Iterator[Traffic]:
    """Send 50 requests a second; one client keeps its connection, the other opens one for each request."""
    seen, stopped = Traffic(), threading.Event()

    def keep_asking(*, keeps: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=1 if keeps else 0)
        with httpx.Client(limits=limits, timeout=10) as client:
            while not stopped.wait(_PAUSE):
                seen.ask(client, url)

    threads = [threading.Thread(target=keep_asking, kwargs={"keeps": keeps}) for keeps in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
