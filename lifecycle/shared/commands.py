"""Other programs, asked: git, and the champion's own Python."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_TAIL = 12  # lines of an output that are shown


class CommandError(Exception):
    """A program has failed; the message has the last lines of what it said."""


def run(command: Sequence[str | Path], folder: Path = Path(), **environment: str) -> str:
    """Run a command in a folder, and return what it printed.

    Raises:
        CommandError: Where it fails.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = done.stdout.strip().splitlines()[-_TAIL:]
        raise CommandError("\n".join(said) or f"{command[0]} failed and said nothing")
    return done.stdout


def git(*arguments: str, **environment: str) -> str:
    """What git says.

    Raises:
        CommandError: Where it fails.
    """
    return run(["git", *arguments], Path(), **environment)


def git_show(commit: str, path: Path) -> str:
    """A file as it is in a commit; empty where it is not."""
    try:
        return git("show", f"{commit}:{path}")
    except CommandError:
        return ""
