"""Open the registry: on the server that MLFLOW_TRACKING_URI names, or else embedded in this repository.

The embedded registry is a SQLite file, with the artifacts of its runs, on the branch `mlflow` of `origin`. The branch
has no history, but the database has. A change is made in a copy that replaces the branch by compare-and-swap. A writer
that loses the race repeats its change on the winner's copy.
"""

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
from lifecycle.shared.addresses import mlflow_sqlite_url
from lifecycle.shared.commands import git_or_none
from lifecycle.shared.console import UserError
from lifecycle.shared.files import sha256

BRANCH = "mlflow"
_FOLDER = Path(".registry")
_DATABASE, _ARTIFACTS = "mlflow.db", "artifacts"
# MLflow stores absolute addresses of artifacts. On the branch they start with this placeholder.
_AWAY = "file:///registry"
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_NO_SUCH_REMOTE = 2  # exit status of `git remote get-url`
_NONE = "there is no registry yet: a merge to main registers the first version."
_T = TypeVar("_T")


@contextmanager
def open_registry() -> Iterator[Registry | None]:
    """Open the registry for reading; yield None if there is no registry yet.

    Raises:
        UserError: If it cannot be reached.
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
    """Open a registry that has to exist for reading.

    Raises:
        UserError: If it cannot be reached or does not exist yet.
    """
    with open_registry() as registry:
        if registry is None:
            raise UserError(_NONE)
        yield registry


def change(operation: Callable[[Registry], _T], message: str) -> _T:
    """Change the registry; the embedded one atomically.

    Args:
        operation: Called with the registry; called again with the newer one each time another writer has been faster.
        message: Commit message for the embedded registry.

    Returns:
        The result of the operation.

    Raises:
        UserError: If the registry cannot be reached, or another writer is faster every time.
    """
    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        return operation(Registry(server, _nothing_to_fetch))
    branch = _branch()
    if not branch:
        raise UserError(
            "there is no place for the registry: this repository has no remote `origin` and MLFLOW_TRACKING_URI is not "
            "set. Add the remote or set the variable."
        )

    def changed(commit: str | None, folder: Path) -> _T:
        checkout = _Checkout(branch, commit, folder / "registry")
        result = operation(checkout.registry())
        branch.replace(commit, checkout.packed(folder), message)
        return result

    return branch.change(changed)


def export(folder: Path) -> str:
    """Write the whole embedded registry to a directory, for MLflow's pages.

    Returns:
        MLflow's address of the copy.

    Raises:
        UserError: If there is no registry yet.
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
    """Return the registry's branch; None if the repository has no `origin`."""
    url = git_or_none("remote", "get-url", "origin", none=_NO_SUCH_REMOTE)
    if url is None:
        return None
    remote = url.strip()
    return Branch(BRANCH, _FOLDER / "git", remote if ":" in remote else str(Path(remote).resolve()))


def _nothing_to_fetch(_: str) -> None:
    """Do nothing: a server has the artifacts already."""


class _Checkout:
    """A copy of the embedded registry in a directory. It fetches the artifacts of a run on demand."""

    def __init__(self, branch: Branch, commit: str | None, folder: Path) -> None:
        self._branch, self._commit, self._folder = branch, commit, folder.resolve()
        self._fetched: set[Path] = set()
        self._database = self._folder / _DATABASE
        self.uri = mlflow_sqlite_url(self._database)
        (self._folder / _ARTIFACTS).mkdir(parents=True)
        if commit:
            self._database.write_bytes(branch.read(commit, _DATABASE))
            _readdress(self._database, _AWAY, self._folder.as_uri())

    def registry(self) -> Registry:
        return Registry(self.uri, self.fetch)

    def fetch(self, run: str) -> None:
        """Fetch the artifacts of the run; of all runs if it is empty."""
        before = self._files()
        for path in self._branch.paths(self._commit, _ARTIFACTS) if self._commit else ():
            if self._commit and Path(path).name.startswith(run):
                _unpack(self._branch.read(self._commit, path), self._folder / _ARTIFACTS)
        self._fetched |= self._files() - before

    def packed(self, target: Path) -> dict[str, Path]:
        """Write the database and an archive of the new artifacts to a directory.

        Returns:
            The files by their paths in the branch.
        """
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
        # Named after their run, so that `fetch` finds them. The files of its model are in the directory `models`.
        (run,) = {file.parts[0] for file in added} - {"models"}
        content = sha256(artifacts)[:12]
        return {_DATABASE: database, f"{_ARTIFACTS}/{run}.{content}.tar.gz": artifacts}

    def _files(self) -> set[Path]:
        artifacts = self._folder / _ARTIFACTS
        return {path.relative_to(artifacts) for path in artifacts.rglob("*") if path.is_file()}


def _unpack(content: bytes, folder: Path) -> None:
    """Extract the files of an archive inside a directory only, as `filter="data"` does from Python 3.11.4 on."""
    with tarfile.open(fileobj=BytesIO(content)) as packed:
        for member in packed:
            path, file = (folder / member.name).resolve(), packed.extractfile(member)
            if file and path.is_relative_to(folder):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())


def _readdress(database: Path, old: str, new: str) -> None:
    """Replace the prefix of the artifact addresses in a database."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in _ADDRESSES:
            replaced = f"{column} = ? || substr({column}, length(?) + 1)"
            connection.execute(f"UPDATE {table} SET {replaced} WHERE {column} LIKE ? || '%'", (new, old, old))  # noqa: S608 - constant names
