"""Any invalid request gets an answer in time that says what is wrong, and the service keeps running.

The tests share a service. The last one checks what all of them have left in its output and its metrics.
"""

import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis.engine
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from lifecycle.serving.application import PATHS
from lifecycle.shared.columns import Column, Columns
from lifecycle.shared.predictor import Predictor
from model import contract
from tests.lifecycle.serving.conftest import EXAMPLE, Service, eventually, running

TIMEOUT = 2.0
# A text that must appear neither in the output nor in the metrics.
MARK = "xMARKx"
JSON = {"content-type": "application/json"}

repeatable = settings(max_examples=100, derandomize=True, database=None, deadline=None)


@pytest.fixture(scope="module")
def service(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(trained, tmp_path_factory.mktemp("bad-input"), REQUEST_TIMEOUT=str(TIMEOUT)) as started:
        yield started


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=10) as connected:
        yield connected


def literal(name: str, value: str, **others: Any) -> bytes:
    """Return the example row with the literal text of a value."""
    return json.dumps(EXAMPLE | others | {name: "@"}).replace('"@"', value).encode()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in EXAMPLE.items() if key != name}


NOT_JSON = {
    "nothing": b"",
    "blanks": b" \n",
    "half an object": json.dumps(EXAMPLE).encode()[:-1],
    "a word": MARK.encode(),
    "trailing brace": json.dumps(EXAMPLE).encode() + b"}",
    "two objects": json.dumps(EXAMPLE).encode() * 2,
    "trailing comma": json.dumps(EXAMPLE).encode()[:-1] + b",}",
    "single quotes": json.dumps(EXAMPLE).replace('"', "'").encode(),
    "comment": b"/* */" + json.dumps(EXAMPLE).encode(),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(EXAMPLE).encode(),
    "UTF-16": json.dumps(EXAMPLE).encode("utf-16"),
    "Latin-1": literal("carrier", '"É"').decode().encode("latin-1"),
    "no UTF-8 in a name": b'{"\xff": 1}',
    "NaN": literal("temperature", "NaN"),
    "Infinity": literal("temperature", "Infinity"),
    "-Infinity": literal("temperature", "-Infinity"),
    "leading zero": literal("flight_number", "01"),
    "plus": literal("flight_number", "+1"),
    "hexadecimal": literal("temperature", "0xFF"),
    "NUL": literal("carrier", '"U\0"'),
    "half of a surrogate pair": literal("carrier", '"\\ud800A"'),
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtins\x94.",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_body_is_not_json(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers=JSON)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


NOT_ROWS = {
    "null": b"null",
    "a number": b"1",
    "a text": b'"row"',
    "true": b"true",
    "an empty list": b"[]",
    "too many rows": json.dumps([EXAMPLE] * 1001).encode(),
    "a list in a list": json.dumps([[EXAMPLE]]).encode(),
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "deep nesting without an end": b"[" * 500_000,
    "deep objects": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("body", NOT_ROWS.values(), ids=NOT_ROWS)
def test_body_is_not_rows(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert len(answer.content) < 500


INVALID = [
    ("scheduled_departure", '"2013-02-30T10:00:00"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"2013-02-29T10:00:00"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"1900-02-29T10:00:00"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"2013-04-31T10:00:00"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"0000-01-01T00:00:00"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"2016-12-31T23:59:60"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"2013-07-01T24:00:00"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"2013-07-01T17:30:00Z"', "without a zone"),
    ("scheduled_departure", '"2013-07-01T17:30:00+02:00"', "without a zone"),
    ("scheduled_departure", '"2013-07-01T17:30:00.5"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"2013-07-01 17:30:00"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"2013-07-01"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"12013-07-01T17:30:00"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"\\u0662\\u0660\\u0661\\u0663-07-01T17:30:00"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", "1372699800", "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"NaT"', "YYYY-MM-DDThh:mm:ss"),
    ("scheduled_departure", '"now"', "YYYY-MM-DDThh:mm:ss"),
    ("carrier", f'"{MARK}"', "[A-Z0-9]{2}"),
    ("carrier", '"ua"', "[A-Z0-9]{2}"),
    ("carrier", '"UA\\n"', "[A-Z0-9]{2}"),
    ("carrier", '"U\\u0000"', "[A-Z0-9]{2}"),
    ("carrier", '"\\ud83d\\ude00"', "[A-Z0-9]{2}"),
    ("carrier", '"\\u0661\\u0662"', "[A-Z0-9]{2}"),
    ("carrier", '"\\uff21\\uff22"', "[A-Z0-9]{2}"),
    ("carrier", '"' + "A" * 500_000 + '"', "[A-Z0-9]{2}"),
    ("carrier", '""', "[A-Z0-9]{2}"),
    ("carrier", "null", "[A-Z0-9]{2}"),
    ("carrier", "12", "[A-Z0-9]{2}"),
    ("carrier", '["UA"]', "[A-Z0-9]{2}"),
    ("carrier", "{}", "[A-Z0-9]{2}"),
    ("origin", '"SFO"', "EWR, JFK, LGA"),
    ("flight_number", "0", "from 1 up to 9999"),
    ("flight_number", "10000", "from 1 up to 9999"),
    ("flight_number", "1545.5", "a whole number"),
    ("flight_number", "9" * 5000, "from 1 up to 9999"),
    ("flight_number", str(2**63), "from 1 up to 9999"),
    ("flight_number", str(-(2**64)), "from 1 up to 9999"),
    ("flight_number", "1e400", "from 1 up to 9999"),
    ("flight_number", "true", "a whole number"),
    ("flight_number", '"1545"', "a whole number"),
    ("distance", "null", "(miles)"),
    ("distance", "0.999999", "from 1 up to 12000"),
    ("distance", "[" * 50_000 + "]" * 50_000, "(miles)"),
    ("temperature", "1e400", "(degrees Fahrenheit), or null"),
    ("temperature", "-1e400", "(degrees Fahrenheit), or null"),
    ("temperature", "140.00000000000003", "up to 140"),
    ("temperature", '"NaN"', "a number"),
    ("temperature", '""', "a number"),
    ("wind_speed", "-1e-300", "from 0"),
]


@pytest.mark.parametrize(("field", "value", "rule"), INVALID, ids=[f"{f}={v[:30]}" for f, v, _ in INVALID])
def test_answer_names_field_row_and_rule_of_an_invalid_value(
    client: httpx.Client, field: str, value: str, rule: str
) -> None:
    row = literal(field, value)
    answer = client.post("/predict", content=row, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert rule in answer.json()["rule"]
    two_rows = b"[" + json.dumps(EXAMPLE).encode() + b"," + row + b"]"
    answer = client.post("/predict", content=two_rows, headers=JSON)
    assert answer.status_code == 400
    assert answer.json().items() >= {"field": field, "row": 1}.items()
    assert rule in answer.json()["rule"]
    assert len(answer.content) < 1000


STRANGE_NAMES = [
    MARK,
    contract.TARGET.name,
    "Carrier",
    "carrier ",
    "",
    "`",
    "a\nb\0c",
    "\U0001f6eb",
    "__proto__",
]


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=[ascii(name)[:30] for name in STRANGE_NAMES])
def test_unknown_field(client: httpx.Client, name: str) -> None:
    answer = client.post("/predict", json=[EXAMPLE, EXAMPLE | {name: 1}])
    assert answer.status_code == 400
    assert answer.json().items() >= {"field": name, "row": 1}.items()
    answer = client.post("/predict", json=EXAMPLE | {name: 1})
    assert answer.status_code == 400
    assert answer.json()["field"] == name


@pytest.mark.parametrize(
    "place", ["$[7].distance", f"$[{'9' * 5000}]", "$"], ids=["a field", "a large number", "a row"]
)
def test_field_whose_name_imitates_the_path_of_an_error(client: httpx.Client, place: str) -> None:
    name = f"a` - at `{place}"
    assert client.post("/predict", json=EXAMPLE | {name: 1}).status_code == 400
    assert client.post("/predict", json=[EXAMPLE, EXAMPLE | {name: 1}]).json()["row"] == 1


@pytest.mark.parametrize("column", contract.INPUTS, ids=lambda column: column.name)
def test_missing_field(client: httpx.Client, column: Column) -> None:
    answer = client.post("/predict", json=without(column.name))
    assert answer.status_code == 400
    assert answer.json()["field"] == column.name
    assert answer.json()["rule"]


FEEDBACK: dict[str, tuple[Any, str]] = {
    "no id": ({"outcome": True}, "prediction_id"),
    "no outcome": ({"prediction_id": "0" * 32}, "outcome"),
    "not an id": ({"prediction_id": "0" * 31 + "\n", "outcome": True}, "prediction_id"),
    "NUL": ({"prediction_id": "0" * 31 + "\0", "outcome": True}, "prediction_id"),
    "capitals": ({"prediction_id": "A" * 32, "outcome": True}, "prediction_id"),
    "a number for truth": ({"prediction_id": "0" * 32, "outcome": 1}, "outcome"),
    "unknown field": ({"prediction_id": "0" * 32, "outcome": True, "why": MARK}, "why"),
}


@pytest.mark.parametrize(("body", "field"), FEEDBACK.values(), ids=FEEDBACK)
def test_invalid_feedback(client: httpx.Client, body: Any, field: str) -> None:
    answer = client.post("/feedback", json=[{"prediction_id": "0" * 32, "outcome": True}, body])
    assert answer.status_code == 400
    assert answer.json().items() >= {"field": field, "row": 1}.items()


UNUSUAL = {
    "whole number with a point": (literal("flight_number", "1545.0"), EXAMPLE),
    "exponent": (literal("distance", "1.4e3"), EXAMPLE),
    "minus zero": (literal("wind_speed", "-0.0"), EXAMPLE | {"wind_speed": 0}),
    "underflow to zero": (literal("wind_speed", "1e-400"), EXAMPLE | {"wind_speed": 0}),
    "escaped letters": (literal("origin", '"\\u0045\\u0057\\u0052"'), EXAMPLE),
    "blanks": (json.dumps(EXAMPLE, indent=3).encode() + b"\r\n\t ", EXAMPLE),
    "another order": (json.dumps(dict(reversed(EXAMPLE.items()))).encode(), EXAMPLE),
    "a name twice: the last one counts": (b'{"distance":5,' + json.dumps(EXAMPLE).encode()[1:], EXAMPLE),
    "unseen category": (literal("carrier", '"00"'), EXAMPLE | {"carrier": "ZZ"}),
}


@pytest.mark.parametrize(("body", "equivalent_row"), UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_but_valid(client: httpx.Client, body: bytes, equivalent_row: dict[str, Any]) -> None:
    answer = client.post("/predict", content=body, headers=JSON | {"content-type": "Application/JSON; charset=utf-8"})
    assert answer.status_code == 200
    expected = client.post("/predict", json=equivalent_row).json()["predictions"][0]
    assert answer.json()["predictions"][0]["probability"] == expected["probability"]


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/js"]
)
def test_other_content_types(client: httpx.Client, kind: str) -> None:
    answer = client.post("/predict", content=json.dumps(EXAMPLE), headers={"content-type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity"])
def test_compressed_body(client: httpx.Client, encoding: str) -> None:
    body = gzip.compress(json.dumps(EXAMPLE).encode())
    answer = client.post("/predict", content=body, headers=JSON | {"content-encoding": encoding})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert answer.json()["error"] == "the body is compressed; send it as it is"
    plain = client.post("/predict", content=json.dumps(EXAMPLE), headers=JSON | {"content-encoding": "Identity"})
    assert plain.status_code == 200


@pytest.mark.parametrize("path", ["/", "/model", "/docs.json"])
def test_head_of_a_page(client: httpx.Client, path: str) -> None:
    """As monitors of availability ask."""
    page, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == page.headers["content-length"] == str(len(page.content))


def test_ids_cannot_be_guessed(client: httpx.Client) -> None:
    ids = [row["id"] for row in client.post("/predict", json=[EXAMPLE] * 1000).json()["predictions"]]
    assert len({id_[12:] for id_ in ids}) == 1000
    assert ids == sorted(ids, key=lambda id_: id_[:12])
    # Each of the 80 random bits is set in about half of the ids.
    bits = [sum(int(id_[12:], 16) >> bit & 1 for id_ in ids) for bit in range(80)]
    assert all(400 < count < 600 for count in bits)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert method == "HEAD" or "POST" in answer.json()["error"]


ROUTES = [
    f"/{MARK}",
    f"/predict/{MARK}",
    "/predict/",
    "//predict",
    "/PREDICT",
    "/../predict",
    "/predict;x=1",
    "/%00",
    "/%ff%fe",
    "/%zz",
    "/%F0%9F%9B%AB",
    "/predict%20",
    f"/livez/{MARK}",
    f"/metrics/{MARK}",
    "/" + "a" * 60_000,
]


@pytest.mark.parametrize("path", ROUTES, ids=lambda path: path[:20])
def test_unknown_route(service: Service, path: str) -> None:
    answer = raw(service, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404")
    assert "no such route" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize("path", [f"/static_content/{MARK}", "/static_content/../../pyproject.toml"])
def test_unknown_asset(service: Service, path: str) -> None:
    assert raw(service, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).startswith(b"HTTP/1.1 404")


def test_query_and_escapes_do_not_change_the_route(client: httpx.Client) -> None:
    assert client.get(f"/model?{MARK}=%ff").status_code == 200
    assert client.get("/%6dodel").status_code == 200


# Invalid HTTP

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = json.dumps(EXAMPLE).encode()
SIZE = b"%d" % len(BODY)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def connect(service: Service) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=TIMEOUT + 3)


def raw(service: Service, sent: bytes) -> bytes:
    """Send bytes and return the answer; raises a timeout if there is none."""
    with closing(connect(service)) as connection:
        connection.sendall(sent)
        return answer_of(connection)


def answer_of(connection: socket.socket) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(2**16) or b"\r\n\r\n"
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]) and (more := connection.recv(2**16)):
        body += more
    return head + b"\r\n\r\n" + body


BROKEN = {
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n" + BODY,
    "length in letters": HEAD + b"Content-Length: ten\r\n\r\n" + BODY,
    "length with a sign": HEAD + b"Content-Length: +%s\r\n\r\n" % SIZE + BODY,
    "length as Python writes it": HEAD + b"Content-Length: 4_1_8\r\n\r\n" + BODY,
    "no length": HEAD + b"Content-Length:\r\n\r\n" + BODY,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: %s\r\n\r\n" % SIZE + BODY,
    "list of lengths": HEAD + b"Content-Length: %s, %s\r\n\r\n" % (SIZE, SIZE) + BODY,
    "endless length": HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n" + BODY,
    "too large": HEAD + b"Content-Length: 9999999999\r\n\r\n",
    "no body": HEAD + b"\r\n",
    "length and chunks": CHUNKED + b"Content-Length: %s\r\n\r\n" % SIZE + CHUNK,
    "chunks twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK,
    "nearly chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNK,
    "not chunked": HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + BODY,
    "chunk without a size": CHUNKED + b"\r\nzz\r\n" + BODY,
    "chunk of negative size": CHUNKED + b"\r\n-5\r\n" + BODY,
    "endless chunk": CHUNKED + b"\r\n" + b"f" * 20 + b"\r\n" + BODY,
    "no header": b"GET /model HTTP/1.1\r\nno header\r\n\r\n",
    "NUL in a header": b"GET /model HTTP/1.1\r\nX: a\0b\r\n\r\n",
    "unknown method": b"FOO /predict HTTP/1.1\r\nHost: x\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "no such version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "bytes in the path": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "path that is far too long": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "tunnel": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "socket": b"GET /%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % MARK.encode(),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
def test_invalid_http(service: Service, sent: bytes) -> None:
    assert raw(service, sent).startswith(b"HTTP/1.1 4")


def test_content_length_of_many_digits(service: Service) -> None:
    assert b" 500 " not in raw(service, HEAD + b"Content-Length: %s%s\r\n\r\n" % (b"0" * 5000, SIZE) + BODY)


def test_many_and_long_headers(client: httpx.Client) -> None:
    headers = [(b"x-%d" % number, b"a") for number in range(1000)]
    headers += [(b"x-long", b"a" * 60_000), (b"x-request-id", b"\xe4" * 500)]
    answer = client.get("/model", headers=headers)
    assert answer.status_code in {200, 400, 431}
    assert answer.headers["x-request-id"].isascii()


def test_body_that_arrives_too_slowly_times_out(service: Service) -> None:
    """Its bytes keep arriving, so the connection is never idle."""
    started = time.monotonic()
    with closing(connect(service)) as connection:
        connection.sendall(CHUNKED + b"\r\n")
        connection.settimeout(0.05)
        answer = b""
        while not answer and time.monotonic() < started + 3 * TIMEOUT:
            connection.sendall(b"1\r\n \r\n")
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")


def test_disconnecting_client_is_not_an_error(service: Service) -> None:
    for sent in (b"", b"POST /pre", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n{", CHUNKED + b"\r\n5\r\n{"):
        connection = connect(service)
        connection.sendall(sent)
        connection.close()
    assert len(service.predict(EXAMPLE)) == 1


# Generated input


def values(column: Column) -> st.SearchStrategy[Any]:
    """Generate valid values of a column."""
    allowed: st.SearchStrategy[Any]
    if column.categories:
        allowed = st.sampled_from(column.categories)
    elif column.pattern:
        allowed = st.from_regex(re.compile(column.pattern, re.ASCII), fullmatch=True)
    elif column.type == "timestamp":
        allowed = st.datetimes().map(lambda time: time.isoformat(timespec="seconds"))
    elif column.type == "integer":
        allowed = st.integers(int(column.minimum or 0), int(column.maximum or 0))
        allowed |= allowed.map(float)
    else:
        allowed = st.floats(column.minimum, column.maximum)
    return st.none() | allowed if column.nullable else allowed


def invalid_values(column: Column) -> st.SearchStrategy[Any]:
    """Generate invalid values of a column."""
    other: st.SearchStrategy[Any] = st.booleans() | st.lists(st.none(), max_size=2) | st.just({})
    if not column.nullable:
        other |= st.none()
    if column.type in {"category", "timestamp"}:
        rule = re.compile(column.pattern or "|".join(column.categories) or r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
        return other | st.integers() | st.text().filter(lambda text: not rule.fullmatch(text))
    assert column.minimum is not None
    assert column.maximum is not None
    other |= st.text() | st.floats(max_value=column.minimum, exclude_max=True, allow_infinity=False)
    other |= st.floats(min_value=column.maximum, exclude_min=True, allow_infinity=False)
    if column.type == "integer":
        other |= st.floats(column.minimum, column.maximum).filter(lambda number: not number.is_integer())
    return other


ROW = st.fixed_dictionaries({column.name: values(column) for column in contract.INPUTS})


def as_columns(rows: list[dict[str, Any]]) -> Columns:
    dtypes: dict[str, Any] = {"category": object, "timestamp": "datetime64[s]", "integer": float, "number": float}
    return {c.name: np.array([row[c.name] for row in rows], dtype=dtypes[c.type]) for c in contract.INPUTS}


@pytest.fixture(scope="module")
def predictor(trained: Path) -> Predictor:
    return Predictor.load(trained / "artifacts/model")


@repeatable
@given(rows=st.lists(ROW, min_size=1, max_size=3))
def test_any_valid_rows_are_predicted(client: httpx.Client, predictor: Predictor, rows: list[dict[str, Any]]) -> None:
    answer = client.post("/predict", json=rows)
    assert answer.status_code == 200, answer.text
    probabilities = [prediction["probability"] for prediction in answer.json()["predictions"]]
    assert all(0 <= probability <= 1 for probability in probabilities)
    np.testing.assert_allclose(probabilities, predictor.predict(as_columns(rows)), rtol=0, atol=1e-6)


@repeatable
@given(rows=st.lists(ROW, min_size=1, max_size=3), data=st.data())
def test_any_single_fault_is_named(client: httpx.Client, rows: list[dict[str, Any]], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(contract.INPUTS))
    name, row = column.name, rows[position]
    fault = data.draw(st.sampled_from(["invalid", "missing", "unknown"]))
    if fault == "invalid":
        row[name] = data.draw(invalid_values(column))
    elif fault == "missing":
        del row[name]
    else:
        name = data.draw(st.text(min_size=1).filter(lambda name: name not in EXAMPLE))
        row[name] = None
    answer = client.post("/predict", json=rows)
    assert answer.status_code == 400, answer.text
    assert answer.json().items() >= {"field": name, "row": position}.items()


def test_answers_follow_the_openapi_document(service: Service) -> None:
    """Schemathesis sends examples, boundary values and generated data, valid and invalid."""
    config = SchemathesisConfig.from_dict(
        {
            "generation": {"max-examples": 100, "deterministic": True},
            "phases": {"stateful": {"enabled": False}},
            "continue-on-failure": True,
        }
    )
    schema = schemathesis.openapi.from_url(f"{service.url}/docs.json", config=config)
    cases, failures = 0, []
    for event in schemathesis.engine.from_schema(schema).execute():
        assert not isinstance(event, FatalError | NonFatalError), event
        if isinstance(event, ScenarioFinished):
            cases += len(event.recorder.cases)
            checks = [check for of_case in event.recorder.checks.values() for check in of_case]
            failures += [check.failure_info for check in checks if check.failure_info]
    assert failures == []
    assert cases > 500


# After all other tests


def test_service_is_still_running(service: Service) -> None:
    assert service.process.poll() is None
    assert len(service.workers()) == 1
    answer = service.post(json=EXAMPLE, headers={"X-Request-ID": "the-last-one"})
    assert answer.status_code == 200

    def logged() -> str:
        output = service.output.read_text(encoding="utf-8")
        return output if "the-last-one" in output else ""

    output = eventually(logged)
    requests = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [request for request in requests if request["status"] >= 500] == []
    assert {request["route"] for request in requests} <= {*PATHS, "unknown"}
    assert "Traceback" not in output
    assert MARK not in output
    metrics = service.get("/metrics").text
    assert MARK not in metrics
    routes = set(re.findall(r'model_requests_total\{.*route="([^"]*)"', metrics))
    assert routes <= {*PATHS, "unknown"}
    eventually(lambda: service.metric("prediction_log_waiting_bytes") == 0)
