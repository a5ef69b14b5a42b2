"""The commit that a proposal is made against."""

import ast
from contextlib import suppress
from pathlib import Path

from lifecycle.shared.commands import git, git_or_none, git_show
from lifecycle.shared.console import UserError
from model import contract

_CONTRACT = Path("model/contract.py")


def find_base(revision: str) -> str:
    """Find the commit that the checked-out proposal is made against.

    Args:
        revision: Commit, branch or tag; if empty, the commit at which the proposal left main.

    Raises:
        UserError: If there is no such commit, or no branch main, or the project is not the whole repository.
    """
    if inside := git("rev-parse", "--show-prefix").strip():
        raise UserError(
            f"this project is the folder {inside} of another repository. Make it a repository of its own: GitHub runs "
            "only the workflows at the top, and a comparison checks out whole commits."
        )
    # GitHub sends zeros if there is no commit before.
    if revision.strip("0"):
        return _commit(revision)
    for main in ("refs/remotes/origin/main", "refs/heads/main"):
        if git_or_none("rev-parse", "--verify", "--quiet", main) is None:
            continue
        left = git_or_none("merge-base", "HEAD", main)
        if left is None:
            raise UserError(
                f"the checked-out commit has no history in common with {main}. A clone with `--depth` lacks it: "
                "`git fetch --unshallow` brings it."
            )
        return left.strip()
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
    commit = git_or_none("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise UserError(
            f"this repository has no commit {revision!r}. `git fetch` may bring it, or `git fetch --unshallow` to a "
            "clone with `--depth`."
        )
    return commit.strip()
