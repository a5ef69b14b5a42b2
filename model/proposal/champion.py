"""The champion: which model is in production, and its probabilities by its own code.

Its commit is checked out beside, as a git worktree, and asked there with the command that this commit has for it,
`python -m model.predict`; in an environment of its own if its requirements are others.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import contract
from model.pipeline.stage import MODEL

FOLDER = Path("artifacts/champion")
REQUIREMENTS = Path("requirements/pipeline.txt")
ALIAS = "champion"
_TAIL = 12  # lines of an output that are shown


class NoChampionError(Exception):
    """There is no champion, or it cannot do what is asked; the message says why, for the report."""


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
            NoChampionError: Where it fails, with the last lines.
        """
        return run([self.python, *map(str, arguments)], self.folder, PYTHONPATH=str(self.folder.resolve()))


def find(base: str) -> tuple[str, str]:
    """The commit of the champion, and what makes it that.

    Args:
        base: The commit that a proposal is made against, which has it if no registry does.
    """
    registered = _registered()
    if registered:
        return registered
    return base, "the model of the base commit; no registry knows of one"


def check_out(commit: str, known_as: str) -> Champion:
    """Check out a champion's commit beside this one, with its model.

    Raises:
        NoChampionError: Where the commit has no model, or none can be made of it.
    """
    folder = FOLDER / commit[:12]
    if not (folder / ".git").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        run(["git", "worktree", "prune"], Path())
        run(["git", "worktree", "add", "--force", "--detach", str(folder), commit], Path())
    if not (folder / "dvc.lock").exists() or not (folder / "model/predict.py").exists():
        raise NoChampionError("that commit has no trained model yet")
    python = _environment(folder)
    champion = Champion(commit, known_as, folder, python)
    if not (champion.model / "metadata.json").exists():
        cache = Path(".dvc/cache").resolve()
        (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")
        dvc = ("-m", "dvc")
        champion.run(*dvc, "checkout", "--quiet", "--allow-missing", "data.dvc", "train")
        if not (champion.model / "metadata.json").exists():
            # It was made on another machine, and is made once more: its lock says what has to come out.
            champion.run(*dvc, "pull", "--quiet", "data.dvc")
            champion.run(*dvc, "repro", "--quiet", "train")
    return champion


def _registered() -> tuple[str, str] | None:
    """Commit and name of the registered champion; None where no registry can be asked or it has none."""
    from model.pipeline.track import STORE, tracking_uri

    if not os.environ.get("MLFLOW_TRACKING_URI") and not (STORE / "mlflow.db").exists():
        return None
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        client = mlflow.MlflowClient(tracking_uri=tracking_uri(), registry_uri=tracking_uri())
        version = client.get_model_version_by_alias(contract.NAME, ALIAS)
    except MlflowException:
        return None
    return version.tags["commit"], f"version {version.version} of the registry"


def _environment(folder: Path) -> str:
    """The interpreter for a checkout: this one, unless the requirements differ."""
    if (folder / REQUIREMENTS).read_bytes() == REQUIREMENTS.read_bytes():
        return sys.executable
    python = folder / ".venv/bin/python"
    if not python.exists():
        run(["uv", "venv", "--quiet", "--python", sys.executable, ".venv"], folder)
        run(["uv", "pip", "sync", "--quiet", "--python", ".venv/bin/python", str(REQUIREMENTS)], folder)
    return str(python.resolve().parent / python.name)


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Run a command in a folder, and return what it printed.

    Raises:
        NoChampionError: Where it fails, with the last lines.
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
        raise NoChampionError("\n".join(done.stdout.strip().splitlines()[-_TAIL:]))
    return done.stdout
