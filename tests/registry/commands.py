"""The commands that use the registry, in a clone."""

from pathlib import Path

from tests.repository import Repository

# Promotes versions in turn: `NUMBER WHO WHY` each.
PROMOTE = """
import sys
from model.registry.store import change
for said in sys.argv[1:]:
    number, who, why = said.split(" ", 2)
    change(lambda registry: registry.promote(int(number), who, why), "Promote")
"""


def clone_of(released: Repository, folder: Path) -> Repository:
    """A clone with what was made in it, and a bare repository for its `origin`."""
    released.must("git", "clone", "--quiet", "--bare", str(released.folder), str(folder / "origin.git"))
    released.must("git", "clone", "--quiet", str(folder / "origin.git"), str(folder / "clone"))
    clone = Repository(folder / "clone")
    clone.must("cp", "-r", str(released.folder / "artifacts"), str(clone.folder))
    return clone


def register(repository: Repository, *arguments: str, **environment: str) -> str:
    return repository.must("python", "-m", "model.release.register", *arguments, **environment).strip()


def promote(repository: Repository, *said: str, **environment: str) -> None:
    repository.must("python", "-c", PROMOTE, *said, **environment)


def table(repository: Repository, *arguments: str, **environment: str) -> list[str]:
    return repository.must("python", "-m", "model.registry", *arguments, **environment).splitlines()


def commit(repository: Repository, message: str) -> str:
    repository.must("git", "commit", "--quiet", "--allow-empty", "--message", message)
    return repository.must("git", "rev-parse", "HEAD").strip()
