"""The commit that a proposal is made against."""

import ast
from contextlib import suppress
from pathlib import Path

from lifecycle.shared.commands import CommandError, git, git_show
from lifecycle.shared.console import UserError
from model import contract

_CONTRACT = Path("model/contract.py")


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


def other_model(base: str) -> str:
    """Return the name of the model that a commit has; empty if it is the name of this model, or none can be read.

    A table of one's own makes another model of the template's example: there is nothing to compare the first one with.
    """
    with suppress(SyntaxError, ValueError):
        for statement in ast.parse(git_show(base, _CONTRACT)).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "NAME":
                name = str(ast.literal_eval(statement.value))
                return name if name != contract.NAME else ""
    return ""


def _commit(revision: str) -> str:
    try:
        return git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").strip()
    except CommandError as error:
        raise UserError(f"this repository has no commit {revision!r}. `git fetch` may bring it.") from error
