"""The routes of the service as an ASGI application.

It implements ASGI without a framework: a request takes about 150 µs, of which a framework would take more than the
model.
"""

import asyncio
import contextlib
import functools
import hmac
import logging
import os
import re
import time
from collections import Counter as CountOf
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from lifecycle.pipeline.lineage import read_lineage
from lifecycle.prediction_log.database import Feedback, Outcome, Prediction, Refusal
from lifecycle.prediction_log.spool import Spool, SpoolFullError
from lifecycle.serving import requests as schema
from lifecycle.serving.environment import ServingSettings
from lifecycle.serving.openapi import openapi
from lifecycle.serving.requests import Row
from lifecycle.serving.scorer import Scorer
from lifecycle.serving.telemetry import Request, Telemetry
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import contract_version, json_schema
from model import contract

logger = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PATHS = ("/predict", "/feedback", "/model", "/docs.json", "/")
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{contract.NAME}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="./static_content/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="./static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({{url: "./docs.json", dom_id: "#swagger-ui", tryItOutEnabled: true}})</script>
</body>
</html>
"""


class _Answer(NamedTuple):
    body: bytes
    status: int = 200
    rows: int = 0
    content_type: bytes = b"application/json"


class _RefusedError(Exception):
    """A refused request, with the answer to the client."""

    def __init__(self, status: int, error: str, headers: Sequence[tuple[bytes, bytes]] = (), **where: Any) -> None:
        super().__init__(error)
        self.status, self.headers, self.where = status, headers, where
        self.body = msgspec.json.encode({"error": error, **where})


class _DisconnectedError(Exception):
    """The client has disconnected."""


class Application:
    """The routes of one worker."""

    def __init__(
        self,
        settings: ServingSettings,
        predictor: Predictor,
        lineage: Mapping[str, Any],
        spool: Spool,
        telemetry: Telemetry,
    ) -> None:
        """Create the application. `start` starts its parts."""
        self._settings, self._spool, self._telemetry = settings, spool, telemetry
        self._scorer = Scorer(predictor, telemetry)
        self._keys = [key.get_secret_value().encode() for key in settings.api_keys]
        self._version: str = lineage["version"]
        self._contract_version = contract_version()
        self._threshold: float | None = predictor.metadata["threshold"]
        self._rows = msgspec.json.Decoder(schema.one_or_more(Row, settings.max_rows))
        self._feedback = msgspec.json.Decoder(schema.one_or_more(Feedback, settings.max_rows))
        encoder = msgspec.json.Encoder()
        self._encode, self._encode_lines = encoder.encode, encoder.encode_lines
        end = {"model_version": self._version, "commit": lineage["commit"], "contract_version": self._contract_version}
        self._end_of_answer = b"," + self._encode(end)[1:]
        model = {**lineage, "contract": json_schema(), **predictor.metadata}
        document = openapi(self._version, settings.max_rows, with_keys=bool(self._keys))
        pages = {
            "/model": _Answer(self._encode(model)),
            "/docs.json": _Answer(self._encode(document)),
            "/": _Answer(_PAGE.encode(), content_type=b"text/html; charset=utf-8"),
        }
        self._routes: dict[str, tuple[str, Callable[[dict[bytes, bytes], Receive, str], Awaitable[_Answer]]]] = {
            "/predict": ("POST", self._predict),
            "/feedback": ("POST", self._take_feedback),
            **{path: ("GET", functools.partial(_page, page)) for path, page in pages.items()},
        }
        # Running requests with their start times, and those of them that have timed out.
        self._running: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        # Invalid requests by field and error, and the time since which they were counted.
        self._refused: CountOf[tuple[str, str]] = CountOf()
        self._refused_since = time.monotonic()
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    def load(cls, settings: ServingSettings) -> "Application":
        """Load the model and create the application of a worker.

        Raises:
            UserError: If the model or its lineage is missing or invalid, or the spool is not writable.
        """
        predictor = Predictor.load(settings.model_folder)
        lineage = read_lineage(settings.lineage, settings.model_folder)
        if settings.model_version:
            lineage["version"] = settings.model_version
        spool = Spool(
            settings.spool_folder(),
            limit=settings.prediction_log_spool_mebibytes * 2**20,
            when_full=settings.prediction_log_when_full,
        )
        metadata = predictor.metadata
        telemetry = Telemetry(metadata, lineage["version"], lineage["commit"])
        return cls(settings, predictor, lineage, spool, telemetry)

    async def start(self) -> None:
        """Start the telemetry and the background task."""
        self._telemetry.start()
        self._spool.keep_drained()
        self._watch = asyncio.create_task(self._keep_watch())

    async def stop(self) -> None:
        """Write all pending records, and stop."""
        if self._watch:
            self._watch.cancel()
        self._write_refused()
        await asyncio.to_thread(self._spool.close)
        await asyncio.to_thread(self._telemetry.stop)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as specified by ASGI 3.0."""
        started = time.perf_counter()
        path = scope["path"]
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(8).hex().encode()
        extra: Sequence[tuple[bytes, bytes]] = ()
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # a server calls from a task
        self._running[task] = started
        try:
            answer = await self._answer(scope, headers, receive, request_id.decode())
        except _RefusedError as refused:
            answer, extra = _Answer(refused.body, refused.status), refused.headers
        except _DisconnectedError:
            answer = _Answer(b"", _DISCONNECTED)
        except asyncio.CancelledError:
            if task not in self._late:  # the server shuts down, and nobody waits for an answer
                raise
            task.uncancel()
            answer, extra = _Answer(b'{"error":"the request timed out"}', 408), _CLOSE
        except Exception:
            logger.exception("a request failed, request_id %s", request_id.decode())
            answer = _Answer(b'{"error":"internal error"}', 500)
        finally:
            del self._running[task]
            self._late.discard(task)
        if answer.status != _DISCONNECTED:
            standard = [
                (b"content-type", answer.content_type),
                (b"content-length", b"%d" % len(answer.body)),
                (b"x-request-id", request_id),
            ]
            await send({"type": "http.response.start", "status": answer.status, "headers": [*standard, *extra]})
            await send({"type": "http.response.body", "body": answer.body})
        self._telemetry.request(
            Request(
                datetime.now(UTC),
                scope["method"] if scope["method"] in _METHODS else "other",
                path if path in self._routes else "unknown",
                answer.status,
                round((time.perf_counter() - started) * 1000, 3),
                answer.rows,
                scope["client"][0] if scope["client"] else "",
                request_id.decode(),
            )
        )

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, request_id: str) -> _Answer:
        # A request refused before its body was read closes the connection, because the body may be endless.
        path = scope["path"]
        if path not in self._routes:
            raise _RefusedError(404, f"no such route; the routes are {', '.join(self._routes)}", _CLOSE)
        method, handler = self._routes[path]
        # The server answers HEAD with the headers alone.
        if scope["method"] != method and (scope["method"], method) != ("HEAD", "GET"):
            raise _RefusedError(405, f"the method has to be {method}", (*_CLOSE, (b"allow", method.encode())))
        if len(self._running) > self._settings.max_concurrency:
            raise _RefusedError(503, "too many requests at a time; try again later", (*_CLOSE, *_RETRY_AFTER))
        if self._keys and path not in _OPEN:
            self._check_key(headers)
        return await handler(headers, receive, request_id)

    def _check_key(self, headers: dict[bytes, bytes]) -> None:
        given = headers.get(b"x-api-key", b"")
        # Compare with all keys in constant time, so that the time says nothing about the keys.
        if not sum(hmac.compare_digest(given, key) for key in self._keys):
            scheme = (b"www-authenticate", b"ApiKey")
            raise _RefusedError(401, "a valid API key is required in the header X-API-Key", (*_CLOSE, scheme))

    async def _predict(self, headers: dict[bytes, bytes], receive: Receive, request_id: str) -> _Answer:
        body = await self._body(headers, receive)
        dry_run = headers.get(b"x-dry-run", b"false")
        if dry_run not in {b"true", b"false"}:
            raise _RefusedError(400, "the header X-Dry-Run has to be true or false")
        try:
            rows = self._decoded(self._rows, body)
        except _RefusedError as refused:
            if dry_run == b"false":
                self._count_refused(refused)
            raise
        if dry_run == b"true":
            answers = self._answers(_new_ids(time.time(), len(rows)), await self._scorer.uncounted(rows))
        else:
            answers = self._log(rows, await self._scorer.predictions(rows), request_id)
        start = b'{"predictions":' + self._encode(answers)
        return _Answer(start + self._end_of_answer, rows=len(rows))

    def _log(self, rows: Sequence[Any], predictions: list[Any], request_id: str) -> list[dict[str, Any]]:
        """Log predictions, and return them as in the answer."""
        now = time.time()
        ids = _new_ids(now, len(rows))
        versions = (self._version, self._contract_version)
        self._write(
            [
                Prediction(prediction_id, now, *versions, request_id, prediction, row)
                for prediction_id, prediction, row in zip(ids, predictions, rows, strict=True)
            ]
        )
        return self._answers(ids, predictions)

    def _answers(self, ids: list[str], predictions: list[Any]) -> list[dict[str, Any]]:
        answers = TASK.answers(predictions, threshold=self._threshold)
        return [{"id": prediction_id, **answer} for prediction_id, answer in zip(ids, answers, strict=True)]

    def _count_refused(self, refused: _RefusedError) -> None:
        error = str(refused) if isinstance(refused.__cause__, msgspec.ValidationError) else "the body is not JSON"
        # The client chose the field's name, and PostgreSQL does not accept all characters of JSON.
        field, error = (_UNPRINTABLE.sub("?", text) for text in (str(refused.where.get("field", "")), error))
        kind = (field, error)
        # Limited, so that a client that makes up errors fills neither the memory nor the log.
        self._refused[kind if kind in self._refused or len(self._refused) < _REFUSED_KINDS else _OTHERS] += 1

    def _write_refused(self) -> None:
        """Log the counts of invalid requests."""
        counted, self._refused, self._refused_since = self._refused, CountOf(), time.monotonic()
        now = time.time()
        ids = _new_ids(now, len(counted))
        records = [
            Refusal(refusal_id, now, self._version, *kind, requests)
            for refusal_id, (kind, requests) in zip(ids, counted.items(), strict=True)
        ]
        with contextlib.suppress(SpoolFullError):  # predictions have priority over counts
            self._spool.write(self._encode_lines(records))

    async def _take_feedback(self, headers: dict[bytes, bytes], receive: Receive, request_id: str) -> _Answer:
        del request_id
        body = await self._body(headers, receive)
        reports = self._decoded(self._feedback, body)
        now = time.time()
        self._write([Outcome(report.prediction_id, now, report.outcome) for report in reports], keep=True)
        return _Answer(self._encode({"accepted": len(reports)}), 202, len(reports))

    def _write(self, records: Sequence[Prediction[Any] | Outcome], *, keep: bool = False) -> None:
        try:
            self._spool.write(self._encode_lines(records), keep=keep)
        except SpoolFullError as error:
            raise _RefusedError(503, "the prediction log is full; try again later", _RETRY_AFTER) from error

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if content_type != b"application/json":
            raise _RefusedError(415, "the content type has to be application/json", _CLOSE)
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise _RefusedError(415, "the body is compressed; send it as it is", (*_CLOSE, *_UNCOMPRESSED))
        limit, body, received = self._settings.max_bytes, b"", 0
        declared = headers.get(b"content-length", b"0").lstrip(b"0")
        size = int(declared or b"0") if len(declared) < _DIGITS else limit + 1
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _DisconnectedError
            part: bytes = message.get("body", b"")
            received += len(part)
            size = max(size, received)
            if size <= limit:
                body += part
            # The rest of a body that is too large is read and discarded, up to a limit, because a client whose
            # connection closes while it is sending may never see the answer.
            if received > _DISCARDED * limit or not message.get("more_body", False):
                break
        if size > limit:
            raise _RefusedError(413, f"the body has more than {limit:,} bytes", _CLOSE)
        return body

    def _decoded(self, decoder: msgspec.json.Decoder[Any], body: bytes) -> Sequence[Any]:
        try:
            decoded = decoder.decode(body)
        except msgspec.ValidationError as error:
            is_list = body.lstrip()[:1] == b"["
            raise _RefusedError(400, **schema.explain_error(str(error), is_list=is_list)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _RefusedError(400, f"the body is not JSON: {error}") from error
        return decoded if isinstance(decoded, list) else (decoded,)

    async def _keep_watch(self) -> None:
        """Cancel requests that time out, keep the spool drained, and log the counts of invalid requests."""
        while True:
            # One pass over all requests costs less than a timer for each.
            await asyncio.sleep(min(1.0, self._settings.request_timeout / 4))
            self._spool.keep_drained()
            if self._refused and time.monotonic() > self._refused_since + _REFUSED_INTERVAL:
                self._write_refused()
            latest = time.perf_counter() - self._settings.request_timeout
            for task, started in list(self._running.items()):
                if started < latest and task not in self._late:
                    self._late.add(task)
                    task.cancel()


_DISCONNECTED = 499  # the status in the access log; it is never sent
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OPEN = {"/", "/docs.json"}
_DIGITS = 19  # of a Content-Length; a longer one is too large
_DISCARDED = 16  # how much of a body is read, in multiples of the limit
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_REFUSED_INTERVAL = 10  # seconds between two records of the counts
_REFUSED_KINDS = 100  # combinations of field and error that are counted separately
_OTHERS = ("", "others")
_CLOSE = ((b"connection", b"close"),)
_RETRY_AFTER = ((b"retry-after", b"1"),)
_UNCOMPRESSED = ((b"accept-encoding", b"identity"),)
_RANDOM_BYTES = 10  # of an id


def _new_ids(now: float, count: int) -> list[str]:
    """Create ids that sort by time, so that the database's index grows at its end, and that nobody can guess.

    Whoever knows the id of a prediction can report its outcome.
    """
    milliseconds, digits = f"{int(now * 1000):012x}", 2 * _RANDOM_BYTES
    secret = os.urandom(count * _RANDOM_BYTES).hex()
    return [f"{milliseconds}{secret[start : start + digits]}" for start in range(0, count * digits, digits)]


async def _page(page: _Answer, headers: dict[bytes, bytes], receive: Receive, request_id: str) -> _Answer:
    del headers, receive, request_id
    return page
