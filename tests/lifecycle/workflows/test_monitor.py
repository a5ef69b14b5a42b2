"""The real monitor.yml, with prediction logs of a registered version."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.github.server import NAME, GitHub
from tests.lifecycle.missing import need
from tests.lifecycle.monitoring.conftest import fill, numbers, watched_in, with_values
from tests.lifecycle.registry.commands import promote, register
from tests.lifecycle.repository import Repository
from tests.lifecycle.workflows.act import Rehearsal, rehearse

Watch = Callable[..., Rehearsal]


@pytest.fixture
def in_production(proposing: Repository) -> Repository:
    """A repository with the model of main as its champion."""
    proposing.must("git", "checkout", "--quiet", "--detach", "main")
    proposing.must("git", "remote", "add", "origin", str(proposing.folder))
    register(proposing)
    promote(proposing, "1 a-bot the first")
    return proposing


@pytest.fixture
def watch(in_production: Repository, github: GitHub, tmp_path: Path) -> Watch:
    need("gh")
    event = {"repository": {"full_name": NAME, "default_branch": "main"}, "event": "schedule"}

    def run(folder: str, **settings: str) -> Rehearsal:
        return rehearse("monitor.yml:check", event, in_production.folder, github, tmp_path / folder, **settings)

    return run


def test_issue_is_opened_and_closed(watch: Watch, in_production: Repository, github: GitHub, tmp_path: Path) -> None:
    checked = watch("nothing")
    assert checked.passed, checked.output
    assert "Nothing to watch" in checked.output
    assert github.asked == []

    logs = {name: f"sqlite:///{tmp_path / name}.db" for name in ("wrong", "right")}
    with watched_in(in_production) as watched:
        rows, now = watched.sample(500, 0), datetime.now(UTC)
        in_another_unit = with_values(rows, "humidity", numbers(rows, "humidity") / 100)
        fill(logs["wrong"], *watched.records(in_another_unit, until=now))
        fill(logs["right"], *watched.records(rows, until=now))

    checked = watch("wrong", PREDICTION_LOG_URL=logs["wrong"])
    assert checked.passed, checked.output
    (issue,) = github.issues
    assert issue["title"] == "Production: A column has another unit"
    assert "**humidity** looks like a share of 1" in issue["body"]
    assert "| humidity |" in checked.summary
    assert json.loads((checked.artifacts / "check/check.json").read_text(encoding="utf-8"))["status"] == "act"

    assert {path.suffix for path in (checked.artifacts / "check").iterdir()} == {".json", ".md", ".html", ".parquet"}

    # The training data ended in March 2013: a new model is due.
    ((workflow, dispatch),) = github.dispatched
    assert (workflow, dispatch["ref"]) == ("retrain.yml", "main")
    assert re.fullmatch(r"the newest data of the champion is \d{4,} days old", dispatch["inputs"]["why"])
    github.pull("Retrain on data up to 2013-04", "", "retraining", "main")

    # If the log cannot be read, issues stay as they are.
    checked = watch("away", PREDICTION_LOG_URL="postgresql://nobody@127.0.0.1:1/log")
    assert not checked.passed
    assert "the prediction log cannot be read" in checked.output
    assert issue["state"] == "open"

    checked = watch("right", PREDICTION_LOG_URL=logs["right"])
    assert checked.passed, checked.output
    assert (len(github.issues), issue["state"]) == (1, "closed")
    assert len(github.dispatched) == 1  # a retraining was proposed recently
