"""Answers of the stand-in for GitHub's API that come from a git repository: changed files, comparisons, contents."""

import base64
import posixpath
import subprocess
from pathlib import Path
from typing import Any

# "Responses include a maximum of 3000 files": docs.github.com/rest/pulls/pulls#list-pull-requests-files
_MOST_FILES = 3_000
# "up to 300 changed files for the entire comparison": docs.github.com/rest/commits/commits#compare-two-commits
_MOST_COMPARED = 300
# Only the raw media type returns a longer file: docs.github.com/rest/repos/contents#get-repository-content
_MOST_BYTES = 10**6
RAW = "application/vnd.github.raw+json"
_STATUS = {"A": "added", "C": "copied", "D": "removed", "M": "modified", "R": "renamed", "T": "changed"}
_LINK = "120000"


def changed_files(repository: Path, base: str, head: str) -> list[dict[str, Any]]:
    """Return the files that differ between the merge base of two commits and the second commit, without patches.

    "Pull requests on GitHub show a three-dot diff": docs.github.com, "About comparing branches in pull requests".
    """
    output = _git(repository, "diff", "--raw", "-z", "--no-abbrev", "--find-renames", f"{base}...{head}").decode(
        errors="replace"
    )
    words = iter(output.split("\0")[:-1])
    files = []
    for word in words:
        _, _, before, after, kind = word.split()
        status = _STATUS[kind[0]]
        names = {"filename": next(words)}
        if status in {"renamed", "copied"}:
            names = {"previous_filename": names["filename"], "filename": next(words)}
        # The hash of the blob; for a removed file, of its last version.
        files.append({"sha": before if status == "removed" else after, "status": status} | names)
    return files


def listed_files(repository: Path, base: str, head: str) -> list[dict[str, Any]]:
    """Return the changed files of a pull request, as many as GitHub lists."""
    return changed_files(repository, base, head)[:_MOST_FILES]


def comparison(repository: Path, base: str, head: str, page: int) -> dict[str, Any] | None:
    """Return the comparison of two commits; None if one of them is unknown.

    "The list of changed files is only shown on the first page of results":
    docs.github.com/rest/commits/commits#compare-two-commits
    """
    if not _known(repository, base) or not _known(repository, head):
        return None
    files = {"files": changed_files(repository, base, head)[:_MOST_COMPARED]} if page == 1 else {}
    merge_base = _git(repository, "merge-base", base, head).decode().strip()
    return {"merge_base_commit": {"sha": merge_base}} | files


def content(repository: Path, path: str, ref: str, accept: str) -> bytes | dict[str, Any] | None:
    """Return a file of a commit: bytes for the raw media type, else a description; None if it does not exist.

    "If the content is a symlink and the symlink's target is a normal file in the repository, then the API responds with
    the content of the file. Otherwise, the API responds with an object describing the symlink itself":
    docs.github.com/rest/repos/contents#get-repository-content. Directories and submodules are not supported.
    """
    entry = _entry(repository, path, ref)
    if entry is None:
        return None
    mode, sha = entry
    if mode == _LINK:
        target = _git(repository, "cat-file", "blob", sha).decode()
        target_entry = _entry(repository, posixpath.normpath(posixpath.join(posixpath.dirname(path), target)), ref)
        if target_entry is None or target_entry[0] == _LINK:
            return {"type": "symlink", "target": target, "path": path, "sha": sha}
        _, sha = target_entry
    content = _git(repository, "cat-file", "blob", sha)
    if accept == RAW:
        return content
    encoded = base64.encodebytes(content).decode() if len(content) <= _MOST_BYTES else ""
    encoding = "base64" if encoded else "none"
    return {"type": "file", "path": path, "sha": sha, "size": len(content), "encoding": encoding, "content": encoded}


def _entry(repository: Path, path: str, ref: str) -> tuple[str, str] | None:
    if not _known(repository, ref):
        return None
    for line in _git(repository, "ls-tree", "-z", ref, "--", path).decode().split("\0")[:-1]:
        mode, kind, sha = line.partition("\t")[0].split()
        if kind == "blob":
            return mode, sha
    return None


def _known(repository: Path, commit: str) -> bool:
    command = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(command, cwd=repository, capture_output=True, check=False).returncode == 0


def _git(repository: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=repository, capture_output=True, check=True).stdout
