"""Clients that ask production all the time, and count what is not an answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.lifecycle.serving.conftest import EXAMPLE

_PAUSE = 0.04  # seconds; two clients with it ask some 50 times a second


@dataclass
class Traffic:
    """What clients have seen.

    Attributes:
        versions: That have answered, in turn.
        failed: What else has come.
        requests: In all.
    """

    versions: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    requests: int = 0

    def ask(self, client: httpx.Client, url: str) -> None:
        """Ask once."""
        self.requests += 1
        try:
            answer = client.post(f"{url}/predict", json=EXAMPLE)
        except httpx.TransportError as error:
            self.failed.append(repr(error))
            return
        if answer.status_code != httpx.codes.OK:
            self.failed.append(f"{answer.status_code}: {answer.text}")
        elif (version := answer.json()["model_version"]) not in self.versions[-1:]:
            self.versions.append(version)


@contextmanager
def traffic(url: str) -> Iterator[Traffic]:
    """Ask 50 times a second; half of the clients keep their connection, the others make one for each request."""
    seen, over = Traffic(), threading.Event()

    def keep_asking(*, keeps: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=1 if keeps else 0)
        with httpx.Client(limits=limits, timeout=10) as client:
            while not over.wait(_PAUSE):
                seen.ask(client, url)

    threads = [threading.Thread(target=keep_asking, kwargs={"keeps": keeps}) for keeps in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()
