"""What the service and the check are compared with, in an environment of its own: requirements/rivals.txt."""

import sys
from pathlib import Path

_PYTHON = Path(__file__).parents[2] / ".venv-rivals/bin/python"


def rivals_python() -> str:
    """The interpreter of their environment, which is made by the targets of the Makefile that need it."""
    if not _PYTHON.exists():
        sys.exit("error: there is no .venv-rivals. `make .venv-rivals/.ready` makes it.")
    return str(_PYTHON)
