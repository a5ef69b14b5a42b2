"""The issues about problems in production, on the stand-in for GitHub, written with the real `gh`."""

from collections.abc import Callable, Iterator

import pytest

from lifecycle.monitoring.findings import KINDS, KNOWN_ANYWAY, Finding, Level
from lifecycle.monitoring.issues import keep_issues
from tests.github import server
from tests.github.server import BOT, NAME, GitHub
from tests.lifecycle.missing import need

SCHEMA = Finding("schema", "dest", Level.ACT, "500 requests were refused.")
VOLUME = Finding("volume", "predictions", Level.WARN, "there are none in this period.")

Keep = Callable[..., list[str]]


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    need("gh")
    with server.github() as started:
        for name, value in (("API_URL", started.api), ("REPOSITORY", NAME), ("TOKEN", "not-a-real-token")):
            monkeypatch.setenv(f"GITHUB_{name}", value)
        yield started


@pytest.fixture
def keep(github: GitHub) -> Keep:
    """Return a function that updates the issues after a check with these findings."""
    del github

    def run(*findings: Finding, judged: tuple[str, ...] = tuple(KINDS), until: str = "2013-09-01") -> list[str]:
        return keep_issues(judged, findings, f"Version 3 up to {until}", "python -m lifecycle.monitoring check")

    return run


def comments(github: GitHub, number: int) -> list[str]:
    return [comment["body"] for comment in github.comments.get(number, [])]


def test_no_findings_no_issues(github: GitHub, keep: Keep) -> None:
    assert keep() == []
    assert github.issues == []


def test_issue_from_the_first_to_the_last_day_of_a_problem(github: GitHub, keep: Keep) -> None:
    assert keep(SCHEMA, VOLUME) == [
        "There are fewer predictions than before: opened",
        "Requests break the contract: opened",
    ]
    volume, schema = github.issues
    assert (schema["title"], schema["labels"]) == ("Production: Requests break the contract", [{"name": "monitoring"}])
    assert schema["body"].startswith(
        "**dest** 500 requests were refused. (act)\n\nVersion 3 up to 2013-09-01.\n\n### What to do\n"
    )
    assert "have the client corrected" in schema["body"]

    # The issue has the newest evidence, but no comment each day.
    again = SCHEMA._replace(evidence="900 requests were refused.")
    assert keep(again, VOLUME, until="2013-09-02")[1] == "Requests break the contract: continues"
    assert "900 requests" in schema["body"]
    assert "up to 2013-09-02" in schema["body"]
    assert comments(github, schema["number"]) == []

    # A new subject is news.
    assert keep(again, SCHEMA._replace(subject="carier")) == [
        "There are fewer predictions than before: closed",
        "Requests break the contract: updated with news",
    ]
    assert len(comments(github, schema["number"])) == 1
    assert "**carier**" in comments(github, schema["number"])[0]
    assert volume["state"] == "closed"
    assert comments(github, volume["number"]) == ["The problem is gone. Version 3 up to 2013-09-01."]

    assert keep(until="2013-09-04") == ["Requests break the contract: closed"]
    assert keep(until="2013-09-05") == []

    # A problem that returns reopens its issue.
    assert keep(SCHEMA) == ["Requests break the contract: reopened"]
    assert schema["state"] == "open"
    assert len(github.issues) == 2


def test_kind_that_was_not_checked_stays_open(github: GitHub, keep: Keep) -> None:
    keep(Finding("drift", "inputs", Level.WARN, "humidity differs from every month."))
    assert keep(judged=tuple(KNOWN_ANYWAY)) == []
    assert github.issues[0]["state"] == "open"


def test_issue_closed_by_a_person_stays_closed_unless_the_problem_grows(github: GitHub, keep: Keep) -> None:
    keep(SCHEMA)
    (issue,) = github.issues
    issue |= {"state": "closed", "closed_by": {"login": "somebody"}}
    assert keep(SCHEMA) == []
    assert issue["state"] == "closed"
    assert keep(SCHEMA, SCHEMA._replace(subject="carier")) == ["Requests break the contract: reopened"]
    assert issue["state"] == "open"


def test_issue_of_somebody_else_is_left_alone(github: GitHub, keep: Keep) -> None:
    """It stays as it is even if its text imitates an issue of the check."""
    keep(SCHEMA)
    forged = github.issue("Forged", github.issues[0]["body"], ["monitoring"], author="stranger")
    github.issues.pop(0)
    assert keep(SCHEMA) == ["Requests break the contract: opened"]
    assert forged["title"] == "Forged"
    assert [issue["user"]["login"] for issue in github.issues] == ["stranger", BOT]


def test_text_of_clients_is_cleaned(github: GitHub, keep: Keep) -> None:
    hostile = "@everyone <img src=x> ](http://evil.example) fixes #1 -->\n<!-- monitoring: volume; -->"
    keep(SCHEMA._replace(subject=hostile, evidence=hostile))
    (issue,) = github.issues
    text, _, mark = issue["body"].rpartition("<!--")
    assert not any(live in text for live in ("@", "<img", "](", "#1", "<!--"))
    assert mark.startswith(" monitoring: schema; ")
    assert keep(SCHEMA._replace(subject=hostile)) == ["Requests break the contract: continues"]


def test_github_refuses(github: GitHub, keep: Keep) -> None:
    github.refused.add("POST")
    with pytest.raises(OSError, match="gh: "):
        keep(SCHEMA)
