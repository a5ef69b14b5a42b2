"""Run other programs: git, and the champion's own Python."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_TAIL = 12  # lines of output that an error shows


class CommandError(Exception):
    """An error for a command that failed. The message holds the last lines of its output."""


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
        raise CommandError("\n".join(last_lines) or f"{command[0]} failed without any output")
    return completed.stdout


def git(*arguments: str, **environment: str) -> str:
    """Run git in the working directory and return its output.

    Raises:
        CommandError: If it fails.
    """
    return run(["git", *arguments], Path(), **environment)


def git_show(commit: str, path: Path) -> str:
    """Return a file as it is in a commit, or an empty string if the commit does not have it."""
    try:
        return git("show", f"{commit}:{path}")
    except CommandError:
        return ""
