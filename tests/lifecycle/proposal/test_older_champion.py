"""A champion of a commit that knew no origins, nor the gates of today: it is compared by its own code."""

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.lifecycle import missing
from tests.lifecycle.repository import GATES, MONTHS, ROOT, Repository, change_params, copy_example, with_estimator

# The last one before comparisons had origins.
BEFORE = "32117d6283e18a1e09624b89e632bf420ed3cda0"


def archived(commit: str, folder: Path) -> None:
    """The files of a commit of this repository."""
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        missing.skip(f"this clone has not the commit {commit}: it is a shallow one, or a copy without history")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def test_its_own_stages_run_at_each_origin(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "older"
    archived(BEFORE, folder)
    shutil.rmtree(folder / ".dvc/remote")
    shutil.copytree(small, folder / "data")
    (folder / "dvc.lock").unlink()
    repository = Repository(folder)
    repository.must("git", "init", "--quiet", "--initial-branch", "main")
    repository.must("dvc", "add", "--quiet", "data")
    repository.must("dvc", "push", "--quiet", "data.dvc")
    spans = {
        "window": {"first": MONTHS[0], "last": MONTHS[2]},
        "holdout": {"first": MONTHS[3], "last": MONTHS[3]},
    }
    change_params(repository, **spans, **with_estimator(repository, max_iter=5))
    repository.must("python", "-m", "lifecycle.pipeline", "--untracked")
    repository.commit("A model of an older commit")

    for path in folder.iterdir():
        if path.name not in {".git", ".dvc", "data", "data.dvc", "artifacts"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    copy_example(folder)
    repository.must("git", "switch", "--quiet", "--create", "proposal")
    change_params(
        repository,
        **spans,
        **with_estimator(repository, max_iter=60, learning_rate=0.05),
        comparison={"origins": 2, "seeds": 2},
        gates=GATES,
    )
    repository.commit("Comparisons have origins, and the model more rounds")
    done = repository.run("python", "-m", "lifecycle.proposal", "--base", "main")
    assert done.returncode == 0, done.stdout
    report = (folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")
    assert "because those of its base cannot be used by its code" in report
    assert "in a period like 2013-03, 2013-04" in report
    found = re.search(r"\| \*\*ROC AUC\*\* ↑ \|((?: [+-]\d\.\d{4} \|){3})", report)
    assert found
    by_origin = [float(value) for value in found[1].split("|")[:2]]
    # A model of 5 rounds is beaten at each origin, and at each by something else: no origin stands in for another.
    assert all(value > 0 for value in by_origin)
    assert len(set(by_origin)) == 2
