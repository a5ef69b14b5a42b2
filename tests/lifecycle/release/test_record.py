"""Committing dvc.lock and the reports of CI to main, also if the push is refused."""

from pathlib import Path

import pytest

from tests.lifecycle import in_process
from tests.lifecycle.registry.commands import clone_of
from tests.lifecycle.repository import Repository

SUBJECT = "Record dvc.lock and reports from CI [skip ci]"


@pytest.fixture
def clone(released: Repository, tmp_path: Path) -> Repository:
    """The checkout of a release in which CI has changed dvc.lock."""
    clone = clone_of(released, tmp_path)
    lock = clone.folder / "dvc.lock"
    lock.write_text(lock.read_text(encoding="utf-8") + "# by CI\n", encoding="utf-8")
    return clone


def record(clone: Repository, **environment: str) -> str:
    return in_process.must(clone, "lifecycle.release.record", **environment)


def main(clone: Repository) -> str:
    return clone.must("git", "ls-remote", "origin", "refs/heads/main").split()[0]


def test_recorded(clone: Repository) -> None:
    (clone.folder / "README.md").write_text("Other changes are not recorded\n", encoding="utf-8")
    merged = main(clone)
    assert record(clone) == "Recorded dvc.lock and the reports on main.\n"
    clone.must("git", "fetch", "--quiet")
    assert clone.must("git", "rev-parse", "origin/main~1").strip() == merged
    assert clone.must("git", "diff", "--name-only", "origin/main~1", "origin/main").split() == ["dvc.lock"]
    assert clone.must("git", "log", "-1", "--format=%s", "origin/main").strip() == SUBJECT
    assert record(clone) == "dvc.lock and the reports are unchanged.\n"


def test_recorded_by_an_earlier_run(clone: Repository) -> None:
    merged = main(clone)
    record(clone)
    recorded = main(clone)
    lock = (clone.folder / "dvc.lock").read_bytes()
    clone.must("git", "reset", "--quiet", "--hard", merged)
    (clone.folder / "dvc.lock").write_bytes(lock)
    later = record(clone, GIT_COMMITTER_DATE="2090-01-01T00:00:00Z")
    assert later == "dvc.lock and the reports were already recorded on main.\n"
    assert main(clone) == recorded


def test_branch_protection(clone: Repository) -> None:
    hook = clone.folder.parent / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'GH006: Protected branch update failed for refs/heads/main.'\nexit 1\n")
    hook.chmod(0o755)
    merged = main(clone)
    notice = record(clone)
    assert notice.startswith("::notice title=Not recorded on main::")
    assert "GH006: Protected branch update failed" in notice
    assert notice.count("\n") == 1
    assert main(clone) == merged


def test_main_has_newer_commits(clone: Repository) -> None:
    other = Repository(clone.folder.parent / "other")
    clone.must("git", "clone", "--quiet", "../origin.git", str(other.folder))
    other.must("git", "commit", "--quiet", "--allow-empty", "--message", "A newer merge")
    other.must("git", "push", "--quiet", "origin", "HEAD:main")
    newer = main(clone)
    assert record(clone).startswith("::notice title=Not recorded on main::")
    assert main(clone) == newer
