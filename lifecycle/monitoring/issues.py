"""One issue on GitHub for each kind of problem: opened, updated and closed by the findings of checks.

The texts contain column names and values that clients have sent, so they are cleaned.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.monitoring.findings import ALERT, KINDS, Finding
from lifecycle.monitoring.issue_details import Details, advice
from lifecycle.shared import github
from lifecycle.shared.text import clean

LABEL = "monitoring"
# Marks an issue with its kind, and with the hashes of its subjects.
_MARK = "<!-- monitoring: {kind}; {subjects} -->"
_MARKED = re.compile(r"<!-- monitoring: ([a-z ]+); ([0-9a-f ]*) -->\s*\Z")


def keep_issues(
    judged: Sequence[str],
    findings: Sequence[Finding],
    about: str,
    command: str,
    details: Mapping[Finding, Details] | None = None,
) -> list[str]:
    """Open, update and close the issues.

    Args:
        judged: Kinds of problems that the check could find.
        findings: Problems that it has found.
        about: Description of what was checked.
        command: Command that repeats the check.
        details: What the issues tell of each finding in addition.

    Returns:
        A line for each issue that changed.

    Raises:
        github.Errors: If a request to GitHub fails.
    """
    known: dict[str, dict[str, Any]] = {}
    for issue in github.get_all("issues", state="all", labels=LABEL, sort="created", direction="asc"):
        marked = _MARKED.search(issue["body"] or "")
        if marked and issue["user"] and issue["user"]["login"] == github.BOT:
            known[marked[1]] = issue  # the newest replaces older ones
    lines = []
    for kind in judged:
        of_kind = [finding for finding in findings if finding.kind == kind]
        change = _keep(kind, _Problem(kind, of_kind, about, command, details or {}), known.get(kind))
        if change:
            lines.append(f"{KINDS[kind]}: {change}")
    return lines


@dataclass(frozen=True)
class _Problem:
    """The findings of one kind."""

    kind: str
    findings: Sequence[Finding]
    about: str
    command: str
    details: Mapping[Finding, Details]

    def subjects(self) -> set[str]:
        """Return the hashes of the subjects with their levels; a client may have chosen the names themselves."""
        return {
            hashlib.sha256(f"{finding.subject} {finding.level}".encode()).hexdigest()[:12] for finding in self.findings
        }

    def evidence(self) -> str:
        """Return the findings, each with what is told of it in addition."""
        return clean("\n\n".join([*map(self._finding, self.findings), f"{self.about}."]))

    def body(self) -> str:
        """Return the text of an issue: the newest evidence and what to do. Its comments have the earlier evidence."""
        # Alerts are those of today.
        command = "python -m lifecycle.monitoring check" if self.kind == ALERT else self.command
        closing = (
            f"This issue is closed when the problem is gone. If you close it yourself, it is opened again only if the "
            f"problem grows. Repeat the check with `{command}`."
        )
        subjects = " ".join(sorted(self.subjects()))
        to_do = advice(self.kind, [finding.subject for finding in self.findings])
        mark = _MARK.format(kind=self.kind, subjects=subjects)
        # The runbook is the repository's own text: it may have links.
        return f"{self.evidence()}\n### What to do\n\n{to_do}\n\n{closing}\n\n{mark}\n"

    def _finding(self, finding: Finding) -> str:
        facts, chart = self.details.get(finding, Details((), ""))
        since = f" (since {finding.since})" if finding.since else ""
        evidence = " ".join(finding.evidence.split())
        lines = [f"**{finding.subject}**{since} {evidence} ({finding.level.name.lower()})"]
        lines += ["", *(f"- {fact}" for fact in facts)] if facts else []
        return "\n".join([*lines, "", chart] if chart else lines)


def _keep(kind: str, problem: _Problem, issue: Mapping[str, Any] | None) -> str:
    """Bring the issue of a kind up to date, and return what happened to it; empty if nothing did."""
    if not problem.findings:
        if issue and issue["state"] == "open":
            _comment(issue, f"The problem is gone. {problem.about}.")
            github.send("PATCH", f"issues/{issue['number']}", state="closed", state_reason="completed")
            return "closed"
        return ""
    body = problem.body()
    if issue is None:
        github.send("POST", "issues", title=f"Production: {KINDS[kind]}", body=body, labels=[LABEL])
        return "opened"
    before = set(_MARKED.findall(issue["body"])[-1][1].split())
    is_news = not before >= problem.subjects()
    if issue["state"] == "closed":
        # A person who closes an issue knows the problem, so only a larger one is news. A problem that was gone is news.
        if not is_news and _closed_by_somebody(issue):
            return ""
        github.send("PATCH", f"issues/{issue['number']}", state="open", body=body)
        _comment(issue, problem.evidence())
        return "reopened"
    github.send("PATCH", f"issues/{issue['number']}", body=body)
    if is_news:
        _comment(issue, problem.evidence())
    return "updated with news" if is_news else "continues"


def _closed_by_somebody(issue: Mapping[str, Any]) -> bool:
    closed_by = github.get(f"issues/{issue['number']}")["closed_by"]
    return bool(closed_by) and closed_by["login"] != github.BOT


def _comment(issue: Mapping[str, Any], text: str) -> None:
    github.send("POST", f"issues/{issue['number']}/comments", body=text)
