"""Addresses of databases, with the encoding that the library which reads them expects."""

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from sqlalchemy import URL  # whose import would take longer than `make` with nothing to do


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file.

    SQLAlchemy decodes the path of a URL, so a directory such as `e%20f` or `g?h` has to be encoded.
    """
    return f"sqlite:///{quote(str(path.resolve()))}"


def mlflow_sqlite_url(path: Path) -> str:
    """Return the address of a SQLite file for MLflow.

    MLflow makes the directory as it is written, and SQLAlchemy, which opens the file, decodes it. Where the two differ,
    the address is relative to the working directory, so that `e%20f` and the like are not part of it.
    """
    absolute = str(path.resolve())
    return f"sqlite:///{absolute if quote(absolute) == absolute else os.path.relpath(absolute)}"


def libpq_uri(url: "URL") -> str:
    """Return the address of a PostgreSQL database as its own library reads it.

    SQLAlchemy writes a space in a password as it is, and one in an option as `+`, and that library decodes neither.

    Args:
        url: Address of the database.
    """
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    login = ":".join(quote(part, safe="") for part in (url.username, url.password) if part is not None)
    host = f"[{url.host}]" if url.host and ":" in url.host else quote(url.host or "", safe="")
    place = f"{f'{login}@' if login else ''}{host}{f':{url.port}' if url.port else ''}"
    options = [
        (name, value)
        for name, values in url.query.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in options)
    return f"postgresql://{place}/{quote(url.database or '', safe='')}{f'?{query}' if query else ''}"
