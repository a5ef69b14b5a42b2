"""A make-believe pull request: what GitHub tells of it to a workflow, and at its API."""

import io
import subprocess
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.github.server import NAME, GitHub

RUN = 4711


@dataclass(frozen=True)
class PullRequest:
    """From the branch `proposal` of a repository on this disk to its main.

    Attributes:
        origin: Work tree of the repository.
        number: Of the pull request.
        title: As its author has chosen it.
        branch: As GitHub tells it; its author may choose anything that git takes.
        owner: Of the repository that it comes from; another one than ours makes it a fork's.
        labels: Set by maintainers.
    """

    origin: Path
    number: int = 7
    title: str = "A proposal"
    branch: str = "proposal"
    owner: str = NAME.partition("/")[0]
    labels: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """Its newest commit."""
        return self._commit("proposal")

    def proposed(self) -> dict[str, Any]:
        """The event that starts propose.yml."""
        return self._event("pull_request", "synchronize") | {
            "number": self.number,
            "pull_request": self._described() | {"labels": [{"name": name} for name in self.labels]},
        }

    def judged(self, conclusion: str = "success") -> dict[str, Any]:
        """The event that starts comment.yml, when propose.yml has ended."""
        head = self._described()["head"]
        return self._event("workflow_run", "completed") | {
            "workflow_run": {
                "id": RUN,
                "name": "propose",
                "event": "pull_request",
                "conclusion": conclusion,
                "head_sha": self.head,
                "head_branch": self.branch,
                "head_repository": head["repo"] | {"owner": head["user"]},
                # As GitHub has it: filled for branches of the same repository alone.
                "pull_requests": [] if head["repo"]["fork"] else [{"number": self.number}],
            },
        }

    def open(self, github: GitHub) -> None:
        """Show it at the API, with its newest commit and what it changes."""
        github.repository = self.origin
        github.pulls = [one for one in github.pulls if one["number"] != self.number] + [self._described()]

    def _event(self, name: str, action: str) -> dict[str, Any]:
        return {"event": name, "action": action, "repository": {"full_name": NAME, "default_branch": "main"}}

    def _described(self) -> dict[str, Any]:
        user, fork = {"login": self.owner}, not NAME.startswith(f"{self.owner}/")
        name = f"{self.owner}/{NAME.partition('/')[2]}"
        return {
            "number": self.number,
            "state": "open",
            "title": self.title,
            "created_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "base": {"ref": "main", "sha": self._commit("main")},
            "head": {
                "ref": self.branch,
                "sha": self.head,
                "user": user,
                "repo": {"full_name": name, "fork": fork},
            },
        }

    def _commit(self, branch: str) -> str:
        command = ["git", "rev-parse", f"refs/heads/{branch}"]
        return subprocess.run(command, cwd=self.origin, capture_output=True, text=True, check=True).stdout.strip()


def zipped(folder: Path) -> bytes:
    """An artifact as GitHub stores it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return content.getvalue()
