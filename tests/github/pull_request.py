"""A simulated pull request: its events for the workflows, and its description in the API."""

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
    """A pull request from the branch `proposal` of a local repository to its main.

    Attributes:
        origin: Working tree of the repository.
        number: Number of the pull request.
        title: Title, which its author chooses.
        branch: Name of the branch as GitHub reports it; its author may choose any name that git allows.
        owner: Owner of the repository that it comes from. It comes from a fork if the owner is not that of `NAME`.
        labels: Labels, which maintainers set.
    """

    origin: Path
    number: int = 7
    title: str = "A proposal"
    branch: str = "proposal"
    owner: str = NAME.partition("/")[0]
    labels: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """The newest commit."""
        return self._commit("proposal")

    def proposed(self) -> dict[str, Any]:
        """Return the event that starts propose.yml."""
        return self._event("pull_request", "synchronize") | {
            "number": self.number,
            "pull_request": self._described() | {"labels": [{"name": name} for name in self.labels]},
        }

    def judged(self, conclusion: str = "success") -> dict[str, Any]:
        """Return the event that starts comment.yml after propose.yml has ended."""
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
                # GitHub only fills this for branches of the same repository.
                "pull_requests": [] if head["repo"]["fork"] else [{"number": self.number}],
            },
        }

    def open(self, github: GitHub) -> None:
        """Add it to the API, or update it there, with its newest commit and its changes."""
        github.repository = self.origin
        github.pulls = [pull for pull in github.pulls if pull["number"] != self.number] + [self._described()]

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
    """Return the files of a directory as a zip file, the format in which GitHub stores an artifact."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return content.getvalue()
