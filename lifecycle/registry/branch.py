"""A branch without history, in which files are kept: read, and replaced by compare-and-swap.

Its one commit has no parent, so that what was replaced is gone. Whoever replaces it names the commit that was read; if
somebody has been faster, nothing happens.
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

from lifecycle.shared.commands import CommandError, git
from lifecycle.shared.console import UserError
from lifecycle.shared.github import BOT, git_credentials

_TRIES = 20
_T = TypeVar("_T")


class LostError(Exception):
    """Somebody else has replaced the branch meanwhile."""


@dataclass(frozen=True)
class Branch:
    """A branch of the repository that `origin` names.

    Attributes:
        name: Of the branch.
        folder: Where a repository is kept for it, apart from the one that is worked in.
        remote: The repository's address.
    """

    name: str
    folder: Path
    remote: str

    def fetch(self) -> str | None:
        """Fetch it without the contents of its files, and return its commit; None where there is no such branch.

        Raises:
            UserError: Where the repository cannot be reached.
        """
        if not (self.folder / "HEAD").exists():
            git("init", "--quiet", "--bare", str(self.folder))
            self._git("config", "gc.auto", "0")
            # A database of many versions takes a second otherwise.
            self._git("config", "core.looseCompression", "0")
            self._git("config", "pack.compression", "1")
        # Contents are asked for when they are read: of hundreds of versions, that is one.
        settings = {"url": self.remote, "promisor": "true", "partialclonefilter": "blob:none"}
        for key, value in settings.items():
            self._git("config", f"remote.origin.{key}", value)
        commit = self._newest()
        if commit:
            self._git("fetch", "--quiet", "--no-tags", "--depth=1", "--filter=blob:none", "origin", commit)
        return commit

    def read(self, commit: str, path: str) -> bytes:
        """The content of a file."""
        command = ["git", "cat-file", "blob", f"{commit}:{path}"]
        done = subprocess.run(
            command, cwd=self.folder, env=os.environ | git_credentials(self.remote), capture_output=True, check=False
        )
        if done.returncode:
            raise UserError(f"{path} cannot be read from the branch {self.name}: {done.stderr.decode().strip()}")
        return done.stdout

    def paths(self, commit: str, folder: str) -> list[str]:
        """The files in a folder."""
        return self._git("ls-tree", "--name-only", commit, f"{folder}/").splitlines()

    def change(self, operation: Callable[[str | None, Path], _T]) -> _T:
        """Change it in one step for whoever reads it.

        Args:
            operation: Is called with the commit that was fetched, None where there is none, and with an empty folder,
                and calls `replace`; once more with a newer commit, where somebody else has been faster.

        Raises:
            UserError: Where somebody else is always faster.
        """
        for attempt in range(_TRIES):
            commit = self.fetch()
            with tempfile.TemporaryDirectory() as folder, suppress(LostError):
                return operation(commit, Path(folder))
            time.sleep(random.uniform(0, 0.2 * (attempt + 1)))  # noqa: S311 - so that not all try again at once
        raise UserError(
            f"the branch {self.name} could not be changed: somebody else was faster {_TRIES} times. Try again later."
        )

    def replace(self, base: str | None, files: Mapping[str, Path], message: str, without: Sequence[str] = ()) -> None:
        """Put files into it, beside those that it has.

        Args:
            base: The commit that was fetched; None where there was none.
            files: By their paths in the branch.
            message: Of the commit.
            without: Paths that it is not to have any more.

        Raises:
            LostError: Where the branch is not at `base` any more.
            UserError: Where it cannot be pushed.
        """
        index = {"GIT_INDEX_FILE": str((self.folder / "index.new").resolve())}
        self._git("read-tree", *([base] if base else ["--empty"]), **index)
        for path, file in files.items():
            content = self._git("hash-object", "-w", str(file.resolve())).strip()
            self._git("update-index", "--add", "--cacheinfo", f"100644,{content},{path}", **index)
        for path in without:
            # Git wants to be in a work tree for that, and looks at none.
            self._git("update-index", "--force-remove", path, **index, GIT_WORK_TREE=str(self.folder.resolve()))
        tree = self._git("write-tree", "--missing-ok", **index).strip()
        who = {f"GIT_{role}_{what}": BOT for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        commit = self._git("commit-tree", tree, "-m", message, **who).strip()
        reference = f"refs/heads/{self.name}"
        try:
            self._git(
                "push", "--quiet", f"--force-with-lease={reference}:{base or ''}", "origin", f"{commit}:{reference}"
            )
        except CommandError as error:
            newest = self._newest()
            if newest == commit:  # it has arrived, and only the answer has not
                return
            if newest != base:
                raise LostError from error
            raise UserError(f"the branch {self.name} cannot be pushed to {self.remote}:\n{error}") from error

    def _newest(self) -> str | None:
        try:
            said = self._git("ls-remote", "origin", f"refs/heads/{self.name}")
        except CommandError as error:
            raise UserError(f"the branch {self.name} of {self.remote} cannot be asked for:\n{error}") from error
        return said.split()[0] if said.strip() else None

    def _git(self, *arguments: str, **environment: str) -> str:
        return git("-C", str(self.folder), *arguments, **git_credentials(self.remote) | environment)
