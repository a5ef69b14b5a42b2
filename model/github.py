"""GitHub's REST API, as the environment of its runners names it."""

import json
import os
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

_AT_A_TIME = 100
_MOST_PAGES = 50
_PATIENCE = 20  # seconds
_MOST_BYTES = 2**24

# What a call raises where GitHub cannot be reached, refuses, or says something that is no answer.
Errors = (OSError, ValueError)


def event() -> dict[str, Any]:
    """What has started the workflow; empty where none runs."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return found


def url(path: str, **query: str | int) -> str:
    """The address of something of this repository."""
    asked = f"?{urlencode(query)}" if query else ""
    return f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}{asked}"


def get(path: str, **query: str | int) -> Any:
    """What is there."""
    return json.loads(_read(url(path, **query), _MOST_BYTES))


def get_all(path: str, **query: str | int) -> list[dict[str, Any]]:
    """All of a list, which GitHub gives page by page."""
    found: list[dict[str, Any]] = []
    for page in range(1, _MOST_PAGES + 1):
        some = get(path, per_page=_AT_A_TIME, page=page, **query)
        found += some
        if len(some) < _AT_A_TIME:
            break
    return found


def download(path: str, most: int) -> bytes:
    """The bytes that are there, wherever GitHub keeps them.

    Raises:
        ValueError: Where they are more than `most`.
    """
    return _read(url(path), most)


def _read(address: str, most: int) -> bytes:
    request = urllib.request.Request(address, headers={"Accept": "application/vnd.github+json"})  # noqa: S310 - GitHub's
    # The token is not for the store that a download is redirected to.
    request.add_unredirected_header("Authorization", f"Bearer {os.environ['GITHUB_TOKEN']}")
    with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
        found: bytes = answer.read(most + 1)
    if len(found) > most:
        raise ValueError(f"{address} has more than {most:,} bytes")
    return found
