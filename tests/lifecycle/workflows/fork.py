"""A fork of this repository in production, with merges and rollbacks by its real workflows."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import httpx

from tests.github.server import NAME, GitHub
from tests.lifecycle.containers import Engine, find_engine
from tests.lifecycle.host import ProductionHost, production_host
from tests.lifecycle.images import registry_of_images
from tests.lifecycle.missing import need
from tests.lifecycle.registry.commands import table
from tests.lifecycle.repository import Repository
from tests.lifecycle.serving.conftest import EXAMPLE
from tests.lifecycle.workflows.act import Rehearsal, rehearse


@dataclass(frozen=True)
class Fork:
    """A fork in production.

    Attributes:
        main: Repository on GitHub. Its branch main is not checked out, so that it accepts pushes.
        github: Stand-in for GitHub's API.
        images: Address of the image registry.
        host: Host of production.
        folder: Directory for the files that the workflows write.
    """

    main: Repository
    github: GitHub
    images: str
    host: ProductionHost
    folder: Path

    def merge(self, message: str) -> str:
        """Commit the changes of the working tree to main, and return the commit."""
        self.main.commit(message)
        return self.push()

    def push(self) -> str:
        """Move main to what is checked out, as if by pull request 7, and return the commit."""
        self.main.must("git", "branch", "--force", "main", "HEAD")
        self.github.answers[f"commits/{self.head()}/pulls"] = [
            {"number": 7, "merge_commit_sha": self.head(), "user": {"login": "somebody"}, "labels": []}
        ]
        return self.head()

    def head(self) -> str:
        """Return the newest commit of main."""
        return self.main.must("git", "rev-parse", "main").strip()

    def release(self, commit: str = "", folder: str = "run") -> Rehearsal:
        """Run release.yml for a commit, by default the newest one of main."""
        after = commit or self.head()
        before = self.main.must("git", "rev-parse", f"{after}~1").strip()
        return self._play("release.yml:deploy", folder, event="push", before=before, after=after)

    def rollback(self, number: str, why: str) -> Rehearsal:
        """Run rollback.yml."""
        inputs = {"version": number, "why": why}
        return self._play("rollback.yml:rollback", "run", event="workflow_dispatch", inputs=inputs)

    def versions(self) -> list[list[str]]:
        """Return the words of each row of the registry's table, newest version first."""
        return [line.split() for line in table(self.main)[1:]]

    def running(self) -> tuple[str, str]:
        """Return number and commit of the version that answers in production."""
        answer = httpx.get(f"{self.host.url}/model", timeout=5).json()
        return answer["version"], answer["commit"]

    def predict(self) -> str:
        """Return the prediction of production for the contract's example, as JSON."""
        answer = httpx.post(f"{self.host.url}/predict", json=EXAMPLE, timeout=5)
        return json.dumps(answer.json()["predictions"][0])

    def _play(self, job: str, folder: str, **event: object) -> Rehearsal:
        event |= {"repository": {"full_name": NAME, "default_branch": "main"}, "ref": "refs/heads/main"}
        settings = {"IMAGE_REPOSITORY": f"{self.images}/{NAME}", **self.host.environment}
        return rehearse(job, event, self.main.folder, self.github, self.folder / folder, **settings)


@contextmanager
def fork_of(main: Repository, github: GitHub, folder: Path) -> Iterator[Fork]:
    """Yield a fork with a host and an image registry. Its images are removed afterwards."""
    need("release")
    main.must("git", "checkout", "--quiet", "--detach", "main")
    main.must("git", "remote", "add", "origin", str(main.folder))
    engine = find_engine()
    with (
        patch.dict(os.environ, engine.environment | {"IMAGE_BASE": engine.base}),
        registry_of_images(folder) as images,
        production_host(engine, images) as host,
    ):
        fork = Fork(main, github, images, host, folder)
        github.answers[f"commits/{fork.head()}/pulls"] = []
        try:
            yield fork
        finally:
            _remove_images(engine, main)


def _remove_images(engine: Engine, main: Repository) -> None:
    commits = {commit[:12] for commit in main.must("git", "rev-list", "--all").split()}
    for name in engine.must("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if name.rpartition(":")[2] in commits:
            engine.run("rmi", "--force", name)
    # Keep recent layers for the next build.
    engine.run("image", "prune", "--force", "--filter", "until=24h")
