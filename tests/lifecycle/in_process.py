"""Run commands in this process, because importing MLflow takes longer than most of them."""

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from unittest.mock import patch

import lifecycle
from lifecycle.shared import console
from lifecycle.shared.console import CommandError, UserError
from tests.lifecycle.repository import Repository


@contextmanager
def inside(repository: Repository, **environment: str) -> Iterator[None]:
    """Give the block the working directory and the environment of a command in a repository."""
    environment = repository.environment | environment
    with chdir(repository.folder), patch.dict(os.environ, environment, clear=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow emits some that its users may ignore
        importlib.reload(lifecycle)  # it sets environment variables on import
        yield


def run(repository: Repository, module: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """Run `python -m MODULE` in a repository; return its output and its error, empty if there is none."""
    command, output, error = importlib.import_module(module), StringIO(), ""
    with inside(repository, **environment), patch("sys.argv", [module, *arguments]), redirect_stdout(output):
        try:
            command.main()
        except (UserError, CommandError) as raised:
            error = str(raised)
    return output.getvalue(), error


def status(repository: Repository, module: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run `python -m MODULE` in a repository; return its exit status and its output, both streams in one."""
    command, output, code = importlib.import_module(module), StringIO(), 0
    with (
        inside(repository, **environment),
        patch("sys.argv", [module, *arguments]),
        redirect_stdout(output),
        redirect_stderr(output),
    ):
        try:
            console.run_main(command.main)
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
            output.write(exit_.code if isinstance(exit_.code, str) else "")
    return code, output.getvalue()


def must(repository: Repository, module: str, *arguments: str, **environment: str) -> str:
    """Run a command that must succeed, and return its output."""
    output, error = run(repository, module, *arguments, **environment)
    assert error == ""
    return output
