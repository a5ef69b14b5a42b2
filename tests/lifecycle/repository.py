"""Repositories to run commands in: the machinery of the working tree with a frozen example project.

A fork's own model, data and parameters are never used here, so these tests stay green whatever the team changes there.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from lifecycle.shared.params import Split

ROOT = Path(__file__).parents[2]
# The frozen example: the files that a fork edits, as they were in the template.
EXAMPLE_PROJECT = Path(__file__).parent / "example"
# The same files in the working tree, and the outputs made from them.
_FORK_S_OWN = (
    *("model/", "params.yaml", "dvc.yaml", "bentofile.yaml", ".dvc/config"),
    *("data.dvc", "dvc.lock", "lifecycle/proposal/dvc.lock", ".dvc/remote/", "reports/"),
)
MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")
ROWS = 3_000  # per month in the fixture `small`


def write_params(path: Path, **changes: Any) -> Path:
    """Write the example's params.yaml with some top-level values changed; the default window fits `MONTHS`."""
    values = yaml.safe_load((EXAMPLE_PROJECT / "params.yaml").read_text(encoding="utf-8"))
    values |= {
        "window": {"first": "2013-01", "last": "2013-02"},
        "holdout": {"first": "2013-03", "last": "2013-03"},
    } | changes
    values["comparison"]["origins"] = 1
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


class Repository:
    """A repository in which commands run as in a fresh clone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A git hook or a `make` that runs the tests must not affect commands in the repository.
        outside = ("GIT_", "MLFLOW_", "MAKE", "MFLAGS")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(outside)}
        self.environment |= {"DVC_NO_ANALYTICS": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
        for role in ("AUTHOR", "COMMITTER"):
            self.environment |= {f"GIT_{role}_NAME": "Test", f"GIT_{role}_EMAIL": "test@example.org"}

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command; its standard output includes standard error."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )

    def must(self, *command: str, **environment: str) -> str:
        """Run a command that must succeed, and return its output."""
        completed = self.run(*command, **environment)
        assert completed.returncode == 0, f"{' '.join(command)} exited with {completed.returncode}:\n{completed.stdout}"
        return completed.stdout

    def make(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run what `make` runs."""
        return self.run("python", "-m", "lifecycle.pipeline", **environment)

    def commit(self, message: str) -> None:
        self.must("git", "add", "--all")
        self.must("git", "commit", "--quiet", "--message", message)

    def outputs(self) -> dict[str, bytes]:
        """Return the contents of all files that a failing run must not change."""
        files = [p for name in ("artifacts", "reports") for p in (self.folder / name).rglob("*") if p.is_file()]
        files += [self.folder / "dvc.lock", self.folder / "data.dvc"]
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in files if "timings" not in p.parts}


def with_example(**environment: str) -> dict[str, str]:
    """Return the environment of a process that runs the machinery with the example from any directory."""
    return os.environ | {"PYTHONPATH": f"{EXAMPLE_PROJECT}{os.pathsep}{ROOT}"} | environment


def run_with_example(
    *command: str | Path, folder: Path = EXAMPLE_PROJECT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the machinery with the example."""
    return subprocess.run(
        command,
        cwd=folder,
        env=with_example(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def copy_project(folder: Path, leave_out: tuple[str, ...] = ()) -> None:
    """Copy the tracked and the new files of the working tree, except some files and directories."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        if (ROOT / name).exists() and not name.startswith(leave_out or "//"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def copy_example(folder: Path) -> None:
    """Copy the machinery of the working tree, and the example."""
    copy_project(folder, leave_out=_FORK_S_OWN)
    shutil.copytree(EXAMPLE_PROJECT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def copy_repository(folder: Path, data: Path | None = None) -> Repository:
    """Make a repository of the machinery and the example, with one commit.

    With `data`, it versions the months in that directory, and the window fits `MONTHS`.
    """
    copy_example(folder)
    repository = _initialised(folder)
    if data is not None:
        shutil.copytree(data, folder / "data")
        repository.must("dvc", "add", "--quiet", "data")
        repository.must("dvc", "push", "--quiet", "data.dvc")
        write_params(folder / "params.yaml")
    repository.commit("The template")
    return repository


def copied_project(folder: Path) -> Repository:
    """Make a repository of the working tree, with one commit."""
    copy_project(folder)
    repository = _initialised(folder)
    repository.commit("The project")
    return repository


def _initialised(folder: Path) -> Repository:
    repository = Repository(folder)
    repository.must("git", "init", "--quiet", "--initial-branch", "main")
    return repository


# The split of the example.
MONTHLY = Split(by="time", period="month")
# Lineage of the model that tests share.
LINEAGE = {"version": "test-1", "commit": "c0ffee", "metrics": {"model": {}}}
# Gates that a model of small months can pass.
GATES = {
    "skill_at_least": {"roc_auc": -0.2},
    "worse_by_at_most": {"roc_auc": 0.02, "log_loss": 0.02},
    "unclear": "pass",
    "slice_rows": 500,
    "slices_worse_by_at_most": {"roc_auc": 0.05},
    "latency_milliseconds": 100,
    "answer_milliseconds": 500,
    "model_mebibytes": 50,
}


def change_params(repository: Repository, **changes: Any) -> None:
    """Change some top-level values of a repository's params.yaml."""
    path = repository.folder / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8")) | changes
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def with_estimator(repository: Repository, **settings: float) -> dict[str, Any]:
    """Return the hyperparameters of a repository, with some of its estimator's changed."""
    values = yaml.safe_load((repository.folder / "params.yaml").read_text(encoding="utf-8"))
    chosen = values["hyperparameters"]["hist_gradient_boosting"] | settings
    return {"hyperparameters": values["hyperparameters"] | {"hist_gradient_boosting": chosen}}


def edit(repository: Repository, path: str, old: str, new: str) -> None:
    """Replace some text in a file of a repository."""
    file = repository.folder / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
