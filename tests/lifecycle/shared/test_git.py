"""A failure of git reaches the person: it is never read as an empty answer."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.pipeline.reference import _data_changed
from lifecycle.pipeline.track import checked_out
from lifecycle.proposal.base import find_base, other_model
from lifecycle.registry.store import open_registry
from lifecycle.release import plan
from lifecycle.shared.commands import git_show
from lifecycle.shared.console import CommandError, UserError
from tests.lifecycle import in_process
from tests.lifecycle.repository import Repository

# Git's own way to make a checkout look like that of another user.
OF_ANOTHER = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}


@pytest.fixture
def repository(released: Repository, tmp_path: Path) -> Repository:
    return Repository(Path(shutil.copytree(released.folder, tmp_path / "repository", symlinks=True)))


def ask_registry() -> None:
    with open_registry():
        pass


@pytest.mark.parametrize(
    "ask",
    [
        checked_out,
        ask_registry,
        plan.plan,
        _data_changed,
        lambda: find_base(""),
        lambda: find_base("main"),
        lambda: other_model("main"),
        lambda: git_show("HEAD", Path("dvc.lock")),
    ],
)
def test_a_checkout_of_another_user(repository: Repository, ask: Callable[[], object]) -> None:
    with (
        in_process.inside(repository, **OF_ANOTHER),
        pytest.raises((UserError, CommandError), match="dubious ownership"),
    ):
        ask()


@pytest.mark.parametrize(
    "command",
    [
        "lifecycle.pipeline.lineage",
        *(
            pytest.param(command, marks=pytest.mark.long)
            for command in (
                "lifecycle.registry",
                "lifecycle.proposal",
                "lifecycle.proposal.machinery",
                "lifecycle.release.plan",
            )
        ),
    ],
)
def test_commands_in_a_checkout_of_another_user(repository: Repository, command: str) -> None:
    completed = repository.run("python", "-m", command, **OF_ANOTHER)
    assert completed.returncode == 1
    assert "error: " in completed.stdout
    assert "dubious ownership" in completed.stdout
    assert "Traceback" not in completed.stdout


def test_a_file_of_a_commit(repository: Repository) -> None:
    with in_process.inside(repository):
        assert git_show("HEAD", Path("dvc.lock")) == (repository.folder / "dvc.lock").read_text(encoding="utf-8")
        assert git_show("HEAD", Path("no/such/file")) == ""
        with pytest.raises(CommandError):
            git_show("0" * 40, Path("dvc.lock"))


def test_before_the_first_commit(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.must("git", "init", "--quiet")
    with in_process.inside(repository):
        assert checked_out() == ("none", True)


def test_a_shallow_clone(repository: Repository, tmp_path: Path) -> None:
    """It lacks the commits that a comparison needs, and that say since when the data is as it is."""
    shallow = Repository(tmp_path / "shallow")
    address = repository.folder.as_uri()
    repository.must("git", "clone", "--quiet", "--depth", "1", "--branch", "main", address, str(shallow.folder))
    older = repository.must("git", "rev-parse", "main~1").strip()
    with in_process.inside(shallow):
        assert find_base("") == repository.must("git", "rev-parse", "main").strip()
        with pytest.raises(UserError, match=r"has no commit .*`git fetch --unshallow`"):
            find_base(older)
        with pytest.raises(UserError, match="`git fetch --unshallow` completes it"):
            _data_changed()
    shallow.must("git", "checkout", "--quiet", "--orphan", "elsewhere")
    shallow.must("git", "commit", "--quiet", "--message", "Without history")
    with (
        in_process.inside(shallow),
        pytest.raises(UserError, match="no history in common with refs/remotes/origin/main"),
    ):
        find_base("")


def test_a_folder_of_another_repository(repository: Repository, tmp_path: Path) -> None:
    """A comparison would find no champion there, and the gate would pass."""
    outer = Repository(tmp_path / "outer")
    shutil.copytree(repository.folder, outer.folder / "model", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    outer.must("git", "init", "--quiet", "--initial-branch", "main")
    outer.commit("Everything")
    inner = Repository(outer.folder / "model")
    with in_process.inside(inner):
        assert checked_out() == (outer.must("git", "rev-parse", "HEAD").strip(), True)
        (inner.folder / "params.yaml").touch()
        assert git_show("HEAD", Path("params.yaml")) == (inner.folder / "params.yaml").read_text(encoding="utf-8")
        with pytest.raises(UserError, match="this project is the folder model/ of another repository"):
            find_base("")
