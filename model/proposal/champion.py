"""The champion: which model is in production, and its probabilities by its own code.

Its commit is checked out beside, as a git worktree, and asked there with the command that this commit has for it,
`python -m model.predict`; in an environment of its own if its requirements are others.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.commands import git, run
from model.console import UserError
from model.months import DATA
from model.pipeline.stage import MODEL
from model.registry.store import opened

FOLDER = Path("artifacts/champion")
REQUIREMENTS = Path("requirements/pipeline.txt")


class NoChampionError(Exception):
    """There is no champion, or it cannot be compared; the message says why, for the report."""


@dataclass(frozen=True)
class Champion:
    """A model in production, with its commit checked out.

    Attributes:
        commit: It was trained from.
        known_as: What makes it the champion.
        folder: Where the commit is checked out.
        python: The interpreter of its environment.
    """

    commit: str
    known_as: str
    folder: Path
    python: str

    @property
    def model(self) -> Path:
        """Its model folder."""
        return self.folder / MODEL

    def metadata(self) -> dict[str, Any]:
        """What its metadata.json says."""
        found: dict[str, Any] = json.loads((self.model / "metadata.json").read_text(encoding="utf-8"))
        return found

    def inputs(self) -> list[str]:
        """The columns that it needs."""
        return list(json.loads((self.model / "contract.json").read_text(encoding="utf-8"))["properties"])

    def run(self, *arguments: str | Path) -> str:
        """Run its Python in its checkout, and return what that printed.

        Raises:
            CommandError: Where it fails.
        """
        return run([self.python, *arguments], self.folder, PYTHONPATH=str(self.folder.resolve()))


def find(base: str) -> tuple[str, str]:
    """The commit of the champion, and what makes it that.

    Args:
        base: The commit that a proposal is made against, which has it if no registry does.
    """
    commit, said = _registered()
    return commit or base, said if commit else f"the model of the base commit; {said}"


def check_out(commit: str, known_as: str) -> Champion:
    """Check out a champion's commit beside this one, with its model.

    Raises:
        NoChampionError: Where the commit has no model.
        CommandError: Where it has one, and it cannot be brought up.
    """
    folder = FOLDER / commit[:12]
    if not (folder / ".git").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        git("worktree", "prune")
        git("worktree", "add", "--force", "--detach", str(folder), commit)
    if not (folder / "dvc.lock").exists() or not (folder / "model/predict.py").exists():
        raise NoChampionError("that commit has no trained model yet")
    champion = Champion(commit, known_as, folder, _environment(folder))
    ready = folder / "artifacts/.ready"
    if not ready.exists():
        cache = Path(".dvc/cache").resolve()
        (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")
        dvc = ("-m", "dvc")
        champion.run(*dvc, "checkout", "--quiet", "--allow-missing", "data.dvc", "prepare", "train")
        if not (folder / DATA).exists():
            champion.run(*dvc, "pull", "--quiet", "data.dvc")
        # Not only where it is missing: the lock may be of other sources, and the model of the cache with it.
        champion.run(*dvc, "repro", "--quiet", "train")
        ready.touch()
    if run(["git", "diff", "--name-only", "--", "dvc.lock"], folder):
        champion = replace(champion, known_as=f"{known_as}, trained again here: its lock is not of what it is made of")
    return champion


def _registered() -> tuple[str | None, str]:
    """The commit of the registered champion, and which version that is; or None, and why there is none."""
    try:
        with opened() as registry:
            champion = registry.champion() if registry else None
    except UserError:
        return None, "the registry did not answer"
    if champion is None:
        return None, "no registry knows of one"
    if not champion.commit:
        return None, f"version {champion.number} of the registry does not tell its commit"
    return champion.commit, f"version {champion.number} of the registry"


def _environment(folder: Path) -> str:
    """The interpreter for a checkout: this one, unless the requirements differ."""
    if (folder / REQUIREMENTS).read_bytes() == REQUIREMENTS.read_bytes():
        return sys.executable
    ready = folder / ".venv/.ready"
    if not ready.exists():
        run(["uv", "venv", "--quiet", "--clear", "--python", sys.executable, ".venv"], folder)
        run(["uv", "pip", "sync", "--quiet", "--python", ".venv/bin/python", REQUIREMENTS], folder)
        ready.touch()
    # Not resolved: it is a link to the interpreter that the environment was made from.
    return str((folder / ".venv/bin/python").absolute())
