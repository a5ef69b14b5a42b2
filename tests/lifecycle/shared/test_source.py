"""Tables outside of the repository: what a database holds arrives as it is, in chunks."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import psycopg
import pytest

from lifecycle.adoption.profile import profiles
from lifecycle.shared import source
from lifecycle.shared.console import UserError
from lifecycle.shared.source import Source
from tests.lifecycle.serving.postgresql import postgresql_server

TABLE = """
    CREATE TABLE orders AS SELECT
        n AS id, gen_random_uuid() AS key, ('{"a": ' || n || '}')::jsonb AS json, ARRAY[n, n] AS list,
        (n / 3.0)::numeric(10, 2) AS price, TIMESTAMP '2030-01-01' + n * INTERVAL '1 day' AS at,
        CASE WHEN n > 7 THEN TIMESTAMP '2030-02-01' END AS paid, CASE WHEN n > 7 THEN 'late' END AS note,
        CASE WHEN n > 7 THEN n END AS parts, DATE '2030-03-01' AS day, n % 2 = 0 AS odd
    FROM generate_series(1, 9) AS n
"""
TYPES = {
    "id": "integer",
    "key": "category",
    "json": "category",
    "list": "category",
    "price": "number",
    "at": "timestamp",
    "paid": "timestamp",
    "note": "category",
    "parts": "integer",
    "day": "timestamp",
    "odd": "boolean",
}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """URL of a database with the table."""
    with postgresql_server() as server:
        url = server.database()
        with psycopg.connect(url) as connection:
            connection.execute(TABLE)
        yield url


@pytest.fixture(autouse=True)
def three_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of three rows, of which the first two have no value in some columns."""
    monkeypatch.setattr(source, "_CHUNK", 3)


def test_query_of_a_database(database: str) -> None:
    orders = Source(database, "SELECT * FROM orders ORDER BY id")
    with orders.opened() as connection:
        found = profiles(connection)
    assert {profile.name: profile.type for profile in found} == TYPES
    rows = pd.concat(orders.rows("0001", {"id": "id", "paid": "paid", "json": "json"}), ignore_index=True)
    rows = rows.sort_values("id", ignore_index=True)
    assert list(rows["id"]) == list(range(1, 10))
    assert list(rows["paid"].isna()) == [True] * 7 + [False] * 2
    assert rows["paid"].iloc[8] == dt.datetime(2030, 2, 1)  # noqa: DTZ001 - as the table has it
    assert rows["json"].iloc[8] == '{"a": 9}'


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("SELECT * FROM nothing", 'relation "nothing" does not exist'),
        ("SELECT * FROM orders WHERE id > 9", "the query returns no rows."),
    ],
)
def test_query_that_fails(database: str, query: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence), Source(database, query).opened():
        pass


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_table_at_a_url(tmp_path: Path, ending: str) -> None:
    frame = pd.DataFrame({"n": range(7)})
    getattr(frame, f"to_{ending}")(tmp_path / f"table.{ending}", index=False)
    with http_server(tmp_path) as url:
        rows = Source(f"{url}/table.{ending}").rows("0001", {"n": "n"})
        assert sorted(number for chunk in rows for number in chunk["n"]) == list(range(7))
        with pytest.raises(UserError, match="cannot be read"):
            list(Source(f"{url}/other.{ending}").rows("0001", {"n": "n"}))


@contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """Serve the files of a directory."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


UNREADABLE = {
    "latin1": ("name,y\n" + "Zürich,1\n" * 9, "latin-1", "it is not encoded in UTF-8"),
    "utf-16": ("name,y\n" + "Zürich,1\n" * 9, "utf-16", "it is not encoded in UTF-8"),
    "short row": (
        "a,b,y\n" + "1,2,3\n" * 9 + "1,2\n",
        "utf-8",
        "some rows do not have as many values as",
    ),
    "long row": ("a,b,y\n1,2,3,4\n" + "1,2,3\n" * 9, "utf-8", "some rows do not have as many values as"),
    "preamble": ("a report\n\na,b,y\n" + "1,2,3\n" * 9, "utf-8", "some rows do not have as many values as"),
    "empty": ("", "utf-8", "is empty"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_csv_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    text, encoding, sentence = UNREADABLE[name]
    path = tmp_path / "table.csv"
    path.write_text(text, encoding=encoding)
    with pytest.raises(UserError, match=sentence), Source(str(path)).opened():
        pass


@pytest.mark.parametrize("text", ["a;b c\n1;x,y\n2;z\n", 'a,"b;; c"\n1,"x, y"\n2,z\n', "\ufeffa\tb\n1\tx\n2\ty\n"])
def test_delimiters(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    with Source(str(path)).opened() as connection:
        table = connection.view("source")
        assert (table.columns[0], len(table.columns), table.aggregate("count(*)").fetchall()) == ("a", 2, [(2,)])


def test_rows_of_a_period(tmp_path: Path) -> None:
    """The rows of a CSV file come in chunks, and the file is parsed once."""
    path = tmp_path / "table.csv"
    pd.DataFrame({"at": pd.date_range("2030-01-01", periods=59), "n": range(59)}).to_csv(path, index=False)
    table = Source(str(path))
    january = list(table.rows("2030-01", {"at": '"at"', "n": "n"}, time="at"))
    assert sorted(number for frame in january for number in frame["n"]) == list(range(31))
    assert max(map(len, january)) < 31
    path.unlink()
    assert sum(map(len, table.rows("2030-02", {"at": '"at"'}, time="at"))) == 28
