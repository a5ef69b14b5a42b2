"""Make a version the champion: the last thing that a release does, and a rollback."""

import os

from lifecycle.registry.store import change
from lifecycle.shared.commands import CommandError, git


def promote(number: int, why: str, *, deployed: bool) -> None:
    """Make a version the champion, and record who has done it.

    Args:
        number: Of the version.
        why: For the history.
        deployed: Whether it runs on a host that this repository deploys to.

    Raises:
        UserError: Where there is no such version, or the registry cannot be changed.
    """
    change(lambda registry: registry.promote(number, _who(), why, deployed=deployed), f"Promote version {number}")


def _who() -> str:
    try:
        return os.environ.get("GITHUB_ACTOR") or git("config", "user.name").strip()
    except CommandError:
        return "somebody"
