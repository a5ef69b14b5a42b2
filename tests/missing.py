"""What a machine lacks for a test."""

import os
import shutil
from typing import NoReturn

import pytest


def skip(reason: str) -> NoReturn:
    """Skip the test; fail it with REQUIRE_ALL=1, where nothing is to be missing."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}, and REQUIRE_ALL is 1")
    pytest.skip(reason)


def need(command: str) -> None:
    """Skip the test where a command is not here."""
    if not shutil.which(command):
        skip(f"{command} is not here")
