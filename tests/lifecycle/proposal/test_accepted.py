import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.proposal.accepted import LABEL, UNKNOWN, accepted_by
from tests.github.server import GitHub, github

EVENTS = "issues/7/events"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with github() as started:
        monkeypatch.setenv("GITHUB_API_URL", started.api)
        monkeypatch.setenv("GITHUB_REPOSITORY", "acme/flights")
        monkeypatch.setenv("GITHUB_TOKEN", "a-token")
        yield started


@pytest.fixture
def with_label(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set the event of a pull request that has the label."""
    path = tmp_path / "event.json"
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(path))
    path.write_text(json.dumps({"pull_request": {"number": 7, "labels": [{"name": LABEL}]}}), encoding="utf-8")


def labeled(user: str | None, name: str = LABEL, event: str = "labeled") -> dict[str, Any]:
    return {"event": event, "label": {"name": name}, "actor": user and {"login": user}}


@pytest.mark.usefixtures("with_label")
def test_last_user_who_set_the_label(stand_in: GitHub) -> None:
    others = [{"event": "commented"}] * 120
    stand_in.answers[EVENTS] = [
        labeled("early"),
        labeled("early", event="unlabeled"),
        *others,
        labeled("late"),
        labeled("other", name="docs"),
    ]
    assert accepted_by() == "late"
    assert stand_in.asked == [("GET", EVENTS, None)] * 2
    assert stand_in.tokens == {"a-token"}


@pytest.mark.usefixtures("with_label")
def test_label_counts_even_if_its_user_is_unknown(stand_in: GitHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert accepted_by() == UNKNOWN
    assert "did not answer" in capsys.readouterr().out
    stand_in.answers[EVENTS] = [labeled(None)]  # a deleted account
    assert accepted_by() == UNKNOWN


def test_without_the_label(stand_in: GitHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GITHUB_EVENT_PATH", raising=False)
    assert accepted_by() == ""
    path = tmp_path / "event.json"
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(path))
    for event in ({}, {"pull_request": {"number": 7, "labels": [{"name": "docs"}]}}):
        path.write_text(json.dumps(event), encoding="utf-8")
        assert accepted_by() == ""
    assert stand_in.asked == []
