"""Runs commands in this process, because importing MLflow takes longer than most of them."""

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from unittest.mock import patch

import lifecycle
from lifecycle.shared import console
from lifecycle.shared.console import UserError
from tests.lifecycle.repository import Repository


@contextmanager
def inside(repository: Repository, **environment: str) -> Iterator[None]:
    """Be where a command in a repository would be."""
    environment = repository.environment | environment
    with chdir(repository.folder), patch.dict(os.environ, environment, clear=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow gives some, which its user sees and may ignore
        importlib.reload(lifecycle)  # what it sets in the environment, it sets in this one
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


def status(repository: Repository, module: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status of `python -m MODULE` in a repository, and what it prints, both streams in one."""
    command, said, code = importlib.import_module(module), StringIO(), 0
    with (
        inside(repository, **environment),
        patch("sys.argv", [module, *arguments]),
        redirect_stdout(said),
        redirect_stderr(said),
    ):
        try:
            console.run_main(command.main)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
            said.write(ended.code if isinstance(ended.code, str) else "")
    return code, said.getvalue()


def must(repository: Repository, module: str, *arguments: str, **environment: str) -> str:
    """What a command prints that has to succeed."""
    said, error = run(repository, module, *arguments, **environment)
    assert error == ""
    return said
