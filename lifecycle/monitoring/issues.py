"""One issue at GitHub for each kind of trouble: opened, kept and closed by what a check has found.

Columns that clients have made up and values that they have sent are in it: what it says is cleaned.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.monitoring.findings import KINDS, Finding
from lifecycle.shared import github
from lifecycle.shared.text import clean

LABEL = "monitoring"
# By which an issue is known again; and with it, what it is about.
_MARK = "<!-- monitoring: {kind}; {subjects} -->"
_MARKED = re.compile(r"<!-- monitoring: ([a-z ]+); ([0-9a-f ]*) -->\s*\Z")


def keep_issues(judged: Sequence[str], findings: Sequence[Finding], about: str, command: str) -> list[str]:
    """Open, change and close the issues.

    Args:
        judged: The kinds of trouble that were looked for.
        findings: What was found.
        about: What was looked at.
        command: By which anybody may look for themselves.

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
    for kind in judged:
        trouble = [finding for finding in findings if finding.kind == kind]
        said = _keep(kind, _Trouble(trouble, about, command), known.get(kind))
        if said:
            done.append(f"{KINDS[kind]}: {said}")
    return done


@dataclass(frozen=True)
class _Trouble:
    """Of one kind."""

    findings: Sequence[Finding]
    about: str
    command: str

    def subjects(self) -> set[str]:
        """What it is about, in digits: a client may have chosen a name."""
        return {hashlib.sha256(f"{one.subject} {one.level}".encode()).hexdigest()[:12] for one in self.findings}

    def evidence(self) -> str:
        lines = [
            f"- **{one.subject}** {' '.join(one.evidence.split())} ({one.level.name.lower()})" for one in self.findings
        ]
        return clean("\n".join([f"{self.about}:", "", *lines]))

    def body(self, kind: str) -> str:
        """The text of an issue: the newest evidence. What was before, the comments tell."""
        how = (
            f"This is closed when it is over. Close it yourself to hear of it again only if there is more of it. "
            f"To look for yourself: `{self.command}`."
        )
        subjects = " ".join(sorted(self.subjects()))
        return f"{self.evidence()}\n{how}\n\n{_MARK.format(kind=kind, subjects=subjects)}\n"


def _keep(kind: str, trouble: _Trouble, issue: Mapping[str, Any] | None) -> str:
    """What becomes of the issue of a kind of trouble; empty where nothing does."""
    if not trouble.findings:
        if issue and issue["state"] == "open":
            _comment(issue, f"Over. {trouble.about}.")
            github.send("PATCH", f"issues/{issue['number']}", state="closed", state_reason="completed")
            return "closed"
        return ""
    body = trouble.body(kind)
    if issue is None:
        github.send("POST", "issues", title=f"Production: {KINDS[kind]}", body=body, labels=[LABEL])
        return "opened"
    before = set(_MARKED.findall(issue["body"])[-1][1].split())
    is_news = not before >= trouble.subjects()
    if issue["state"] == "closed":
        # Who closes it knows of it: only more of it is news. What was over, and is back, is.
        if not is_news and _closed_by_somebody(issue):
            return ""
        github.send("PATCH", f"issues/{issue['number']}", state="open", body=body)
        _comment(issue, trouble.evidence())
        return "opened again"
    github.send("PATCH", f"issues/{issue['number']}", body=body)
    if is_news:
        _comment(issue, trouble.evidence())
    return "changed" if is_news else "goes on"


def _closed_by_somebody(issue: Mapping[str, Any]) -> bool:
    closed_by = github.get(f"issues/{issue['number']}")["closed_by"]
    return bool(closed_by) and closed_by["login"] != github.BOT


def _comment(issue: Mapping[str, Any], text: str) -> None:
    github.send("POST", f"issues/{issue['number']}/comments", body=text)
