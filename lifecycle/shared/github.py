"""GitHub's REST API, as the environment of its runners names it."""

import base64
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from lifecycle.shared.commands import CommandError
from lifecycle.shared.console import UserError

# By whose name a workflow's token writes, and git with it: by the address GitHub shows a commit as its own.
BOT = "github-actions[bot]"
AS_BOT = ("-c", f"user.name={BOT}", "-c", f"user.email=41898282+{BOT}@users.noreply.github.com")
_AT_A_TIME = 100
_MOST_PAGES = 50
_PATIENCE = 20  # seconds
_MOST_BYTES = 2**24

# What a call raises where GitHub cannot be reached, refuses, or says something that is no answer.
Errors = (OSError, ValueError, HTTPException, subprocess.TimeoutExpired)


def event() -> dict[str, Any]:
    """What has started the workflow; empty where none runs."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return found


def output(**values: str) -> None:
    """Tell the next steps of the workflow, if one runs; values of a line each."""
    path = os.environ.get("GITHUB_OUTPUT")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{name.replace('_', '-')}={value}\n" for name, value in values.items())


def one_line(error: BaseException) -> str:
    """An error as a workflow command can say it: a line break would end it, and begin another."""
    return " ".join(str(error).split())[:500]


@contextmanager
def errors_for_people() -> Iterator[None]:
    """Turn an error of GitHub, or of a program that was run meanwhile, into a `UserError`."""
    try:
        yield
    except Errors as error:
        raise UserError(f"GitHub did not do what it was asked: {one_line(error)}") from error
    except CommandError as error:
        raise UserError(str(error)) from error


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


def merged_by(commit: str) -> dict[str, Any] | None:
    """The pull request by which a commit came to main; None where it came otherwise."""
    found: list[dict[str, Any]] = get(f"commits/{commit}/pulls")
    return next((one for one in found if one["merge_commit_sha"] == commit), None)


def download(path: str, most: int) -> bytes:
    """The bytes that are there, wherever GitHub keeps them.

    Raises:
        ValueError: Where they are more than `most`.
    """
    return _read(url(path), most)


def file(path: str, commit: str, most: int) -> bytes:
    """A file as it is in a commit; of a symbolic link what it leads to.

    Raises:
        ValueError: Where it has more than `most` bytes.
    """
    return _read(url(f"contents/{path}", ref=commit), most, accept="application/vnd.github.raw+json")


def send(method: str, path: str, **fields: Any) -> None:
    """Write, by GitHub's own program `gh`, which every runner of theirs has.

    Args:
        method: Of HTTP.
        path: In this repository.
        fields: As GitHub's API names them, in terms of JSON.

    Raises:
        OSError: Where there is no `gh`, or GitHub refuses.
    """
    # The token goes by either name: GitHub's own host takes the one, an enterprise's the other.
    token = os.environ["GITHUB_TOKEN"]
    done = subprocess.run(
        # By its input: an argument may not be as long as a report.
        ["gh", "api", "--silent", "--method", method, "--input", "-", url(path)],
        input=json.dumps(fields),
        env=os.environ | {"GH_TOKEN": token, "GH_ENTERPRISE_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE * 3,
    )
    if done.returncode:
        raise OSError(f"gh: {done.stderr.strip()}")


def mutate(mutation: str, **variables: str) -> None:
    """Change what only GitHub's other API can, the one by GraphQL.

    Args:
        mutation: In terms of GraphQL.
        variables: That it names, all of them ids.

    Raises:
        ValueError: Where GitHub refuses; it says why.
    """
    named = ", ".join(f"${name}: ID!" for name in variables)
    asked = json.dumps({"query": f"mutation({named}) {{ {mutation} }}", "variables": variables}).encode()
    answer = json.loads(_read(os.environ["GITHUB_GRAPHQL_URL"], _MOST_BYTES, asked))
    if answer.get("errors"):
        raise ValueError("; ".join(str(error.get("message")) for error in answer["errors"]))


def git_credentials(remote: str) -> dict[str, str]:
    """The environment in which git may do at a remote what the workflow's token may; and asks nobody for a password."""
    server, token = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_TOKEN")
    if not server or not token or not remote.startswith(f"{server}/"):
        return {"GIT_TERMINAL_PROMPT": "0"}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{server}/.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {basic}",
    }


def _read(address: str, most: int, given: bytes | None = None, accept: str = "application/vnd.github+json") -> bytes:
    request = urllib.request.Request(address, given, {"Accept": accept})  # noqa: S310 - GitHub's
    # The token is not for the store that a download is redirected to.
    request.add_unredirected_header("Authorization", f"Bearer {os.environ['GITHUB_TOKEN']}")
    with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
        found: bytes = answer.read(most + 1)
    if len(found) > most:
        raise ValueError(f"{address} has more than {most:,} bytes")
    return found
