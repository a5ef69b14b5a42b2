"""The champion: find the model in production, and score rows with its own code.

Its commit is checked out as a git worktree, where the commands of `interface.py` run; in an environment of its own if
its requirements differ.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from lifecycle.pipeline.stage import MODEL
from lifecycle.pipeline.verify_cache import remove_damaged
from lifecycle.proposal.base import other_model
from lifecycle.proposal.interface import Interface, interface_of
from lifecycle.proposal.origins import ORIGINS, OriginPlan, model_folder, moved_back, window_at, write_plan
from lifecycle.proposal.rows import NotComparableError
from lifecycle.registry.store import open_registry
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.commands import git, run
from lifecycle.shared.console import UserError
from lifecycle.shared.params import PARAMS, Span
from lifecycle.shared.parts import DATA
from lifecycle.shared.tasks.task import Predictions
from lifecycle.shared.text import foreign
from lifecycle.shared.yaml_text import edit_yaml, parse_yaml

FOLDER = Path("artifacts/champion")
REQUIREMENTS = Path("requirements/pipeline.txt")


class NoChampionError(Exception):
    """There is no champion. The message gives the reason, for the report."""


@dataclass(frozen=True)
class Champion:
    """A model in production, with its commit checked out.

    Attributes:
        commit: Commit that it was trained from.
        known_as: Where it is recorded as the champion, for the report.
        folder: Directory with the checked-out commit.
        python: Python interpreter of its environment.
        interface: Commands of its version.
    """

    commit: str
    known_as: str
    folder: Path
    python: str
    interface: Interface

    @property
    def model(self) -> Path:
        """Directory of its model."""
        return self.folder / MODEL

    def metadata(self) -> dict[str, Any]:
        """Return the content of its metadata.json."""
        metadata: dict[str, Any] = json.loads((self.model / "metadata.json").read_text(encoding="utf-8"))
        return metadata

    def schema(self) -> dict[str, Any]:
        """Return its contract, as JSON Schema."""
        schema: dict[str, Any] = json.loads((self.model / "contract.json").read_text(encoding="utf-8"))
        return schema

    def window(self) -> Span:
        """Return the parts that it was trained on."""
        return Span(**self.metadata()["window"])

    def holdout(self) -> Span:
        """Return the parts that its commit holds out."""
        return Span(**self._params()["holdout"])

    def is_rolling(self) -> bool:
        """Return whether the window of its recipe keeps its length instead of its first part."""
        return bool(self._params().get("retraining", {}).get("window", "expanding") != "expanding")

    def _params(self) -> dict[str, Any]:
        values: dict[str, Any] = parse_yaml((self.folder / PARAMS).read_text(encoding="utf-8"))
        return values

    def run(self, *arguments: str | Path) -> str:
        """Run its Python in its checkout, and return the output.

        Raises:
            CommandError: If the command fails.
        """
        return run([self.python, *arguments], self.folder, PYTHONPATH=str(self.folder.resolve()))

    def score(self, rows: Path, scored: Path, model: Path | None = None) -> Predictions:
        """Score the rows of a file with its own code.

        Args:
            rows: File with its input columns.
            scored: File to write, with the predictions.
            model: Directory of a model to use instead of its own.

        Returns:
            Predictions of the rows.

        Raises:
            CommandError: If scoring fails.
            NotComparableError: If the predictions are of another kind of target, or one is not a finite number.
        """
        options: list[str | Path] = ["--model", model.resolve()] if model else []
        self.run("-m", self.interface.predict, rows.resolve(), scored.resolve(), *options)
        table = pq.read_table(scored)
        names = TASK.output_columns()
        if not set(names) <= set(table.column_names):
            raise NotComparableError(f"the champion does not predict {', '.join(names)}: its target is of another kind")
        predictions = TASK.read_output({name: table.column(name).to_numpy() for name in names})
        broken = broken_rows(predictions)
        if broken:
            raise NotComparableError(f"the champion predicts nothing for {broken:,} of {len(predictions):,} rows")
        return predictions

    def train_at_origins(self, plan: OriginPlan) -> "ChampionAtOrigins":
        """Train its recipe at earlier origins, with its own stage if its commit has one."""
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
        older: Checkout whose parameters may be changed, if its commit has no stage for origins; else None.
        plan: Origins and seeds.
    """

    champion: Champion
    older: Path | None
    plan: OriginPlan

    def score(self, back: int, seed: int, rows: Path, scored: Path) -> Predictions:
        """Score rows with the model of an origin and a seed; see `Champion.score`."""
        if not back and not seed:
            return self.champion.score(rows, scored)
        if self.older is None:
            return self.champion.score(rows, scored, model_folder(back, seed, self.champion.folder / ORIGINS))
        earlier = replace(self.champion, folder=self.older)
        self._go_back(earlier, back, seed)
        return earlier.score(rows, scored)

    def _go_back(self, earlier: Champion, back: int, seed: int) -> None:
        """Set window, holdout and seed in the checkout of a commit without a stage for origins, and run its stages."""
        path = earlier.folder / PARAMS
        text = (self.champion.folder / PARAMS).read_text(encoding="utf-8")
        values = parse_yaml(text)
        parts = back * self.plan.apart
        window = window_at(self.champion.window(), parts, rolling=self.champion.is_rolling())
        if window is None:
            raise NotComparableError(f"the champion has nothing to train on, {parts} periods back")
        changes = {
            "window": window.model_dump(),
            "holdout": moved_back(Span(**values["holdout"]), parts).model_dump(),
            "seed": (values["seed"] + seed) % 2**32,
        }
        path.write_text(edit_yaml(text, changes), encoding="utf-8")
        _bring_up(earlier)


