"""Runs commands in this process, because importing MLflow takes longer than most of them."""

import importlib
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from io import StringIO
from unittest.mock import patch

from model.console import UserError
from tests.repository import Repository


@contextmanager
def inside(repository: Repository, **environment: str) -> Iterator[None]:
    """Be where a command in a repository would be."""
    with chdir(repository.folder), patch.dict(os.environ, repository.environment | environment, clear=True):
        yield


def run(repository: Repository, module: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """What `python -m MODULE` prints in a repository, and its error; empty where it has none."""
    command, said, error = importlib.import_module(module), StringIO(), ""
    with inside(repository, **environment), patch("sys.argv", [module, *arguments]), redirect_stdout(said):
        try:
            command.main()
        except UserError as raised:
            error = str(raised)
    return said.getvalue(), error


def must(repository: Repository, module: str, *arguments: str, **environment: str) -> str:
    """What a command prints that has to succeed."""
    said, error = run(repository, module, *arguments, **environment)
    assert error == ""
    return said
