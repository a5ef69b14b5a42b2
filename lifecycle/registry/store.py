"""Where the registry is: on the server that MLFLOW_TRACKING_URI names, or embedded in this repository.

The embedded one is a SQLite file and the artifacts of its runs on the branch `mlflow` of `origin`. The branch has no
history, the database has it. It is changed in a copy, and replaced by compare-and-swap: who loses does it once more on
what the winner has left.
"""

import hashlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from lifecycle.registry.branch import Branch
from lifecycle.registry.versions import Registry
from lifecycle.shared.commands import CommandError, git
from lifecycle.shared.console import UserError

_BRANCH = "mlflow"
_FOLDER = Path(".registry")
_DATABASE, _ARTIFACTS = "mlflow.db", "artifacts"
# The address that the artifacts have in the database while it lies on the branch: MLflow keeps absolute ones.
_AWAY = "file:///registry"
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_NONE = "there is no registry yet: a merge to main makes the first version."
_T = TypeVar("_T")


@contextmanager
def open_registry() -> Iterator[Registry | None]:
    """Open the registry to read it; None where there is none yet.

    Raises:
        UserError: Where it cannot be reached.
    """
    server = os.environ.get("MLFLOW_TRACKING_URI")
    branch = None if server else _branch()
    commit = branch.fetch() if branch else None
    if server:
        yield Registry(server, _nothing_to_fetch)
    elif branch and commit:
        with tempfile.TemporaryDirectory() as folder:
            yield _Checkout(branch, commit, Path(folder)).registry()
    else:
        yield None


@contextmanager
def existing() -> Iterator[Registry]:
    """Open the registry to read it.

    Raises:
        UserError: Where it cannot be reached, or there is none yet.
    """
    with open_registry() as registry:
        if registry is None:
            raise UserError(_NONE)
        yield registry


def change(operation: Callable[[Registry], _T], what: str) -> _T:
    """Change the registry, in one step for whoever reads it.

    Args:
        operation: Is called with the registry; again with a newer one, where somebody else has been faster.
        what: Is done, in a few words.

    Raises:
        UserError: Where the registry cannot be reached, or is always changed by somebody else.
    """
    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        return operation(Registry(server, _nothing_to_fetch))
    branch = _branch()
    if not branch:
        raise UserError(
            "there is nowhere to keep the registry: this repository has no remote `origin`, and MLFLOW_TRACKING_URI is "
            "not set."
        )

    def changed(commit: str | None, folder: Path) -> _T:
        checkout = _Checkout(branch, commit, folder / "registry")
        found = operation(checkout.registry())
        branch.replace(commit, checkout.packed(folder), what)
        return found

    return branch.change(changed)


def export(folder: Path) -> str:
    """Put the whole registry into a folder, for MLflow's pages; its address there.

    Raises:
        UserError: Where there is none.
    """
    branch = _branch()
    commit = branch.fetch() if branch else None
    if not branch or not commit:
        raise UserError(_NONE)
    shutil.rmtree(folder, ignore_errors=True)
    checkout = _Checkout(branch, commit, folder)
    checkout.fetch("")
    return checkout.uri


def _branch() -> Branch | None:
    """The registry's branch; None where the repository has no `origin`."""
    try:
        remote = git("remote", "get-url", "origin").strip()
    except CommandError:
        return None
    return Branch(_BRANCH, _FOLDER / "git", remote if ":" in remote else str(Path(remote).resolve()))


def _nothing_to_fetch(_: str) -> None:
    """A server has its artifacts at hand."""


class _Checkout:
    """The embedded registry in a folder. The artifacts of a run are fetched when they are asked for."""

    def __init__(self, branch: Branch, commit: str | None, folder: Path) -> None:
        self._branch, self._commit, self._folder = branch, commit, folder.resolve()
        self._fetched: set[Path] = set()
        self._database = self._folder / _DATABASE
        self.uri = f"sqlite:///{self._database}"
        (self._folder / _ARTIFACTS).mkdir(parents=True)
        if commit:
            self._database.write_bytes(branch.read(commit, _DATABASE))
            _readdress(self._database, _AWAY, self._folder.as_uri())

    def registry(self) -> Registry:
        return Registry(self.uri, self.fetch)

    def fetch(self, run: str) -> None:
        """Fetch the artifacts of the run; of all, where none is named."""
        before = self._files()
        for path in self._branch.paths(self._commit, _ARTIFACTS) if self._commit else ():
            if self._commit and Path(path).name.startswith(run):
                _unpack(self._branch.read(self._commit, path), self._folder / _ARTIFACTS)
        self._fetched |= self._files() - before

    def packed(self, target: Path) -> dict[str, Path]:
        """What has become of it, as files of the branch: the database, and what is new beside it."""
        database, artifacts = target / _DATABASE, target / "new.tar.gz"
        with closing(sqlite3.connect(self._database)) as used, closing(sqlite3.connect(database)) as copy:
            used.backup(copy)
        _readdress(database, self._folder.as_uri(), _AWAY)
        added = sorted(self._files() - self._fetched)
        if not added:
            return {_DATABASE: database}
        with tarfile.open(artifacts, "w:gz") as packed:
            for file in added:
                packed.add(self._folder / _ARTIFACTS / file, file)
        # By the run that they are of, for `fetch` to find them; the files of its model are in a folder of another name.
        (run,) = {file.parts[0] for file in added} - {"models"}
        content = hashlib.sha256(artifacts.read_bytes()).hexdigest()[:12]
        return {_DATABASE: database, f"{_ARTIFACTS}/{run}.{content}.tar.gz": artifacts}

    def _files(self) -> set[Path]:
        artifacts = self._folder / _ARTIFACTS
        return {path.relative_to(artifacts) for path in artifacts.rglob("*") if path.is_file()}


def _unpack(content: bytes, folder: Path) -> None:
    """Write the files of an archive below a folder, and nothing else; `filter="data"` would, from Python 3.11.4 on."""
    with tarfile.open(fileobj=BytesIO(content)) as packed:
        for member in packed:
            path, file = (folder / member.name).resolve(), packed.extractfile(member)
            if file and path.is_relative_to(folder):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())


def _readdress(database: Path, old: str, new: str) -> None:
    """Have the addresses of the artifacts begin otherwise."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in _ADDRESSES:
            replaced = f"{column} = ? || substr({column}, length(?) + 1)"
            connection.execute(f"UPDATE {table} SET {replaced} WHERE {column} LIKE ? || '%'", (new, old, old))  # noqa: S608 - names of our own
