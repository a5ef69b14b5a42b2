"""Addresses of databases whose paths and passwords have characters that mean something in a URL."""

from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from lifecycle.shared.addresses import libpq_uri, sqlite_url
from tests.lifecycle.serving.postgresql import postgresql_server

ODD = ("e%20f", "g?h", "a b", "c#d", "i:j", "k'l\"$", "Zürich+&=")


@pytest.mark.parametrize("name", ODD)
def test_sqlite_file_lies_in_its_directory(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    engine = sa.create_engine(sqlite_url(folder / "log.db"))
    with engine.begin() as connection:
        connection.execute(sa.text("create table here (x)"))
    engine.dispose()
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.db")] == [Path(name) / "log.db"]


def test_postgresql_reads_the_same_address_as_sqlalchemy() -> None:
    """Passwords are sent, and options are those of the URL."""
    with postgresql_server() as server:
        database = sa.make_url(server.database())
        for password in ("a b", "p@ss/w#rd", "100%", "%20", "a+b&c=d", "é\\'\""):
            address = database.set(
                password=password, query={"options": "-c search_path=public -c application_name=a+b"}
            )
            with psycopg.connect(libpq_uri(address)) as connection:
                assert connection.info.password == password
                row = connection.execute("select current_setting('search_path'), current_setting('application_name')")
                assert row.fetchone() == ("public", "a+b")


def test_postgresql_by_socket_and_by_ipv6() -> None:
    socket = sa.make_url("postgresql://me@/log?host=/var/run/postgresql&port=5433")
    assert libpq_uri(socket) == "postgresql://me@/log?host=%2Fvar%2Frun%2Fpostgresql&port=5433"
    assert libpq_uri(sa.make_url("postgresql://me:x@[::1]:5433/log")) == "postgresql://me:x@[::1]:5433/log"
