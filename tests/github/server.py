"""A stand-in for the few calls of GitHub's REST API that the workflows make. It keeps what it is asked.

An unknown call is answered with 404 and shows in `asked`, so that a test that does not expect it fails.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class GitHub:
    """The stand-in.

    Attributes:
        answers: What a GET of a path is answered with; a list is paged as GitHub does it.
        asked: Method, path and body of each request.
        tokens: The tokens that came with them.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    url: str = ""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        if method != "GET" or path not in self.answers:
            return 404, {"message": "Not Found"}
        found = self.answers[path]
        if isinstance(found, list):
            size, page = (int(query.get(name, [default])[0]) for name, default in (("per_page", "30"), ("page", "1")))
            found = found[size * (page - 1) : size * page]
        return 200, found


@contextmanager
def github() -> Iterator[GitHub]:
    """A stand-in that listens."""
    stand_in = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            stand_in.tokens.add(self.headers.get("Authorization", ""))
            url = urlsplit(self.path)
            status, found = stand_in.answer(
                self.command, url.path, parse_qs(url.query), json.loads(body) if body else None
            )
            answer = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

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
