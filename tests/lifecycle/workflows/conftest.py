"""The stand-in for GitHub as a fixture."""

from collections.abc import Iterator

import pytest

from tests.github import server
from tests.github.server import GitHub


@pytest.fixture
def github() -> Iterator[GitHub]:
    with server.github() as started:
        yield started
