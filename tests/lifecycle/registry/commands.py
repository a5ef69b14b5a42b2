"""Commands that tests of the registry run in a clone."""

from pathlib import Path

from lifecycle.registry.store import change
from tests.lifecycle import in_process
from tests.lifecycle.repository import Repository


def clone_of(released: Repository, folder: Path) -> Repository:
    """Clone a repository with its data and artifacts; the `origin` of the clone is a bare repository."""
    released.must("git", "clone", "--quiet", "--bare", str(released.folder), str(folder / "origin.git"))
    released.must("git", "clone", "--quiet", str(folder / "origin.git"), str(folder / "clone"))
    clone = Repository(folder / "clone")
    for name in ("artifacts", "data"):
        clone.must("cp", "-r", str(released.folder / name), str(clone.folder))
    return clone


def register(repository: Repository, *arguments: str, **environment: str) -> str:
    return in_process.must(repository, "lifecycle.release.register", *arguments, **environment).strip()


def promote(repository: Repository, *promotions: str, **environment: str) -> None:
    """Promote versions one after the other; each promotion is a text `NUMBER WHO WHY`."""
    for promotion in promotions:
        number, who, why = promotion.split(" ", 2)
        with in_process.inside(repository, **environment):
            change(lambda registry: registry.promote(int(number), who, why, deployed=False), "Promote")  # noqa: B023 - called at once


def table(repository: Repository, *arguments: str, **environment: str) -> list[str]:
    return in_process.must(repository, "lifecycle.registry.__main__", *arguments, **environment).splitlines()


def commit(repository: Repository, message: str) -> str:
    repository.must("git", "commit", "--quiet", "--allow-empty", "--message", message)
    return repository.must("git", "rev-parse", "HEAD").strip()
