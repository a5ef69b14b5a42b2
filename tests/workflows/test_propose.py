"""The real propose.yml, in a make-believe pull request."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.proposal.accepted import LABEL
from tests.github.server import GitHub, github
from tests.repository import Repository, change_params, with_estimator
from tests.workflows.act import Rehearsal, rehearse


@pytest.fixture
def stand_in() -> Iterator[GitHub]:
    with github() as started:
        yield started


def pull_request(repository: Repository, *labels: str) -> dict[str, Any]:
    """The event of a pull request of the branch `proposal`."""
    base, head = (repository.must("git", "rev-parse", name).strip() for name in ("main", "proposal"))
    return {
        "event": "pull_request",
        "action": "synchronize",
        "number": 7,
        "pull_request": {
            "number": 7,
            "title": "$(touch /tmp/title); `id`",
            "labels": [{"name": name} for name in labels],
            "base": {"ref": "main", "sha": base},
            "head": {"ref": "proposal", "sha": head},
        },
        "repository": {"full_name": "acme/flights", "default_branch": "main"},
    }


def run(repository: Repository, stand_in: GitHub, folder: Path, *labels: str) -> Rehearsal:
    return rehearse("propose.yml:model", pull_request(repository, *labels), repository, stand_in, folder)


def report(rehearsal: Rehearsal) -> str:
    """What was uploaded, which is what the summary shows, too."""
    text = (rehearsal.artifacts / "report/report.md").read_text(encoding="utf-8")
    assert text.strip() in rehearsal.summary
    return text


def test_better_model(proposing: Repository, stand_in: GitHub, tmp_path: Path) -> None:
    """One line of params.yaml, edited on the web: no lock with it."""
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    proposing.commit("More rounds")
    done = run(proposing, stand_in, tmp_path / "run")
    assert done.passed, done.output
    assert report(done).startswith("## ✅ Better than the model in production\n")
    assert stand_in.asked == []


def test_worse_model_and_a_label(proposing: Repository, stand_in: GitHub, tmp_path: Path) -> None:
    change_params(proposing, **with_estimator(proposing, min_samples_leaf=3000))
    proposing.commit("No splits")
    done = run(proposing, stand_in, tmp_path / "run")
    assert not done.passed
    assert report(done).startswith("## ❌ Not to be merged.")
    stand_in.answers["/repos/acme/flights/issues/7/events"] = [
        {"event": "labeled", "label": {"name": LABEL}, "actor": {"login": "maintainer"}}
    ]
    done = run(proposing, stand_in, tmp_path / "run", LABEL)
    assert done.passed, done.output
    assert report(done).startswith("## ⚠️ Accepted with a regression by `maintainer`")
    assert stand_in.tokens == {"Bearer not-a-real-token"}


def test_training_that_crashes(proposing: Repository, stand_in: GitHub, tmp_path: Path) -> None:
    features = proposing.folder / "model/features.py"
    features.write_text(features.read_text(encoding="utf-8") + "\nraise SystemExit('a mistake')\n", encoding="utf-8")
    proposing.commit("A mistake")
    done = run(proposing, stand_in, tmp_path / "run")
    assert not done.passed
    assert "a mistake" in report(done)
