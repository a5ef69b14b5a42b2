"""The branch in real local repositories."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lifecycle.registry.branch import Branch, LostError
from lifecycle.shared.console import UserError


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(path))
    git(path, "config", "uploadpack.allowFilter", "true")  # as on GitHub
    return path


def branch(remote: Path, name: str) -> Branch:
    return Branch("kept", remote.parent / name, remote.as_uri())


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_text("one", encoding="utf-8")
    return path


def test_files_are_read_in_another_repository(remote: Path, text: Path) -> None:
    writer, reader = branch(remote, "writer"), branch(remote, "reader")
    assert reader.fetch() is None
    assert writer.fetch() is None
    writer.replace(None, {"a.txt": text, "folder/b.txt": text}, "One")
    commit = reader.fetch()
    assert commit
    assert reader.read(commit, "a.txt") == b"one"
    assert reader.paths(commit, "folder") == ["folder/b.txt"]
    assert reader.paths(commit, "elsewhere") == []
    with pytest.raises(UserError, match=r"c\.txt cannot be read from the branch kept"):
        reader.read(commit, "c.txt")


def test_branch_has_no_history_and_keeps_its_other_files(remote: Path, text: Path) -> None:
    kept = branch(remote, "writer")
    kept.replace(kept.fetch(), {"a.txt": text, "b.txt": text}, "One")
    text.write_text("two", encoding="utf-8")
    kept.replace(kept.fetch(), {"b.txt": text}, "Two")
    commit = kept.fetch()
    assert commit
    assert [kept.read(commit, name) for name in ("a.txt", "b.txt")] == [b"one", b"two"]
    assert git(remote, "rev-list", "--count", "kept").strip() == "1"


def test_late_writer_changes_nothing(remote: Path, text: Path) -> None:
    early, late = branch(remote, "early"), branch(remote, "late")
    assert early.fetch() is late.fetch() is None
    early.replace(None, {"a.txt": text}, "Early")
    with pytest.raises(LostError):
        late.replace(None, {"b.txt": text}, "Late, expects no branch")
    base = late.fetch()
    early.replace(early.fetch(), {"c.txt": text}, "Early again")
    with pytest.raises(LostError):
        late.replace(base, {"b.txt": text}, "Late again")
    assert git(remote, "ls-tree", "--name-only", "kept").split() == ["a.txt", "c.txt"]


def test_concurrent_writers_lose_nothing(remote: Path, tmp_path: Path) -> None:
    def write(number: int) -> None:
        own, file = branch(remote, f"writer-{number}"), tmp_path / f"{number}"
        file.write_text(str(number), encoding="utf-8")
        while True:
            try:
                own.replace(own.fetch(), {f"{number}.txt": file}, str(number))
            except LostError:
                continue
            return

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    assert set(git(remote, "ls-tree", "--name-only", "kept").split()) == {f"{n}.txt" for n in range(8)}


def test_contents_are_not_fetched_before_they_are_read(remote: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(3_000_000))
    writer = branch(remote, "writer")
    writer.replace(writer.fetch(), {"large": large, "small": remote / "HEAD"}, "One")
    reader = branch(remote, "reader")
    commit = reader.fetch()
    assert commit

    def size() -> int:
        return sum(path.stat().st_size for path in (reader.folder / "objects").rglob("*") if path.is_file())

    reader.read(commit, "small")
    reader.replace(commit, {"other": remote / "HEAD"}, "Two")
    assert size() < 100_000
    commit = reader.fetch()
    assert commit
    assert reader.read(commit, "large") == large.read_bytes()


def test_remote_that_does_not_exist(tmp_path: Path) -> None:
    nowhere = Branch("kept", tmp_path / "kept", (tmp_path / "nowhere.git").as_uri())
    with pytest.raises(UserError, match="cannot be looked up"):
        nowhere.fetch()


def test_remote_that_refuses(remote: Path, text: Path) -> None:
    hook = remote / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'this branch is protected'; exit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    refused = branch(remote, "writer")
    with pytest.raises(UserError, match=r"(?s)cannot be pushed to .*this branch is protected"):
        refused.replace(refused.fetch(), {"a.txt": text}, "One")
