"""One issue at GitHub for each kind of trouble: opened, kept and closed by what a check has found.

Columns that clients have made up and values that they have sent are in it: what it says is cleaned.
"""

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model import contract, github
from model.monitoring.findings import KINDS
from model.proposal.words import clean

LABEL = "monitoring"
# By which an issue is known again; and with it, what it is about.
_MARK = "<!-- monitoring: {kind}; {subjects} -->"
_MARKED = re.compile(r"<!-- monitoring: ([a-z ]+); ([0-9a-f ]*) -->\s*\Z")


def keep_issues(found: Mapping[str, Any]) -> list[str]:
    """Open, change and close the issues.

    Args:
        found: What a check has found, as `check.as_json` has it.

    Returns:
        What was done, a line each.

    Raises:
        github.Errors: Where GitHub does not do what it is asked.
    """
    known: dict[str, dict[str, Any]] = {}
    for issue in github.get_all("issues", state="all", labels=LABEL, sort="created", direction="asc"):
        marked = _MARKED.search(issue["body"] or "")
        if marked and issue["user"] and issue["user"]["login"] == github.BOT:
            known[marked[1]] = issue  # of several the newest
    done = []
    for kind in found["judged"]:
        trouble = [finding for finding in found["findings"] if finding["kind"] == kind]
        said = _keep(kind, trouble, known.get(kind), found)
        if said:
            done.append(f"{KINDS[kind]}: {said}")
    return done


def _keep(
    kind: str, trouble: Sequence[Mapping[str, Any]], issue: Mapping[str, Any] | None, found: Mapping[str, Any]
) -> str:
    """What becomes of the issue of a kind of trouble; empty where nothing does."""
    if not trouble:
        if issue and issue["state"] == "open":
            _comment(issue, f"Over: the check up to {_day(found)} has not found it any more.")
            _send("PATCH", f"issues/{issue['number']}", state="closed", state_reason="completed")
            return "closed"
        return ""
    body = _body(kind, trouble, found)
    if issue is None:
        _send("POST", "issues", title=f"Production: {KINDS[kind]}", body=body, **{"labels[]": LABEL})
        return "opened"
    before = set(_MARKED.findall(issue["body"])[-1][1].split())
    is_news = not before >= {_digest(one) for one in trouble}
    if issue["state"] == "closed":
        # Who closes it knows of it: only more of it is news. What was over, and is back, is.
        if not is_news and _closed_by_somebody(issue):
            return ""
        _send("PATCH", f"issues/{issue['number']}", state="open", body=body)
        _comment(issue, _evidence(trouble, found))
        return "opened again"
    _send("PATCH", f"issues/{issue['number']}", body=body)
    if is_news:
        _comment(issue, _evidence(trouble, found))
    return "changed" if is_news else "goes on"


def _closed_by_somebody(issue: Mapping[str, Any]) -> bool:
    closed_by = github.get(f"issues/{issue['number']}")["closed_by"]
    return bool(closed_by) and closed_by["login"] != github.BOT


def _body(kind: str, trouble: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    """The text of an issue: the newest evidence. What was before, the comments tell."""
    how = (
        f"Kept by `monitor.yml`, which closes it when it is over. Close it to hear of it again only if it grows. "
        f"To look for yourself: `python -m model.monitoring check --until {_day(found)} --version {found['version']}`."
    )
    subjects = " ".join(sorted({_digest(one) for one in trouble}))
    return f"{_evidence(trouble, found)}\n{how}\n\n{_MARK.format(kind=kind, subjects=subjects)}\n"


def _evidence(trouble: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    rows = f"Version {found['version']} of {contract.NAME}, {found['rows']:,} predictions up to {_day(found)}:"
    lines = [f"- **{one['subject']}** {' '.join(one['evidence'].split())} ({one['level']})" for one in trouble]
    return clean("\n".join([rows, "", *lines]))


def _day(found: Mapping[str, Any]) -> str:
    return str(found["until"])[:10]


def _digest(finding: Mapping[str, Any]) -> str:
    """What a trouble is about, in digits: a client may have chosen its name."""
    return hashlib.sha256(f"{finding['subject']} {finding['level']}".encode()).hexdigest()[:12]


def _comment(issue: Mapping[str, Any], text: str) -> None:
    _send("POST", f"issues/{issue['number']}/comments", body=text)


def _send(method: str, path: str, **fields: str) -> None:
    """Write; texts by a file, as they may be long."""
    with tempfile.TemporaryDirectory() as folder:
        given: dict[str, str | Path] = dict(fields)
        if "body" in fields:
            file = Path(folder) / "body.md"
            file.write_text(fields["body"], encoding="utf-8")
            given["body"] = file
        github.send(method, path, **given)
