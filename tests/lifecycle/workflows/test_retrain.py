"""The real retrain.yml, and the checks of the pull request that it opens."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.github.server import NAME, GitHub
from tests.lifecycle.missing import need
from tests.lifecycle.registry.commands import promote, register
from tests.lifecycle.repository import GATES, Repository, change_params, edit, with_estimator
from tests.lifecycle.workflows.act import Rehearsal, rehearse

Retrain = Callable[..., Rehearsal]


@pytest.fixture
def main(proposing: Repository) -> Repository:
    """A repository with a poor champion, whose data source has exactly one new month."""
    proposing.must("git", "checkout", "--quiet", "main")
    proposing.must("git", "remote", "add", "origin", str(proposing.folder))
    register(proposing)
    promote(proposing, "1 a-bot the first")
    ends = 'flights = flights[flights["scheduled_departure"] < "2013-05"]'
    edit(proposing, "model/data.py", "    flights = _flights()\n", f"    flights = _flights()\n    {ends}\n")
    values = yaml.safe_load((proposing.folder / "params.yaml").read_text(encoding="utf-8"))
    # Only a better model is merged automatically. One month is enough to tell with the Brier score and 50% intervals.
    change_params(
        proposing,
        retraining=values["retraining"] | {"auto_merge": True},
        metrics=values["metrics"] | {"primary": "brier_score", "confidence": 0.5},
        gates=GATES | {"worse_by_at_most": {"brier_score": 0.1}},
    )
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    proposing.commit("More trees, and a source that ends in April")
    proposing.must("git", "checkout", "--quiet", "--detach")
    return proposing


@pytest.fixture
def play(main: Repository, github: GitHub, tmp_path: Path) -> Retrain:
    need("gh")
    repository = {"repository": {"full_name": NAME, "default_branch": "main"}}

    def run(job: str, folder: str, **event: object) -> Rehearsal:
        return rehearse(job, repository | event, main.folder, github, tmp_path / folder)

    return run


def test_pull_request_then_no_news_then_bad_data(play: Retrain, main: Repository, github: GitHub) -> None:
    before = main.must("git", "rev-parse", "main")
    event = {"event": "workflow_dispatch", "inputs": {"why": "drift by @everyone"}}
    retrained = play("retrain.yml:retrain", "first", **event)
    assert retrained.passed, retrained.output
    assert "Opened #200: Retrain on data up to 2013-04." in retrained.output
    (pull,) = github.pulls
    assert (pull["head"]["ref"], pull["base"]["ref"]) == ("retraining", "main")
    assert pull["labels"] == [{"name": "retraining"}]
    assert pull["body"].startswith(
        "New data: 2013-04. Due because drift by \uff20everyone.\n\n## ✅ Better than the model"
    )
    assert "bit for bit" in pull["body"]
    assert github.dispatched == [("propose.yml", {"ref": "retraining"})]
    assert github.auto_merged == ["PR_200"]
    # The branch has data, lock, parameters and reports; main is unchanged.
    changed = main.must("git", "diff", "--name-only", "main", "retraining").splitlines()
    assert {"data.dvc", "dvc.lock", "params.yaml", "reports/metrics.json"} <= set(changed)
    assert any(path.startswith(".dvc/remote/") for path in changed)
    assert main.must("git", "rev-parse", "main") == before
    assert main.must("git", "log", "-1", "--format=%an", "retraining").strip() == "github-actions[bot]"

    # The same data is not proposed twice, even if the pull request was closed.
    pull["state"] = "closed"
    retrained = play("retrain.yml:retrain", "again", **event)
    assert retrained.passed, retrained.output
    assert "was proposed already: #200" in retrained.output
    assert len(github.pulls) == 1

    # Data that breaks the contract opens an issue and no pull request.
    main.must("git", "checkout", "--quiet", "main")
    edit(main, "model/data.py", "    rows: pd.DataFrame =", "    flights['distance'] = -1\n    rows: pd.DataFrame =")
    main.commit("A broken source")
    main.must("git", "checkout", "--quiet", "--detach")
    retrained = play("retrain.yml:retrain", "bad", **event)
    assert not retrained.passed
    (issue,) = github.issues
    assert issue["title"] == "Production: New data breaks the contract"
    assert "distance: must be at least 1 miles" in issue["body"]
    assert len(github.pulls) == 1


# test_propose.py tests the same workflow for other pull requests.
@pytest.mark.long
def test_its_pull_request_is_judged_like_any_other(play: Retrain) -> None:
    """Both jobs run in a workflow that was dispatched."""
    assert play("retrain.yml:retrain", "first", event="workflow_dispatch", inputs={"why": "drift"}).passed
    judged = play("propose.yml:model", "judged", event="workflow_dispatch", after="origin/retraining")
    assert judged.passed, judged.output
    assert (judged.artifacts / "report/report.md").read_text(encoding="utf-8").startswith("## ✅ Better than the model")
    checked = play("propose.yml:check", "checked", event="workflow_dispatch", after="origin/retraining")
    assert checked.passed, checked.output
    assert "Changed files of the machinery: 0." in checked.output
