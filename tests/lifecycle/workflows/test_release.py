"""The real release.yml and rollback.yml, with real images, registries and a real host. One story: each step is long."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.github.rehearse import merge_and_go_back, origin_of, propose
from tests.github.server import GitHub
from tests.lifecycle.registry.commands import table
from tests.lifecycle.repository import ROOT, Repository, change_params, with_estimator
from tests.lifecycle.workflows.fork import Fork, fork_of


@pytest.fixture
def fork(proposing: Repository, github: GitHub, tmp_path: Path) -> Iterator[Fork]:
    """Of a working tree with a better model, which is not committed yet."""
    (proposing.folder / ".venv").symlink_to(ROOT / ".venv")
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    (proposing.folder / "new.txt").write_text("not even added\n", encoding="utf-8")
    with fork_of(origin_of(proposing.folder, tmp_path / "fork/origin"), github, tmp_path / "fork") as found:
        yield found


def test_story(fork: Fork, proposing: Repository, tmp_path: Path) -> None:
    first = fork.head()
    into_production(fork, first)
    proposed(fork, first, proposing, tmp_path)
    merged_and_rolled_back(fork, first)

    # Whoever dispatches a workflow chooses the words.
    why = 'it\'s "odd" $(id)'
    done = fork.rollback("2", why)
    assert done.passed, done.output
    assert "it accepts the newest 2 rows" in done.output
    assert fork.running()[0] == "2"
    assert table(fork.main, "history")[-1].endswith(why)


# What there is to release is in test_plan.py, and which model may be merged in test_propose.py.
@pytest.mark.long
def test_merges_in_vain(fork: Fork) -> None:
    first = fork.head()
    into_production(fork, first)
    merged_and_rolled_back(fork, first)
    merged_in_vain(fork, first)


def into_production(fork: Fork, first: str) -> None:
    done = fork.release()
    assert done.passed, done.output
    assert "dvc.lock and the reports are as they were merged" in done.output
    assert fork.running() == ("1", first)
    assert [line[:2] for line in fork.versions()] == [["1", "champion"]]
    assert first[:12] in fork.versions()[0]
    (announced,) = fork.github.releases
    assert (announced["tag_name"], announced["target_commitish"]) == ("v1", first)
    assert announced["body"].startswith("# flight-delay\n")


def proposed(fork: Fork, first: str, proposing: Repository, folder: Path) -> None:
    """What is not committed is proposed, too, and nothing of it is touched."""
    state = [("git", "status", "--porcelain"), ("git", "for-each-ref"), ("git", "diff", "--cached")]
    before = [proposing.must(*command) for command in state]
    judged, comment = propose(fork.main.folder, fork.github, folder / "run")
    assert judged.passed, judged.output
    assert comment.startswith("## ✅ Better than the model in production\n")
    assert f"Champion: `{first[:12]}`, version 1 of the registry" in comment
    assert "| `new.txt` | 1 | 0 |" in comment
    assert (judged.artifacts / "plots/plots.html").exists()
    assert [proposing.must(*command) for command in state] == before


def merged_and_rolled_back(fork: Fork, first: str) -> None:
    """Merged without a lock of its own: what CI has made of it is recorded on main."""
    said: list[str] = []
    merge_and_go_back(fork, said.append)
    assert re.findall(r"production answers with version (\d+)", "\n".join(said)) == ["2", "1"]
    subject = fork.main.must("git", "log", "-1", "--format=%s", "main").strip()
    assert subject == "Record what CI has made of this [skip ci]"
    assert "dvc.lock" in fork.main.must("git", "diff", "--name-only", "main~1", "main")
    assert fork.main.must("git", "log", "-1", "--format=%s", "main~1").strip() == "Merge pull request #7"
    assert fork.running() == ("1", first)
    assert [line[:2] for line in fork.versions()][1] == ["1", "champion"]
    assert "#7" in fork.versions()[0]
    assert [line.split()[0] for line in table(fork.main, "history")[1:]] == ["1", "2", "1"]
    assert table(fork.main, "history")[-1].endswith("rehearsed")
    assert len(fork.github.releases) == 2


def merged_in_vain(fork: Fork, first: str) -> None:
    # Words: what production was rolled back from does not come again by them.
    fork.main.must("git", "checkout", "--quiet", "--detach", "main")
    (fork.main.folder / "README.md").write_text("Other words", encoding="utf-8")
    fork.merge("Words")
    done = fork.release()
    assert done.passed, done.output
    assert "It would be version 2 again" in done.output
    assert "make image" not in done.output

    # One that is worse than the champion, which somebody has merged all the same: the champion stays.
    change_params(fork.main, **with_estimator(fork.main, min_samples_leaf=3000))
    fork.merge("No splits")
    done = fork.release()
    assert not done.passed
    assert "Do not merge" in done.output
    assert fork.running() == ("1", first)
    assert len(fork.versions()) == len(fork.github.releases) == 2
