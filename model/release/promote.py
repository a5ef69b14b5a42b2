"""Make a version the champion: `python -m model.release.promote NUMBER`. The last thing that a release does."""

import argparse
import os

from model import console, contract
from model.commands import CommandError, git
from model.registry.store import change


def promote(number: int, why: str) -> None:
    """Make a version the champion, and record who has done it.

    Raises:
        UserError: Where there is no such version, or the registry cannot be changed.
    """
    change(lambda registry: registry.promote(number, _who(), why), f"Promote version {number}")


def _who() -> str:
    try:
        return os.environ.get("GITHUB_ACTOR") or git("config", "user.name").strip()
    except CommandError:
        return "somebody"


def main() -> None:
    """Promote what was released."""
    parser = argparse.ArgumentParser(prog="python -m model.release.promote", description=__doc__)
    parser.add_argument("number", type=int)
    number = parser.parse_args().number
    promote(number, "released")
    print(f"version {number} of {contract.NAME} is the champion")


if __name__ == "__main__":
    console.run(main)
