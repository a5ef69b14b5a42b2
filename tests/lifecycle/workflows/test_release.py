"""The real release.yml and rollback.yml, with real images, registries and a real host.

One test runs all steps, because each of them takes long.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.github.rehearse import origin_of, propose, rehearse_merge_and_rollback
from tests.github.server import GitHub
from tests.lifecycle.registry.commands import table
from tests.lifecycle.repository import ROOT, Repository, change_params, with_estimator
from tests.lifecycle.workflows.fork import Fork, fork_of


@pytest.fixture
def fork(proposing: Repository, github: GitHub, tmp_path: Path) -> Iterator[Fork]:
    """A fork of a working tree with a better model that is not committed."""
    (proposing.folder / ".venv").symlink_to(ROOT / ".venv")
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    (proposing.folder / "new.txt").write_text("untracked\n", encoding="utf-8")
    with fork_of(origin_of(proposing.folder, tmp_path / "fork/origin"), github, tmp_path / "fork") as started:
        yield started


def test_release_proposal_merge_and_rollbacks(fork: Fork, proposing: Repository, tmp_path: Path) -> None:
    first = fork.head()
    release_first_version(fork, first)
    propose_working_tree(fork, first, proposing, tmp_path)
    merge_and_roll_back(fork, first)

    # The reason is free text: it must not reach a shell.
    why = 'it\'s "odd" $(id)'
    rolled_back = fork.rollback("2", why)
    assert rolled_back.passed, rolled_back.output
    assert "it accepts the newest 2 rows" in rolled_back.output
    assert fork.running()[0] == "2"
    assert table(fork.main, "history")[-1].endswith(why)


# test_plan.py tests what is released, and test_propose.py which model may be merged.
@pytest.mark.long
def test_merges_without_a_new_version(fork: Fork) -> None:
    first = fork.head()
    release_first_version(fork, first)
    merge_and_roll_back(fork, first)
    merge_without_a_new_version(fork, first)


def release_first_version(fork: Fork, first: str) -> None:
    released = fork.release()
    assert released.passed, released.output
    assert "dvc.lock and the reports are unchanged" in released.output
    assert fork.running() == ("1", first)
    assert [line[:2] for line in fork.versions()] == [["1", "champion"]]
    assert first[:12] in fork.versions()[0]
    (announced,) = fork.github.releases
    assert (announced["tag_name"], announced["target_commitish"]) == ("v1", first)
    assert announced["body"].startswith("# flight-delay\n")


def propose_working_tree(fork: Fork, first: str, proposing: Repository, folder: Path) -> None:
    """The proposal includes uncommitted and untracked files, and leaves the working tree as it is."""
    state = [("git", "status", "--porcelain"), ("git", "for-each-ref"), ("git", "diff", "--cached")]
    before = [proposing.must(*command) for command in state]
    judged, comment = propose(fork.main.folder, fork.github, folder / "run")
    assert judged.passed, judged.output
    assert comment.startswith("## ✅ Better than the model in production\n")
    assert f"Champion: `{first[:12]}`, version 1 of the registry" in comment
    assert "| `new.txt` | 1 | 0 |" in comment
    assert (judged.artifacts / "plots/plots.html").exists()
    assert [proposing.must(*command) for command in state] == before


def merge_and_roll_back(fork: Fork, first: str) -> None:
    """The merge has an outdated lock: CI commits its own to main."""
    progress: list[str] = []
    rehearse_merge_and_rollback(fork, progress.append)
    assert re.findall(r"production answers with version (\d+)", "\n".join(progress)) == ["2", "1"]
    subject = fork.main.must("git", "log", "-1", "--format=%s", "main").strip()
    assert subject == "Record dvc.lock and reports from CI [skip ci]"
    assert "dvc.lock" in fork.main.must("git", "diff", "--name-only", "main~1", "main")
    assert fork.main.must("git", "log", "-1", "--format=%s", "main~1").strip() == "Merge pull request #7"
    assert fork.running() == ("1", first)
    assert [line[:2] for line in fork.versions()][1] == ["1", "champion"]
    assert "#7" in fork.versions()[0]
    assert [line.split()[0] for line in table(fork.main, "history")[1:]] == ["1", "2", "1"]
    assert table(fork.main, "history")[-1].endswith("rehearsed")
    assert len(fork.github.releases) == 2


def merge_without_a_new_version(fork: Fork, first: str) -> None:
    # A change of documentation does not redeploy the version that was rolled back.
    fork.main.must("git", "checkout", "--quiet", "--detach", "main")
    (fork.main.folder / "README.md").write_text("Other words", encoding="utf-8")
    fork.merge("Words")
    released = fork.release()
    assert released.passed, released.output
    assert "the same as in version 2, which was rolled back" in released.output
    assert "make image" not in released.output

    # A worse model that was merged against the verdict is not released.
    change_params(fork.main, **with_estimator(fork.main, min_samples_leaf=3000))
    fork.merge("No splits")
    released = fork.release()
    assert not released.passed
    assert "Do not merge" in released.output
    assert fork.running() == ("1", first)
    assert len(fork.versions()) == len(fork.github.releases) == 2
