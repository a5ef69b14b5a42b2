"""A stand-in for the calls of GitHub's REST API that the workflows make. It records all requests.

Unknown calls get a 404 and are recorded in `asked`, so that tests can detect unexpected ones.
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
# The path of the API on GitHub Enterprise Server, which `cml` uses for every host but github.com.
_API = f"/api/v3/repos/{NAME}/"
_JSON = "application/vnd.github+json"
# "per_page: The number of results per page (max 100)", in GitHub's documentation of each list.
_MOST_PER_PAGE = 100


@dataclass
class GitHub:
    """The state of the stand-in.

    Attributes:
        answers: Answer to a GET request, by path in the repository.
        pulls: Pull requests, open and closed.
        repository: Working tree of the repository, the source of changed files, comparisons and contents.
        comments: Comments on a pull request by its number, oldest first.
        artifacts: Zip file of an artifact, by number of the run, name and number of the artifact.
        releases: Releases, oldest first.
        issues: Issues, oldest first.
        dispatched: Workflows that were dispatched, with the body of the request.
        auto_merged: Ids of pull requests with auto-merge enabled.
        refused: Methods and paths that get a 403.
        asked: Method, path and body of each request.
        tokens: Tokens of the requests.
        url: Address of the server.
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
        """The address of the API, GITHUB_API_URL of a runner."""
        return f"{self.url}/api/v3"

    def comment(self, number: int, body: str, author: str = BOT) -> dict[str, Any]:
        """Add a comment to a pull request."""
        comment = {"id": 1000 + sum(map(len, self.comments.values())), "body": body, "user": {"login": author}}
        self.comments.setdefault(number, []).append(comment)
        return comment | {"html_url": f"{self.url}/{NAME}/pull/{number}#issuecomment-{comment['id']}"}

    def issue(self, title: str, body: str, labels: list[str], author: str = BOT) -> dict[str, Any]:
        """Open an issue."""
        issue = {"number": 100 + len(self.issues), "title": title, "body": body, "state": "open", "closed_by": None}
        self.issues.append(issue | {"user": {"login": author}, "labels": [{"name": label} for label in labels]})
        return self.issues[-1]

    def pull(self, title: str, body: str, head: str, base: str, author: str = BOT) -> dict[str, Any]:
        """Open a pull request from a branch of the repository."""
        owner, number = {"login": NAME.partition("/")[0]}, 200 + len(self.pulls)
        repository = {"full_name": NAME, "fork": False, "owner": owner}
        pull = {"number": number, "node_id": f"PR_{number}", "title": title, "body": body, "state": "open"}
        pull |= {"labels": [], "user": {"login": author}, "created_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        pull |= {"head": {"ref": head, "user": owner, "repo": repository}, "base": {"ref": base}}
        self.pulls.append(pull)
        return pull

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, accept: str = _JSON) -> tuple[int, Any]:
        """Return status and body for a request; a body of bytes is sent as it is."""
        self.asked.append((method, path, body))
        if {method, path} & self.refused:
            return 403, {"message": "Resource not accessible by integration"}
        answer = self._answer_issues(method, path, query, body)
        if answer is None:
            answer = self._answer_pulls(method, path, body)
        if answer is None and method == "GET" and self.repository:
            answer = self._answer_git(self.repository, path, query, accept)
        if answer is None:
            answer = self._answer_others(method, path, query, body)
        if answer is None:
            return 404, {"message": "Not Found"}
        if isinstance(answer, list):
            size, page = (int(query.get(name, default)) for name, default in (("per_page", "30"), ("page", "1")))
            size = min(size, _MOST_PER_PAGE)
            answer = answer[size * (page - 1) : size * page]
        return (201 if method == "POST" else 200), answer

    def _answer_others(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:  # noqa: PLR0911 - one for each call
        match method, *path.split("/"):
            case "GET", "pulls":
                return [
                    pull
                    for pull in self.pulls
                    if query["state"] in {pull["state"], "all"}
                    and query["base"] == pull["base"]["ref"]
                    and query.get("head") in {None, f"{pull['head']['user']['login']}:{pull['head']['ref']}"}
                ]
            case "GET", "issues", number, "comments":
                return self.comments.get(int(number), [])
            case "POST", "issues", number, "comments":
                return self.comment(int(number), body["body"])
            case "PATCH", "issues", "comments", number:
                everywhere = (comment for comments in self.comments.values() for comment in comments)
                comment = next((comment for comment in everywhere if comment["id"] == int(number)), None)
                if comment:
                    comment["body"] = body["body"]
                return comment | {"html_url": ""} if comment else None
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

    def _answer_issues(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        match method, *path.split("/"):
            case "GET", "issues":
                states = {"open", "closed"} if query["state"] == "all" else {query["state"]}
                label = {"name": query["labels"]}
                listed = [issue for issue in self.issues if issue["state"] in states and label in issue["labels"]]
                return listed if query["direction"] == "asc" else listed[::-1]
            case "POST", "issues":
                return self.issue(**body)
            case (("GET" | "PATCH"), "issues", number):
                (issue,) = (issue for issue in self.issues if issue["number"] == int(number))
                if method == "PATCH":
                    issue |= body | {"closed_by": {"login": BOT} if body.get("state") == "closed" else None}
                return issue
        return None

    def _answer_pulls(self, method: str, path: str, body: Any) -> Any:
        match method, *path.split("/"):
            case "POST", "pulls":
                return self.pull(**body)
            case "PATCH", "pulls", number:
                (pull,) = (pull for pull in self.pulls if pull["number"] == int(number))
                pull |= body
                return pull
            case "POST", "issues", number, "labels":
                (pull,) = (pull for pull in self.pulls if pull["number"] == int(number))
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

    def _answer_git(self, repository: Path, path: str, query: dict[str, str], accept: str) -> Any:
        match path.split("/"):
            case "pulls", number, *rest if rest in ([], ["files"]):
                pull = next((pull for pull in self.pulls if pull["number"] == int(number)), None)
                if pull is None:
                    return None
                between = (repository, pull["base"]["ref"], pull["head"]["sha"])
                if rest:
                    return contents.listed_files(*between)
                # Only a single pull request has this field, not one in a list:
                # docs.github.com/rest/pulls/pulls#get-a-pull-request
                return pull | {"changed_files": len(contents.changed_files(*between))}
            case "compare", *rest:
                base, _, head = "/".join(rest).partition("...")
                return contents.comparison(repository, base, head, int(query.get("page", "1")))
            case "contents", *rest:
                # The default branch, unless `ref` says otherwise.
                return contents.content(repository, "/".join(rest), query.get("ref", "main"), accept)
        return None

    def stored(self, path: str) -> bytes | None:
        """Return the artifact at a path of the API, or of the store to which the API redirects."""
        number = re.fullmatch(r"(?:actions/artifacts/|/store/)(\d+)(?:/zip)?", path)
        stored = [
            content for (_, _, artifact), content in self.artifacts.items() if number and artifact == int(number[1])
        ]
        return stored[0] if stored else None


@contextmanager
def github() -> Iterator[GitHub]:
    """Start a stand-in on a free port, and stop it afterwards."""
    stand_in = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self._body()
            url = urlsplit(self.path)
            token = self.headers.get("Authorization")
            if url.path.startswith("/store/"):
                # Like the real store, it is another host and rejects requests with GitHub's token.
                content = stand_in.stored(url.path)
                self._send(400 if token or content is None else 200, content or b"", "application/zip")
                return
            path = url.path.removeprefix(_API).removeprefix("/api/")
            stand_in.tokens.add((token or "").removeprefix("Bearer ").removeprefix("token "))
            if self.command == "GET" and stand_in.stored(path) is not None:
                stand_in.asked.append((self.command, path, None))
                number = path.split("/")[-2]
                self._send(302, b"", Location=f"http://localhost:{server.server_port}/store/{number}")
                return
            query, accept = dict(parse_qsl(url.query)), self.headers.get("Accept", _JSON)
            parsed = json.loads(body) if body else None
            status, answer = stand_in.answer(self.command, unquote(path), query, parsed, accept)
            if isinstance(answer, bytes):
                self._send(status, answer, f"{contents.RAW}; charset=utf-8")
            else:
                self._send(status, json.dumps(answer).encode())

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))
            # `gh` sends a body from its standard input in chunks.
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
            """Suppress the log."""

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
