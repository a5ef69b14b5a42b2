"""A stand-in for the few calls of GitHub's REST API that the workflows make. It keeps what it is asked.

An unknown call is answered with 404 and shows in `asked`, so that a test that does not expect it fails.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.github import contents

NAME = "acme/flights"
BOT = "github-actions[bot]"
# An enterprise's server has its API under its own address; `cml` asks there whatever is not github.com.
_API = f"/api/v3/repos/{NAME}/"
_JSON = "application/vnd.github+json"
# "per_page: The number of results per page (max 100)", in GitHub's documentation of each list.
_MOST_PER_PAGE = 100


@dataclass
class GitHub:
    """The stand-in.

    Attributes:
        answers: What a GET of a path of the repository is answered with.
        pulls: The open pull requests.
        repository: Work tree of the repository, from which changed files, comparisons and contents are answered.
        comments: At a pull request, by number, the oldest first.
        artifacts: Zip file of what a run has left, by number of the run, name and number of the artifact.
        releases: As they were made.
        issues: The issues, the oldest first.
        dispatched: The workflows that were started, with what they were given.
        auto_merged: The pull requests that are merged when all checks have passed.
        refused: Methods and paths that are answered with 403.
        asked: Method, path and body of each request.
        tokens: The tokens that came with them.
        url: Of the server.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    repository: Path | None = None
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    artifacts: dict[tuple[int, str, int], bytes] = field(default_factory=dict)
    releases: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    dispatched: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    auto_merged: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    url: str = ""

    @property
    def api(self) -> str:
        """What a runner calls GITHUB_API_URL."""
        return f"{self.url}/api/v3"

    def comment(self, number: int, body: str, author: str = BOT) -> dict[str, Any]:
        """Somebody comments at a pull request."""
        one = {"id": 1000 + sum(map(len, self.comments.values())), "body": body, "user": {"login": author}}
        self.comments.setdefault(number, []).append(one)
        return one | {"html_url": f"{self.url}/{NAME}/pull/{number}#issuecomment-{one['id']}"}

    def issue(self, title: str, body: str, labels: list[str], author: str = BOT) -> dict[str, Any]:
        """Somebody opens an issue."""
        one = {"number": 100 + len(self.issues), "title": title, "body": body, "state": "open", "closed_by": None}
        self.issues.append(one | {"user": {"login": author}, "labels": [{"name": label} for label in labels]})
        return self.issues[-1]

    def pull(self, title: str, body: str, head: str, base: str, author: str = BOT) -> dict[str, Any]:
        """Somebody opens a pull request from a branch of the repository."""
        owner, number = {"login": NAME.partition("/")[0]}, 200 + len(self.pulls)
        repository = {"full_name": NAME, "fork": False, "owner": owner}
        one = {"number": number, "node_id": f"PR_{number}", "title": title, "body": body, "state": "open", "labels": []}
        one |= {"user": {"login": author}, "created_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        one |= {"head": {"ref": head, "user": owner, "repo": repository}, "base": {"ref": base}}
        self.pulls.append(one)
        return one

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, accept: str = _JSON) -> tuple[int, Any]:
        """Status and answer to a call; bytes are sent as they are."""
        self.asked.append((method, path, body))
        if {method, path} & self.refused:
            return 403, {"message": "Resource not accessible by integration"}
        found = self._of_issues(method, path, query, body)
        if found is None:
            found = self._of_pulls(method, path, body)
        if found is None and method == "GET" and self.repository:
            found = self._of_git(self.repository, path, query, accept)
        if found is None:
            found = self._found(method, path, query, body)
        if found is None:
            return 404, {"message": "Not Found"}
        if isinstance(found, list):
            size, page = (int(query.get(name, default)) for name, default in (("per_page", "30"), ("page", "1")))
            size = min(size, _MOST_PER_PAGE)
            found = found[size * (page - 1) : size * page]
        return (201 if method == "POST" else 200), found

    def _found(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:  # noqa: PLR0911 - one for each call
        match method, *path.split("/"):
            case "GET", "pulls":
                return [
                    one
                    for one in self.pulls
                    if query["state"] in {one["state"], "all"}
                    and query["base"] == one["base"]["ref"]
                    and query.get("head") in {None, f"{one['head']['user']['login']}:{one['head']['ref']}"}
                ]
            case "GET", "issues", number, "comments":
                return self.comments.get(int(number), [])
            case "POST", "issues", number, "comments":
                return self.comment(int(number), body["body"])
            case "PATCH", "issues", "comments", number:
                found = [one for some in self.comments.values() for one in some if one["id"] == int(number)]
                for one in found:
                    one["body"] = body["body"]
                return found[0] | {"html_url": ""} if found else None
            case "POST", "releases":
                self.releases.append(body)
                return body
            case "GET", "releases":
                return self.releases
            case "GET", "actions", "runs", number, "artifacts":
                listed = [
                    {"id": artifact, "name": name, "size_in_bytes": len(content), "expired": False}
                    for (run, name, artifact), content in self.artifacts.items()
                    if run == int(number) and name == query.get("name", name)
                ]
                return {"total_count": len(listed), "artifacts": listed}
        return self.answers.get(path) if method == "GET" else None

    def _of_issues(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        match method, *path.split("/"):
            case "GET", "issues":
                asked = {"open", "closed"} if query["state"] == "all" else {query["state"]}
                label = {"name": query["labels"]}
                listed = [one for one in self.issues if one["state"] in asked and label in one["labels"]]
                return listed if query["direction"] == "asc" else listed[::-1]
            case "POST", "issues":
                return self.issue(**body)
            case (("GET" | "PATCH"), "issues", number):
                (issue,) = (one for one in self.issues if one["number"] == int(number))
                if method == "PATCH":
                    issue |= body | {"closed_by": {"login": BOT} if body.get("state") == "closed" else None}
                return issue
        return None

    def _of_pulls(self, method: str, path: str, body: Any) -> Any:
        match method, *path.split("/"):
            case "POST", "pulls":
                return self.pull(**body)
            case "PATCH", "pulls", number:
                (pull,) = (one for one in self.pulls if one["number"] == int(number))
                pull |= body
                return pull
            case "POST", "issues", number, "labels":
                (pull,) = (one for one in self.pulls if one["number"] == int(number))
                pull["labels"] += [{"name": name} for name in body["labels"]]
                return pull["labels"]
            case "POST", "actions", "workflows", name, "dispatches":
                self.dispatched.append((name, body))
                return {}
            case "POST", "graphql":
                assert "enablePullRequestAutoMerge" in body["query"]
                self.auto_merged.append(body["variables"]["pull"])
                return {"data": {}}
        return None

    def _of_git(self, repository: Path, path: str, query: dict[str, str], accept: str) -> Any:
        match path.split("/"):
            case "pulls", number, *rest if rest in ([], ["files"]):
                pull = next((one for one in self.pulls if one["number"] == int(number)), None)
                if pull is None:
                    return None
                between = (repository, pull["base"]["ref"], pull["head"]["sha"])
                if rest:
                    return contents.listed_files(*between)
                # A pull request in a list does not have this: docs.github.com/rest/pulls/pulls#get-a-pull-request
                return pull | {"changed_files": len(contents.changed_files(*between))}
            case "compare", *rest:
                base, _, head = "/".join(rest).partition("...")
                return contents.comparison(repository, base, head, int(query.get("page", "1")))
            case "contents", *rest:
                # The default branch, unless `ref` says otherwise.
                return contents.content(repository, "/".join(rest), query.get("ref", "main"), accept)
        return None

    def stored(self, path: str) -> bytes | None:
        """What an artifact's number stands for, at the API and in the store that it redirects to."""
        number = re.fullmatch(r"(?:actions/artifacts/|/store/)(\d+)(?:/zip)?", path)
        found = [
            content for (_, _, artifact), content in self.artifacts.items() if number and artifact == int(number[1])
        ]
        return found[0] if found else None


@contextmanager
def github() -> Iterator[GitHub]:
    """A stand-in that listens."""
    stand_in = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self._body()
            url = urlsplit(self.path)
            token = self.headers.get("Authorization")
            if url.path.startswith("/store/"):
                # As the real one: it has another host, and refuses who shows it GitHub's token.
                found = stand_in.stored(url.path)
                self._send(400 if token or found is None else 200, found or b"", "application/zip")
                return
            path = url.path.removeprefix(_API).removeprefix("/api/")
            stand_in.tokens.add((token or "").removeprefix("Bearer ").removeprefix("token "))
            if self.command == "GET" and stand_in.stored(path) is not None:
                stand_in.asked.append((self.command, path, None))
                number = path.split("/")[-2]
                self._send(302, b"", Location=f"http://localhost:{server.server_port}/store/{number}")
                return
            query, accept = dict(parse_qsl(url.query)), self.headers.get("Accept", _JSON)
            given = json.loads(body) if body else None
            status, answer = stand_in.answer(self.command, unquote(path), query, given, accept)
            if isinstance(answer, bytes):
                self._send(status, answer, f"{contents.RAW}; charset=utf-8")
            else:
                self._send(status, json.dumps(answer).encode())

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))
            # As `gh` sends what it is given by its input.
            parts = iter(lambda: self.rfile.read(int(self.rfile.readline(), 16) + 2)[:-2], b"")
            return b"".join(parts)

        def _send(self, status: int, content: bytes, kind: str = "application/json", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
