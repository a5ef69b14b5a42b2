"""Run other programs: git, and the champion's own Python."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lifecycle.shared.console import CommandError

_TAIL = 12  # lines of output that an error shows


def run(command: Sequence[str | Path], folder: Path = Path(), **environment: str) -> str:
    """Run a command in a directory and return what it writes to standard output; warnings are not part of it.

    Raises:
        CommandError: If it fails.
    """
    completed = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if completed.returncode:
        last_lines = f"{completed.stdout}\n{completed.stderr}".strip().splitlines()[-_TAIL:]
        message = "\n".join(last_lines) or f"{command[0]} failed without any output"
        raise CommandError(message, completed.returncode)
    return completed.stdout


def git(*arguments: str, **environment: str) -> str:
    """Run git in the working directory and return its output.

    Raises:
        CommandError: If it fails.
    """
    return run(["git", *arguments], Path(), **environment)


def git_or_none(*arguments: str, none: int = 1, **environment: str) -> str | None:
    """Run git and return its output; None if it says that there is none.

    Args:
        *arguments: Arguments of git.
        none: Exit status with which this command says so. With any other one, git itself has failed.
        **environment: Environment variables to add.

    Raises:
        CommandError: If git fails.
    """
    try:
        return git(*arguments, **environment)
    except CommandError as error:
        if error.status != none:
            raise
        return None


def git_show(commit: str, path: Path) -> str:
    """Return a file as it is in a commit, or an empty string if the commit does not have it.

    Raises:
        CommandError: If the clone does not have the commit.
    """
    listed = git("ls-tree", "--name-only", commit, "--", str(path))
    return git("show", f"{commit}:./{path}") if listed.strip() else ""
