"""A branch without history that stores files, replaced by compare-and-swap.

The branch has a single commit without a parent, so that replaced files do not pile up. A writer names the commit that
it has read. If the branch has moved since then, the write is rejected.
"""

import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lifecycle.shared.commands import git
from lifecycle.shared.console import CommandError, UserError
from lifecycle.shared.github import BOT, git_credentials

_TRIES = 20
_T = TypeVar("_T")


class LostError(Exception):
    """Raised if the branch has been replaced by another writer since it was read."""


@dataclass(frozen=True)
class Branch:
    """A branch of a remote repository.

    Attributes:
        name: Name of the branch.
        folder: Directory of a bare repository for this branch, separate from the working one.
        remote: Address of the remote repository.
    """

    name: str
    folder: Path
    remote: str

    def fetch(self) -> str | None:
        """Fetch the branch without the contents of its files, and return its commit; None if it does not exist.

        Raises:
            UserError: If the repository cannot be reached.
        """
        if not (self.folder / "HEAD").exists():
            git("init", "--quiet", "--bare", str(self.folder))
            self._git("config", "gc.auto", "0")
            # At Git's default levels, compressing a database of many versions takes a second.
            self._git("config", "core.looseCompression", "0")
            self._git("config", "pack.compression", "1")
        # Git downloads a file when it is read, so that reading one version does not download hundreds.
        settings = {"url": self.remote, "promisor": "true", "partialclonefilter": "blob:none"}
        for key, value in settings.items():
            self._git("config", f"remote.origin.{key}", value)
        commit = self._newest()
        if commit:
            self._git("fetch", "--quiet", "--no-tags", "--depth=1", "--filter=blob:none", "origin", commit)
        return commit

    def read(self, commit: str, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            UserError: If it cannot be read.
        """
        command = ["git", "cat-file", "blob", f"{commit}:{path}"]
        completed = subprocess.run(
            command, cwd=self.folder, env=os.environ | git_credentials(self.remote), capture_output=True, check=False
        )
        if completed.returncode:
            raise UserError(f"{path} cannot be read from the branch {self.name}: {completed.stderr.decode().strip()}")
        return completed.stdout

    def paths(self, commit: str, folder: str) -> list[str]:
        """Return the paths of the files in a directory."""
        return self._git("ls-tree", "--name-only", commit, f"{folder}/").splitlines()

    def change(self, operation: Callable[[str | None, Path], _T]) -> _T:
        """Change the branch atomically.

        Args:
            operation: Called with the fetched commit (None if the branch does not exist) and an empty directory; has to
                call `replace`. It is called again with the newer commit each time another writer has been faster.

        Returns:
            The result of the operation.

        Raises:
            UserError: If another writer is faster every time.
        """
        for attempt in range(_TRIES):
            commit = self.fetch()
            with tempfile.TemporaryDirectory() as folder, suppress(LostError):
                return operation(commit, Path(folder))
            time.sleep(random.uniform(0, 0.2 * (attempt + 1)))  # noqa: S311 - so that writers do not retry at once
        raise UserError(
            f"the branch {self.name} could not be changed: another writer was faster {_TRIES} times. Try again later."
        )

    def replace(self, base: str | None, files: Mapping[str, Path], message: str, without: Sequence[str] = ()) -> None:
        """Replace the branch by a commit with added and removed files; its other files stay.

        Args:
            base: The fetched commit; None if the branch does not exist.
            files: Files to add or overwrite, by their paths in the branch.
            message: Commit message.
            without: Paths to remove.

        Raises:
            LostError: If the branch is no longer at `base`.
            UserError: If it cannot be pushed.
        """
        index = {"GIT_INDEX_FILE": str((self.folder / "index.new").resolve())}
        self._git("read-tree", *([base] if base else ["--empty"]), **index)
        for path, file in files.items():
            content = self._git("hash-object", "-w", str(file.resolve())).strip()
            self._git("update-index", "--add", "--cacheinfo", f"100644,{content},{path}", **index)
        for path in without:
            # Git demands a work tree for this command, but does not read it.
            self._git("update-index", "--force-remove", path, **index, GIT_WORK_TREE=str(self.folder.resolve()))
        tree = self._git("write-tree", "--missing-ok", **index).strip()
        identity = {f"GIT_{role}_{field}": BOT for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
        commit = self._git("commit-tree", tree, "-m", message, **identity).strip()
        reference = f"refs/heads/{self.name}"
        try:
            self._git(
                "push", "--quiet", f"--force-with-lease={reference}:{base or ''}", "origin", f"{commit}:{reference}"
            )
        except CommandError as error:
            newest = self._newest()
            if newest == commit:  # the push succeeded, only its answer was lost
                return
            if newest != base:
                raise LostError from error
            raise UserError(f"the branch {self.name} cannot be pushed to {self.remote}:\n{error}") from error

    def _newest(self) -> str | None:
        try:
            listed = self._git("ls-remote", "origin", f"refs/heads/{self.name}")
        except CommandError as error:
            raise UserError(f"the branch {self.name} of {self.remote} cannot be looked up:\n{error}") from error
        return listed.split()[0] if listed.strip() else None

    def _git(self, *arguments: str, **environment: str) -> str:
        return git("-C", str(self.folder), *arguments, **git_credentials(self.remote) | environment)
