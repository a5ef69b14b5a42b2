"""Programs that the service and the check are compared with, in a separate environment (requirements/rivals.txt)."""

import sys
from pathlib import Path

_PYTHON = Path(__file__).parents[2] / ".venv-rivals/bin/python"


def rivals_python() -> str:
    """Return the interpreter of the rivals' environment, or exit if it has not been made yet."""
    if not _PYTHON.exists():
        sys.exit("error: there is no .venv-rivals. Start the benchmark with `make -C benchmarks`, which makes it.")
    return str(_PYTHON)
