"""The champion: which model is in production, and its probabilities by its own code.

Its commit is checked out as a git worktree and asked there, with the commands of `interface.py`; in an environment of
its own if its requirements are others.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.pipeline.stage import MODEL
from lifecycle.proposal.interface import Interface, interface_of
from lifecycle.proposal.origins import ORIGINS, OriginPlan, model_folder, moved_back, window_at, write_plan
from lifecycle.proposal.rows import NotComparableError
from lifecycle.registry.store import open_registry
from lifecycle.shared.commands import git, run
from lifecycle.shared.console import UserError
from lifecycle.shared.months import DATA
from lifecycle.shared.params import PARAMS, Months
from lifecycle.shared.yaml_text import edit_yaml, parse_yaml

FOLDER = Path("artifacts/champion")
REQUIREMENTS = Path("requirements/pipeline.txt")


class NoChampionError(Exception):
    """There is no champion; the message says why, for the report."""


@dataclass(frozen=True)
class Champion:
    """A model in production, with its commit checked out.

    Attributes:
        commit: It was trained from.
        known_as: What makes it the champion.
        folder: Where the commit is checked out.
        python: The interpreter of its environment.
        interface: How its version is asked.
    """

    commit: str
    known_as: str
    folder: Path
    python: str
    interface: Interface

    @property
    def model(self) -> Path:
        """Its model folder."""
        return self.folder / MODEL

    def metadata(self) -> dict[str, Any]:
        """What its metadata.json says."""
        found: dict[str, Any] = json.loads((self.model / "metadata.json").read_text(encoding="utf-8"))
        return found

    def schema(self) -> dict[str, Any]:
        """Its contract, as JSON Schema."""
        found: dict[str, Any] = json.loads((self.model / "contract.json").read_text(encoding="utf-8"))
        return found

    def window(self) -> Months:
        """The months that it was trained on."""
        return Months(**self.metadata()["window"])

    def is_rolling(self) -> bool:
        """Whether the window of its recipe keeps its length, and not its first month."""
        values = parse_yaml((self.folder / PARAMS).read_text(encoding="utf-8"))
        return bool(values.get("retraining", {}).get("window", "expanding") != "expanding")

    def run(self, *arguments: str | Path) -> str:
        """Run its Python in its checkout, and return what that printed.

        Raises:
            CommandError: Where it fails.
        """
        return run([self.python, *arguments], self.folder, PYTHONPATH=str(self.folder.resolve()))

    def score(self, rows: Path, scored: Path, model: Path | None = None) -> NDArray[np.float32]:
        """Its probabilities for the rows of a file, by its own code.

        Args:
            rows: With its inputs.
            scored: File to write, with the probabilities.
            model: Another model folder than its own.

        Raises:
            CommandError: Where it fails.
            NotComparableError: Where a probability is none.
        """
        chosen: list[str | Path] = ["--model", model.resolve()] if model else []
        self.run("-m", self.interface.predict, rows.resolve(), scored.resolve(), *chosen)
        found: NDArray[np.float32] = pq.read_table(scored, columns=["probability"]).column(0).to_numpy()
        broken = int((~np.isfinite(found)).sum())
        if broken:
            raise NotComparableError(f"the champion predicts no probability for {broken:,} of {len(found):,} rows")
        return found

    def train_at_origins(self, plan: OriginPlan) -> "ChampionAtOrigins":
        """Its recipe at earlier origins: by its own stage, if its commit has one."""
        stage = self.interface.origins
        if not (self.folder / stage).exists():
            return ChampionAtOrigins(self, _worktree(f"{self.commit[:12]}-origins", self.commit), plan)
        write_plan(plan, self.folder)
        self.run("-m", "dvc", "repro", "--quiet", stage)
        return ChampionAtOrigins(self, None, plan)


@dataclass(frozen=True)
class ChampionAtOrigins:
    """The champion's recipe at earlier origins.

    Attributes:
        champion: The champion.
        older: A checkout whose parameters may be changed, where its commit has no stage for origins.
        plan: Which models there are.
    """

    champion: Champion
    older: Path | None
    plan: OriginPlan

    def score(self, back: int, seed: int, rows: Path, scored: Path) -> NDArray[np.float32]:
        """The probabilities of the model of an origin and a seed; see `Champion.score`."""
        if not back and not seed:
            return self.champion.score(rows, scored)
        if self.older is None:
            return self.champion.score(rows, scored, model_folder(back, seed, self.champion.folder / ORIGINS))
        then = replace(self.champion, folder=self.older)
        self._go_back(then, back, seed)
        return then.score(rows, scored)

    def _go_back(self, then: Champion, back: int, seed: int) -> None:
        """Set window, holdout and seed in the checkout of a commit that knows no origins, and run its own stages."""
        path = then.folder / PARAMS
        text = (self.champion.folder / PARAMS).read_text(encoding="utf-8")
        values = parse_yaml(text)
        months = back * self.plan.apart
        window = window_at(self.champion.window(), months, rolling=self.champion.is_rolling())
        if window is None:
            raise NotComparableError(f"the champion has no month to train on, {months} months back")
        changes = {
            "window": window.model_dump(),
            "holdout": moved_back(Months(**values["holdout"]), months).model_dump(),
            "seed": (values["seed"] + seed) % 2**32,
        }
        path.write_text(edit_yaml(text, changes), encoding="utf-8")
        _bring_up(then)


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
    folder = _worktree(commit[:12], commit)
    interface = interface_of(folder)
    if interface is None or not (folder / "dvc.lock").exists():
        raise NoChampionError("that commit has no trained model yet")
    champion = Champion(commit, known_as, folder, _environment(folder), interface)
    ready = folder / "artifacts/.ready"
    if not ready.exists():
        _bring_up(champion)
        ready.touch()
    if run(["git", "diff", "--name-only", "--", "dvc.lock"], folder):
        champion = replace(champion, known_as=f"{known_as}, trained again here: its lock is not of what it is made of")
    return champion


def base_data(base: str) -> Path | None:
    """The months of the base, where they are others than those of the working tree.

    Raises:
        CommandError: Where they cannot be had.
    """
    if not git("ls-tree", "--name-only", base, "--", "data.dvc").strip():
        return None
    if git("show", f"{base}:data.dvc") == Path("data.dvc").read_text(encoding="utf-8"):
        return None
    folder = _worktree(base[:12], base)
    if not (folder / DATA).exists():
        _data(folder, sys.executable)
    return folder / DATA


def _worktree(name: str, commit: str) -> Path:
    """A checkout of a commit, which shares the cache of this one."""
    folder = FOLDER / name
    if not (folder / ".git").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        git("worktree", "prune")
        git("worktree", "add", "--force", "--detach", str(folder), commit)
        cache = Path(".dvc/cache").resolve()
        (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")
    return folder


def _bring_up(champion: Champion) -> None:
    """Bring the model of a checkout up to date."""
    dvc = ("-m", "dvc")
    champion.run(*dvc, "checkout", "--quiet", "--allow-missing", "data.dvc", "prepare", "train")
    if not (champion.folder / DATA).exists():
        champion.run(*dvc, "pull", "--quiet", "data.dvc")
    # Not only where it is missing: the lock may be of other sources, and the model of the cache with it.
    champion.run(*dvc, "repro", "--quiet", "train")


def _data(folder: Path, python: str) -> None:
    """Bring the data of a checkout."""
    run([python, "-m", "dvc", "checkout", "--quiet", "--allow-missing", "data.dvc"], folder)
    if not (folder / DATA).exists():
        run([python, "-m", "dvc", "pull", "--quiet", "data.dvc"], folder)


def _registered() -> tuple[str | None, str]:
    """The commit of the registered champion, and which version that is; or None, and why there is none."""
    try:
        with open_registry() as registry:
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
