"""The commit that a proposal is made against."""

from contextlib import suppress

from lifecycle.shared.commands import CommandError, git
from lifecycle.shared.console import UserError


def find_base(revision: str) -> str:
    """Find the commit that the checked-out proposal is made against.

    Args:
        revision: Commit, branch or tag; if empty, the commit at which the proposal left main.

    Raises:
        UserError: If there is no such commit, or no branch main.
    """
    # GitHub sends zeros if there is no commit before.
    if revision.strip("0"):
        return _commit(revision)
    for main in ("origin/main", "main"):
        with suppress(CommandError):
            return git("merge-base", "HEAD", main).strip()
    raise UserError("there is no branch main to propose to. Name a commit: make propose BASE=…")


def _commit(revision: str) -> str:
    try:
        return git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").strip()
    except CommandError as error:
        raise UserError(f"this repository has no commit {revision!r}. `git fetch` may bring it.") from error
