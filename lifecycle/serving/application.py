"""The service's routes as an ASGI application: what it takes, what it refuses, and what it answers.

Written to the ASGI interface itself and not with a framework, because at some 150 µs a request the framework would take
more time than the model.
"""

import asyncio
import contextlib
import functools
import hmac
import logging
import os
import random
import re
import time
from collections import Counter as CountOf
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from lifecycle.pipeline.lineage import read_lineage
from lifecycle.serving import requests as schema
from lifecycle.serving.environment import ServingSettings
from lifecycle.serving.openapi import openapi
from lifecycle.serving.prediction_log import Outcome, Prediction, Refusal
from lifecycle.serving.requests import Feedback, Row
from lifecycle.serving.scorer import Scorer
from lifecycle.serving.spool import Spool, SpoolFullError
from lifecycle.serving.telemetry import Request, Telemetry
from lifecycle.shared.histograms import histograms_of
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
    """A request that is not served, with what the client is told."""

    def __init__(self, status: int, error: str, headers: Sequence[tuple[bytes, bytes]] = (), **where: Any) -> None:
        super().__init__(error)
        self.status, self.headers, self.where = status, headers, where
        self.body = msgspec.json.encode({"error": error, **where})


class _GoneError(Exception):
    """The client has hung up."""


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
        """Put together the parts, none of which is started here."""
        self._settings, self._spool, self._telemetry = settings, spool, telemetry
        self._scorer = Scorer(predictor, telemetry)
        self._keys = [key.get_secret_value().encode() for key in settings.api_keys]
        self._version: str = lineage["version"]
        self._contract_version = contract_version()
        self._threshold: float = predictor.metadata["threshold"]
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
        # The requests that are being answered, and since when; and those of them that take too long.
        self._running: dict[asyncio.Task[Any], float] = {}
        # The requests that broke the contract since they were last written down, by field and error.
        self._refused: CountOf[tuple[str, str]] = CountOf()
        self._refused_since = time.monotonic()
        self._late: set[asyncio.Task[Any]] = set()
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    def load(cls, settings: ServingSettings) -> "Application":
        """Load everything that a worker needs.

        Raises:
            UserError: If the model, its lineage or the folder of the spool is missing or does not fit.
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
        telemetry = Telemetry(histograms_of(metadata), metadata["codes"], lineage["version"], lineage["commit"])
        return cls(settings, predictor, lineage, spool, telemetry)

    async def start(self) -> None:
        """Start what runs beside the requests."""
        self._telemetry.start()
        self._spool.keep_drained()
        self._watch = asyncio.create_task(self._keep_watch())

    async def stop(self) -> None:
        """Write what has been answered, and stop."""
        if self._watch:
            self._watch.cancel()
        self._write_refused()
        await asyncio.to_thread(self._spool.close)
        await asyncio.to_thread(self._telemetry.stop)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; see ASGI 3.0."""
        started = time.perf_counter()
        path = scope["path"]
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = b"%016x" % _RANDOM.getrandbits(64)
        extra: Sequence[tuple[bytes, bytes]] = ()
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # a server calls from a task
        self._running[task] = started
        try:
            answer = await self._answer(scope, headers, receive, request_id.decode())
        except _RefusedError as refused:
            answer, extra = _Answer(refused.body, refused.status), refused.headers
        except _GoneError:
            answer = _Answer(b"", _HUNG_UP)
        except asyncio.CancelledError:
            if task not in self._late:  # the server ends, and nobody waits for an answer
                raise
            task.uncancel()
            answer, extra = _Answer(b'{"error":"the request did not arrive in time"}', 408), _CLOSE
        except Exception:
            logger.exception("a request failed, request_id %s", request_id.decode())
            answer = _Answer(b'{"error":"internal error"}', 500)
        finally:
            del self._running[task]
            self._late.discard(task)
        if answer.status != _HUNG_UP:
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
        # Whoever is refused before the body has been read is cut off: it may be endless.
        path = scope["path"]
        if path not in self._routes:
            raise _RefusedError(404, f"there is no such route; there are {', '.join(self._routes)}", _CLOSE)
        method, handler = self._routes[path]
        if scope["method"] != method:
            raise _RefusedError(405, f"the method is {method}", (*_CLOSE, (b"allow", method.encode())))
        if len(self._running) > self._settings.max_concurrency:
            raise _RefusedError(503, "too many requests at a time; try again", (*_CLOSE, *_RETRY_AFTER))
        if self._keys and path not in _OPEN:
            self._check_key(headers)
        return await handler(headers, receive, request_id)

    def _check_key(self, headers: dict[bytes, bytes]) -> None:
        given = headers.get(b"x-api-key", b"")
        # All are compared, and each in the same time however much of it is right.
        if not sum(hmac.compare_digest(given, key) for key in self._keys):
            which = (b"www-authenticate", b"ApiKey")
            raise _RefusedError(401, "an API key is needed, in the header X-API-Key", (*_CLOSE, which))

    async def _predict(self, headers: dict[bytes, bytes], receive: Receive, request_id: str) -> _Answer:
        body = await self._body(headers, receive)
        dry_run = headers.get(b"x-dry-run", b"false")
        if dry_run not in {b"true", b"false"}:
            raise _RefusedError(400, "the header X-Dry-Run is true or false")
        try:
            rows = self._decoded(self._rows, body)
        except _RefusedError as refused:
            if dry_run == b"false":
                self._count_refused(refused)
            raise
        if dry_run == b"true":
            predictions = self._described(_new_ids(time.time(), len(rows)), await self._scorer.uncounted(rows))
        else:
            predictions = self._remember(rows, await self._scorer.probabilities(rows), request_id)
        start = b'{"predictions":' + self._encode(predictions)
        return _Answer(start + self._end_of_answer, rows=len(rows))

    def _remember(self, rows: Sequence[Any], probabilities: list[float], request_id: str) -> list[dict[str, Any]]:
        """Put predictions into the log; returns what the client is told of each."""
        now = time.time()
        ids = _new_ids(now, len(rows))
        versions = (self._version, self._contract_version)
        self._write(
            [
                Prediction(number, now, *versions, request_id, probability, row)
                for number, probability, row in zip(ids, probabilities, rows, strict=True)
            ]
        )
        return self._described(ids, probabilities)

    def _described(self, ids: list[str], probabilities: list[float]) -> list[dict[str, Any]]:
        return [
            {"id": number, "probability": probability, "label": probability >= self._threshold}
            for number, probability in zip(ids, probabilities, strict=True)
        ]

    def _count_refused(self, refused: _RefusedError) -> None:
        error = str(refused) if isinstance(refused.__cause__, msgspec.ValidationError) else "the body is no JSON"
        # A field's name is the client's, and PostgreSQL does not take all that JSON does.
        field, error = (_UNPRINTABLE.sub("?", text) for text in (str(refused.where.get("field", "")), error))
        kind = (field, error)
        # However many ways a client finds to be wrong, they do not fill the memory, nor the log.
        self._refused[kind if kind in self._refused or len(self._refused) < _REFUSED_KINDS else _OTHERS] += 1

    def _write_refused(self) -> None:
        """Put into the log how many requests broke the contract."""
        counted, self._refused, self._refused_since = self._refused, CountOf(), time.monotonic()
        now = time.time()
        ids = _new_ids(now, len(counted))
        records = [
            Refusal(number, now, self._version, *kind, requests)
            for number, (kind, requests) in zip(ids, counted.items(), strict=True)
        ]
        with contextlib.suppress(SpoolFullError):  # predictions come first
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
            raise _RefusedError(503, "the prediction log has no room; try again later", _RETRY_AFTER) from error

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if content_type != b"application/json":
            raise _RefusedError(415, "the content type has to be application/json", _CLOSE)
        limit, body, received = self._settings.max_bytes, b"", 0
        declared = headers.get(b"content-length", b"0").lstrip(b"0")
        size = int(declared or b"0") if len(declared) < _DIGITS else limit + 1
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            part: bytes = message.get("body", b"")
            received += len(part)
            size = max(size, received)
            if size <= limit:
                body += part
            # What is too large is read on and thrown away, up to a point: whoever is cut off while sending may not
            # come to see the answer.
            if received > _DISCARDED * limit or not message.get("more_body", False):
                break
        if size > limit:
            raise _RefusedError(413, f"the body has more than {limit:,} bytes", _CLOSE)
        return body

    def _decoded(self, decoder: msgspec.json.Decoder[Any], body: bytes) -> Sequence[Any]:
        try:
            found = decoder.decode(body)
        except msgspec.ValidationError as error:
            several = body.lstrip()[:1] == b"["
            raise _RefusedError(400, **schema.explain_error(str(error), several=several)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _RefusedError(400, f"the body is no JSON: {error}") from error
        return found if isinstance(found, list) else (found,)

    async def _keep_watch(self) -> None:
        """Cancel what takes too long, and have the spool drained."""
        while True:
            # One look at all requests costs less than a timer for each.
            await asyncio.sleep(min(1.0, self._settings.request_timeout / 4))
            self._spool.keep_drained()
            if self._refused and time.monotonic() > self._refused_since + _REFUSED_INTERVAL:
                self._write_refused()
            latest = time.perf_counter() - self._settings.request_timeout
            for task, started in list(self._running.items()):
                if started < latest and task not in self._late:
                    self._late.add(task)
                    task.cancel()


# Unguessable is not what an id has to be, only unique.
_RANDOM = random.Random(os.urandom(32))  # noqa: S311
_HUNG_UP = 499  # never sent: what the access log has for it
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OPEN = {"/", "/docs.json"}
_DIGITS = 19  # of a number of bytes that can be meant
_DISCARDED = 16  # times the limit of a body
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_REFUSED_INTERVAL = 10  # seconds in which they are counted together
_REFUSED_KINDS = 100
_OTHERS = ("", "others")
_CLOSE = ((b"connection", b"close"),)
_RETRY_AFTER = ((b"retry-after", b"1"),)


def _new_ids(now: float, count: int) -> list[str]:
    """Ids that sort by time: they keep the database's index in the order in which it grows."""
    milliseconds = f"{int(now * 1000):012x}"
    return [f"{milliseconds}{_RANDOM.getrandbits(80):020x}" for _ in range(count)]


async def _page(page: _Answer, headers: dict[bytes, bytes], receive: Receive, request_id: str) -> _Answer:
    del headers, receive, request_id
    return page
