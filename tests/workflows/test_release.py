"""The real release.yml and rollback.yml, after make-believe merges: with real images, registries, and a real host."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.github.server import GitHub
from tests.registry.commands import table
from tests.repository import Repository, change_params, with_estimator
from tests.workflows.fork import Fork, fork_of


@pytest.fixture
def fork(proposing: Repository, github: GitHub, tmp_path: Path) -> Iterator[Fork]:
    with fork_of(proposing, github, tmp_path) as found:
        yield found


def test_merges(fork: Fork) -> None:
    first = fork.head()
    done = fork.release()
    assert done.passed, done.output
    assert "dvc.lock and the reports are as they were merged" in done.output
    assert fork.running() == ("1", first)
    assert [line[:2] for line in fork.versions()] == [["1", "champion"]]
    assert first[:12] in fork.versions()[0]
    assert "#7" in fork.versions()[0]
    (announced,) = fork.github.releases
    assert (announced["tag_name"], announced["target_commitish"]) == ("v1", first)
    assert announced["body"].startswith("# flight-delay\n")

    # A merge of words: no version, and nothing is built.
    (fork.main.folder / "README.md").write_text("Other words", encoding="utf-8")
    fork.merge("Words")
    done = fork.release()
    assert done.passed, done.output
    assert "Nothing to release." in done.output
    assert "make image" not in done.output
    assert len(fork.versions()) == len(fork.github.releases) == 1

    # A better one, made in an editor on the web: what CI has made of it is recorded on main.
    change_params(fork.main, **with_estimator(fork.main, max_iter=60, learning_rate=0.05))
    second = fork.merge("More rounds")
    done = fork.release()
    assert done.passed, done.output
    assert fork.running() == ("2", second)
    assert fork.versions()[0][:2] == ["2", "champion"]
    subject = fork.main.must("git", "log", "-1", "--format=%s %(trailers)", "main").strip()
    assert subject == "Record what CI has made of this [skip ci]"
    assert fork.main.must("git", "rev-parse", "main~1").strip() == second
    assert "dvc.lock" in fork.main.must("git", "diff", "--name-only", "main~1", "main")
    assert [line.split()[0] for line in table(fork.main, "history")[1:]] == ["1", "2"]

    # A worse one, which somebody has merged all the same: the champion stays.
    fork.main.must("git", "checkout", "--quiet", "--detach", "main")
    change_params(fork.main, **with_estimator(fork.main, min_samples_leaf=3000))
    fork.merge("No splits")
    done = fork.release()
    assert not done.passed
    assert "Not to be merged" in done.output
    assert fork.running() == ("2", second)
    assert fork.versions()[0][:2] == ["2", "champion"]
    assert len(fork.github.releases) == 2

    # Back to the first one, by whoever may dispatch a workflow.
    why = 'it\'s "odd" $(id)'
    done = fork.rollback("1", why)
    assert done.passed, done.output
    assert "it accepts the newest 3 rows" in done.output
    assert fork.running() == ("1", first)
    assert fork.versions()[1][:2] == ["1", "champion"]
    assert table(fork.main, "history")[-1].endswith(why)