def broken_rows(predictions: Predictions) -> int:
    """Return the number of rows with a prediction that is not a finite number."""
    return int((~np.isfinite(predictions.reshape(len(predictions), -1))).any(axis=1).sum())


def find(base: str) -> tuple[str, str]:
    """Return the commit of the champion, and where it is recorded as the champion.

    Args:
        base: Commit that the proposal is made against; its model is the champion if no registry has one.
    """
    commit, source = _registered()
    return commit or base, source if commit else f"the model of the base commit; {source}"


def check_out_code(commit: str, known_as: str) -> Champion:
    """Check out a champion's commit as a worktree, with an environment for it, but without its model.

    Raises:
        NoChampionError: If the commit has no model, or that of another project, such as the template's example.
        CommandError: If the environment cannot be installed.
    """
    if other := other_model(commit):
        raise NoChampionError(f"that commit has another model, {foreign(other)}")
    folder = _worktree(commit[:12], commit)
    interface = interface_of(folder)
    if interface is None or not (folder / "dvc.lock").exists():
        raise NoChampionError("that commit has no trained model yet")
    return Champion(commit, known_as, folder, _environment(folder), interface)


def check_out(commit: str, known_as: str) -> Champion:
    """Check out a champion's commit as a worktree, with its model.

    Raises:
        NoChampionError: If the commit has no model.
        CommandError: If the model cannot be restored or trained.
    """
    champion = check_out_code(commit, known_as)
    folder = champion.folder
    ready = folder / "artifacts/.ready"
    if not ready.exists():
        remove_damaged()
        _bring_up(champion)
        ready.touch()
    if run(["git", "diff", "--name-only", "--", "dvc.lock"], folder):
        champion = replace(champion, known_as=f"{known_as}, trained again here because its dvc.lock is out of date")
    return champion


def base_data(base: str) -> Path | None:
    """Return the directory with the data of the base; None if its data is that of the working tree.

    Raises:
        CommandError: If the data cannot be pulled.
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
    """Check out a commit as a worktree that shares the DVC cache."""
    folder = FOLDER / name
    if not (folder / ".git").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        git("worktree", "prune")
        git("worktree", "add", "--force", "--detach", str(folder), commit)
        cache = Path(".dvc/cache").resolve()
        (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")
    return folder


def _bring_up(champion: Champion) -> None:
    """Restore or train the model of a checkout."""
    dvc = ("-m", "dvc")
    champion.run(*dvc, "checkout", "--quiet", "--allow-missing", "data.dvc", "prepare", "train")
    if not (champion.folder / DATA).exists():
        champion.run(*dvc, "pull", "--quiet", "data.dvc")
    # Even if a model was restored: the lock, and so the model in the cache, may belong to other sources.
    champion.run(*dvc, "repro", "--quiet", "train")


def _data(folder: Path, python: str) -> None:
    """Restore the data of a checkout."""
    remove_damaged()
    run([python, "-m", "dvc", "checkout", "--quiet", "--allow-missing", "data.dvc"], folder)
    if not (folder / DATA).exists():
        run([python, "-m", "dvc", "pull", "--quiet", "data.dvc"], folder)


def _registered() -> tuple[str | None, str]:
    """Return the commit of the registered champion and its version, or None and the reason why there is none."""
    try:
        with open_registry() as registry:
            champion = registry.champion() if registry else None
    except UserError:
        return None, "the registry did not answer"
    if champion is None:
        return None, "no registry has a champion"
    if not champion.commit:
        return None, f"version {champion.number} in the registry has no commit"
    return champion.commit, f"version {champion.number} of the registry"


def _environment(folder: Path) -> str:
    """Return the interpreter for a checkout: this one, unless the requirements differ."""
    if (folder / REQUIREMENTS).read_bytes() == REQUIREMENTS.read_bytes():
        return sys.executable
    ready = folder / ".venv/.ready"
    if not ready.exists():
        run(["uv", "venv", "--quiet", "--clear", "--python", sys.executable, ".venv"], folder)
        run(["uv", "pip", "sync", "--quiet", "--python", ".venv/bin/python", REQUIREMENTS], folder)
        ready.touch()
    # Not resolved, because it is a link to the interpreter that the environment was created from.
    return str((folder / ".venv/bin/python").absolute())
