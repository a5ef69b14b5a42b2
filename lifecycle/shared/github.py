"""A client of GitHub's API for workflow runs, configured by the environment variables that GitHub sets there."""

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

from lifecycle.shared.console import CommandError, UserError

# The user that a workflow's token belongs to. By this email address GitHub attributes a commit to it.
BOT = "github-actions[bot]"
AS_BOT = ("-c", f"user.name={BOT}", "-c", f"user.email=41898282+{BOT}@users.noreply.github.com")
_PAGE_SIZE = 100
_MOST_PAGES = 50
_TIMEOUT = 20  # seconds
_MOST_BYTES = 2**24

# What a call may raise if GitHub cannot be reached, refuses a request, or sends a response that cannot be parsed.
Errors = (OSError, ValueError, HTTPException, subprocess.TimeoutExpired)


def event() -> dict[str, Any]:
    """Return the event that started the workflow; empty outside of a workflow."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    payload: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return payload


def output(**values: str) -> None:
    """Set outputs of the workflow step, if there is one; each value must be a single line."""
    path = os.environ.get("GITHUB_OUTPUT")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{name.replace('_', '-')}={value}\n" for name, value in values.items())


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line, because a line break would end a workflow command."""
    return " ".join(str(error).split())[:500]


@contextmanager
def errors_for_people() -> Iterator[None]:
    """Turn an error of GitHub, or of a command that the block runs, into a `UserError`."""
    try:
        yield
    except Errors as error:
        raise UserError(f"a request to GitHub failed: {one_line(error)}") from error
    except CommandError as error:
        raise UserError(str(error)) from error


def url(path: str, **query: str | int) -> str:
    """Return the API address of a resource of this repository."""
    parameters = f"?{urlencode(query)}" if query else ""
    return f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}{parameters}"


def get(path: str, **query: str | int) -> Any:
    """Get a resource of this repository, parsed from JSON."""
    return json.loads(_read(url(path, **query), _MOST_BYTES))


def get_all(path: str, **query: str | int) -> list[dict[str, Any]]:
    """Get all items of a list, which GitHub returns page by page."""
    items: list[dict[str, Any]] = []
    for page in range(1, _MOST_PAGES + 1):
        on_page = get(path, per_page=_PAGE_SIZE, page=page, **query)
        items += on_page
        if len(on_page) < _PAGE_SIZE:
            break
    return items


def merged_by(commit: str) -> dict[str, Any] | None:
    """Return the pull request whose merge made a commit; None if no merge did."""
    pulls: list[dict[str, Any]] = get(f"commits/{commit}/pulls")
    return next((pull for pull in pulls if pull["merge_commit_sha"] == commit), None)


def download(path: str, most: int) -> bytes:
    """Download the bytes of a resource, also from the storage that GitHub redirects to.

    Raises:
        ValueError: If there are more than `most` bytes.
    """
    return _read(url(path), most)


def file(path: str, commit: str, most: int) -> bytes:
    """Return a file as it is in a commit; for a symbolic link, the file that it points to.

    Raises:
        ValueError: If it has more than `most` bytes.
    """
    return _read(url(f"contents/{path}", ref=commit), most, accept="application/vnd.github.raw+json")


def send(method: str, path: str, **fields: Any) -> None:
    """Send a request that writes, through GitHub's command `gh`, which GitHub installs on every runner.

    Args:
        method: HTTP method.
        path: Path of the resource in this repository.
        fields: Fields of the request body, as GitHub's API names them.

    Raises:
        OSError: If `gh` is not installed, or GitHub refuses.
    """
    # `gh` reads the token from the first variable for github.com, and from the second for an enterprise's server.
    token = os.environ["GITHUB_TOKEN"]
    completed = subprocess.run(
        # The body goes through stdin, because a report can be longer than an argument may be.
        ["gh", "api", "--silent", "--method", method, "--input", "-", url(path)],
        input=json.dumps(fields),
        env=os.environ | {"GH_TOKEN": token, "GH_ENTERPRISE_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT * 3,
    )
    if completed.returncode:
        raise OSError(f"gh: {completed.stderr.strip()}")


def mutate(mutation: str, **variables: str) -> None:
    """Run a mutation of GitHub's GraphQL API, for changes that the REST API does not offer.

    Args:
        mutation: Fields of the mutation, in GraphQL.
        variables: Variables that the mutation uses, each of the type ``ID!``.

    Raises:
        ValueError: If GitHub refuses; the message holds its reasons.
    """
    declared = ", ".join(f"${name}: ID!" for name in variables)
    body = json.dumps({"query": f"mutation({declared}) {{ {mutation} }}", "variables": variables}).encode()
    response = json.loads(_read(os.environ["GITHUB_GRAPHQL_URL"], _MOST_BYTES, body))
    if response.get("errors"):
        raise ValueError("; ".join(str(error.get("message")) for error in response["errors"]))


def git_credentials(remote: str) -> dict[str, str]:
    """Return the environment variables with which git uses the workflow's token at a remote and never prompts."""
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


def _read(address: str, most: int, body: bytes | None = None, accept: str = "application/vnd.github+json") -> bytes:
    request = urllib.request.Request(address, body, {"Accept": accept})  # noqa: S310 - GitHub's address
    # The token must not reach the storage that a download is redirected to.
    request.add_unredirected_header("Authorization", f"Bearer {os.environ['GITHUB_TOKEN']}")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
        content: bytes = response.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{address} has more than {most:,} bytes")
    return content
