"""The real propose.yml, in a make-believe pull request."""

from pathlib import Path

from model.proposal.accepted import LABEL
from tests.github.pull_request import PullRequest
from tests.github.server import GitHub
from tests.repository import Repository, change_params, with_estimator
from tests.workflows.act import TOKEN, Rehearsal, rehearse


def run(repository: Repository, github: GitHub, folder: Path, *labels: str) -> Rehearsal:
    proposed = PullRequest(repository.folder, labels=labels)
    return rehearse("propose.yml:model", proposed.proposed(), repository.folder, github, folder)


def report(rehearsal: Rehearsal) -> str:
    """What was uploaded, which is what the summary shows, too."""
    text = (rehearsal.artifacts / "report/report.md").read_text(encoding="utf-8")
    assert text.strip() in rehearsal.summary
    return text


def test_better_model(proposing: Repository, github: GitHub, tmp_path: Path) -> None:
    """One line of params.yaml, edited on the web: no lock with it."""
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    proposing.commit("More rounds")
    done = run(proposing, github, tmp_path / "run")
    assert done.passed, done.output
    assert report(done).startswith("## ✅ Better than the model in production\n")
    assert github.asked == []


def test_worse_model_and_a_label(proposing: Repository, github: GitHub, tmp_path: Path) -> None:
    change_params(proposing, **with_estimator(proposing, min_samples_leaf=3000))
    proposing.commit("No splits")
    done = run(proposing, github, tmp_path / "run")
    assert not done.passed
    assert report(done).startswith("## ❌ Not to be merged.")
    github.answers["issues/7/events"] = [
        {"event": "labeled", "label": {"name": LABEL}, "actor": {"login": "maintainer"}}
    ]
    done = run(proposing, github, tmp_path / "run", LABEL)
    assert done.passed, done.output
    assert report(done).startswith("## ⚠️ Accepted with a regression by `maintainer`")
    assert github.tokens == {TOKEN}


def test_training_that_crashes(proposing: Repository, github: GitHub, tmp_path: Path) -> None:
    features = proposing.folder / "model/features.py"
    features.write_text(features.read_text(encoding="utf-8") + "\nraise SystemExit('a mistake')\n", encoding="utf-8")
    proposing.commit("A mistake")
    done = run(proposing, github, tmp_path / "run")
    assert not done.passed
    assert "a mistake" in report(done)
