"""The count of proposals that were judged on a holdout."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lifecycle.proposal.asked import Asked, asked_before, due_after
from lifecycle.shared import github
from lifecycle.shared.intervals import Interval, student_quantile
from lifecycle.shared.params import Span

JULY, AUGUST = (Span(first=month, last=month) for month in ("2013-07", "2013-08"))


def git(*arguments: str, day: int = 1) -> None:
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    moment = f"2026-03-{day:02d}T12:00:00Z"
    environment = {"GIT_COMMITTER_DATE": moment, "GIT_AUTHOR_DATE": moment, "PATH": "/usr/bin:/bin"}
    subprocess.run(["git", *author, *arguments], check=True, capture_output=True, env=environment)


def commit(holdout: Span | None, day: int) -> None:
    name = "params.yaml" if holdout else "words.md"
    text = f"seed: {day}\nholdout: {{first: {holdout.first}, last: {holdout.last}}}\n" if holdout else f"{day}"
    Path(name).write_text(text, encoding="utf-8")
    git("add", "--all")
    git("commit", "--quiet", "--message", f"Day {day}", day=day)


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a history in which July is the holdout twice; only commits since the second time count."""
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GITHUB_TOKEN", "GITHUB_EVENT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch", "main")
    for day, holdout in enumerate((JULY, AUGUST, JULY, None, JULY, None), 1):
        commit(holdout, day)


def test_commits_of_main_since_the_holdout_changed() -> None:
    assert asked_before(JULY, "HEAD") == 3
    assert asked_before(JULY, "HEAD~2") == 1
    assert asked_before(AUGUST, "HEAD") == 0
    assert asked_before(AUGUST, "HEAD~4") == 0


def test_pull_requests_since_the_holdout_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused pull requests count; the one that is being judged does not."""
    pulls = [{"number": day, "created_at": f"2026-03-{day:02d}T11:00:00Z"} for day in (8, 7, 5, 4, 3, 2, 1)]
    requests: list[Any] = []

    def answer(path: str, **query: Any) -> list[dict[str, Any]]:
        requests.append((path, query["state"]))
        return pulls

    monkeypatch.setenv("GITHUB_TOKEN", "token")
    monkeypatch.setattr(github, "get_all", answer)
    monkeypatch.setattr(github, "event", lambda: {"pull_request": {"number": 8}})
    # July is the holdout of main since noon of the third: 4, 5 and 7 were opened after that.
    assert asked_before(JULY, "HEAD") == 3
    assert requests == [("pulls", "all")]


def test_when_luck_alone_reaches_the_margin() -> None:
    """In a simulation, the best of that many equally good models looks better by about the margin."""
    error, clusters = 0.003, 31
    half_width = student_quantile(clusters, 0.95) * error
    due = due_after(Interval(0.0, -half_width, half_width), 0.008, clusters, 0.95)
    assert due == round(np.exp((0.008 / error) ** 2 / 2) - 0.5) == 35
    best = np.random.default_rng(1).normal(0, error, (4_000, due)).max(axis=1)
    assert 0.7 * 0.008 < best.mean() < 0.008


@pytest.mark.parametrize(("half_width", "due"), [(0.0, 1000), (1e-6, 1000), (0.5, 10)])
def test_bounds(half_width: float, due: int) -> None:
    assert due_after(Interval(0.0, -half_width, half_width), 0.01, 31, 0.95) == due
    assert due_after(Interval(0.0, np.nan, np.nan), 0.01, 31, 0.95) is None


def test_due() -> None:
    assert Asked(10, 10).is_due
    assert not Asked(9, 10).is_due
    assert not Asked(9, None).is_due
