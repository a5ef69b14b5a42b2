"""A champion whose commit has an older machinery is scored by its own code, as `interface.py` promises."""

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.lifecycle import missing
from tests.lifecycle.repository import GATES, MONTHS, ROOT, Repository, change_params, copy_example, with_estimator

SPANS = {
    "window": {"first": MONTHS[0], "last": MONTHS[2]},
    "holdout": {"first": MONTHS[3], "last": MONTHS[3]},
}


def extract(commit: str, folder: Path) -> None:
    """Extract the files of a commit of this repository."""
    completed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if completed.returncode:
        missing.skip(f"this clone does not have the commit {commit}: it is shallow, or a copy without history")
    with tarfile.open(fileobj=io.BytesIO(completed.stdout)) as archive:
        archive.extractall(folder, filter="data")


def older(commit: str, folder: Path, data: Path, **params: Any) -> Repository:
    """Create a repository from a commit, and train a poor model there on the small months."""
    extract(commit, folder)
    shutil.rmtree(folder / ".dvc/remote")
    shutil.copytree(data, folder / "data")
    for lock in ("dvc.lock", "model/proposal/dvc.lock"):
        (folder / lock).unlink(missing_ok=True)
    repository = Repository(folder)
    repository.must("git", "init", "--quiet", "--initial-branch", "main")
    repository.must("dvc", "add", "--quiet", "data")
    repository.must("dvc", "push", "--quiet", "data.dvc")
    change_params(repository, **SPANS, **with_estimator(repository, max_iter=5), **params)
    repository.must("python", "-m", "model.pipeline", "--untracked")
    repository.commit("A model of an older commit")
    return repository


def report_after_upgrade(repository: Repository) -> str:
    """Replace the machinery by the current one, and return the report of the first proposal."""
    for path in repository.folder.iterdir():
        if path.name not in {".git", ".dvc", "data", "data.dvc", "artifacts"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    copy_example(repository.folder)
    repository.must("git", "switch", "--quiet", "--create", "proposal")
    change_params(
        repository,
        **SPANS,
        **with_estimator(repository, max_iter=60, learning_rate=0.05),
        comparison={"origins": 2, "seeds": 2},
        gates=GATES,
    )
    repository.commit("A new machinery, and a model of more rounds")
    completed = repository.run("python", "-m", "lifecycle.proposal", "--base", "main")
    assert completed.returncode == 0, completed.stdout
    return (repository.folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")


def gains_by_origin(report: str) -> list[float]:
    """Return the candidate's gain of ROC AUC at each of two origins."""
    assert "in periods like 2013-03, 2013-04" in report
    row = re.search(r"\| \*\*ROC AUC\*\* ↑ \|((?: [+-]\d\.\d{4} \|){3})", report)
    assert row
    return [float(value) for value in row[1].split("|")[:2]]


def check_gains(report: str) -> None:
    """Assert a gain over a model of 5 rounds at each origin; they differ, because each origin has its own model."""
    gains = gains_by_origin(report)
    assert all(gain > 0 for gain in gains)
    assert len(set(gains)) == 2


@pytest.mark.long
def test_commit_before_the_machinery_moved(small: Path, tmp_path: Path) -> None:
    """The last commit without `lifecycle/` has a stage for origins and a command that measures latency."""
    before = "5b0ff2cacb8d7d2525c92908ea8441365ba65068"
    repository = older(before, tmp_path / "older", small, gates=GATES, comparison={"origins": 2, "seeds": 2})
    report = report_after_upgrade(repository)
    check_gains(report)
    assert re.search(r"\| latency of a row \| \d+\.\d+ ms \| \d+\.\d+ ms \|", report), report


@pytest.mark.long
def test_commit_before_origins(small: Path, tmp_path: Path) -> None:
    """Without a stage for origins, its own stages run in its checkout with another window, holdout and seed."""
    before = "32117d6283e18a1e09624b89e632bf420ed3cda0"
    report = report_after_upgrade(older(before, tmp_path / "older", small))
    assert "because those of its base do not apply" in report
    check_gains(report)
