"""All missing programs are named at once, before anything starts."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lifecycle import missing
from tests.lifecycle.repository import ROOT, Repository, copy_repository


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is installed: the only directory that is searched for programs is empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(missing, "_ELSEWHERE", ())
    monkeypatch.setattr(missing, "_POSTGRESQL", tmp_path)
    return folder


def install(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_all_missing_programs_are_named_with_their_packages(bare: Path) -> None:
    for name in ("podman", "runc", "gh"):
        install(bare, name)
    assert [program.name for program in missing.missing("release")] == [
        *("mmdebstrap", "netavark", "aardvark-dns", "iptables", "docker-registry", "sshd", "haproxy", "postgres")
    ]
    message = missing.in_words(missing.missing("gh", "sshd", "postgres"))
    assert message == (
        "missing here: sshd (accepts logins to the production host); postgres (the database of the prediction log). "
        "On Debian: apt-get install --no-install-recommends openssh-server postgresql"
    )
    install(bare, "wrk")
    assert missing.packages(missing.missing("wrk", "h2load")) == ["nghttp2-client"]


def test_programs_off_the_path_are_found(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's servers, podman's helpers, and the programs of the newest version of PostgreSQL."""
    monkeypatch.setattr(missing, "_ELSEWHERE", (str(tmp_path / "podman"),))
    for folder, name in (("podman", "netavark"), ("9.6/bin", "postgres"), ("15/bin", "postgres")):
        (tmp_path / folder).mkdir(parents=True)
        install(tmp_path / folder, name)
    assert [program.name for program in missing.missing("netavark", "aardvark-dns", "postgres")] == ["aardvark-dns"]
    assert missing.find("postgres") == str(tmp_path / "15/bin/postgres")
    assert list(bare.iterdir()) == []


def test_a_test_without_its_programs_is_skipped_or_fails_if_all_are_required(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(bare, "gh")
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    missing.need("gh")
    with pytest.raises(pytest.skip.Exception, match=r"npm .*; promtool .*install --no-install-recommends npm prometh"):
        missing.need("gh", "npm", "promtool")
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match=r"npm .*; promtool .*; and REQUIRE_ALL is 1"):
        missing.need("gh", "npm", "promtool")
    # A benchmark, which is not a test, exits.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    with pytest.raises(SystemExit, match=r"^error: missing here: npm "):
        missing.need("npm")


def test_ci_lists_the_packages_with_the_standard_library_alone(tmp_path: Path) -> None:
    """There is no .venv yet. Chromium and npm are only looked for on the PATH."""
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv += ["]
    command[-1] += "'--packages', 'npm', 'chromium', 'promtool']; from tests.lifecycle.missing import main; main()"
    completed = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "npm chromium prometheus\n", "")
    assert "python3 -m tests.lifecycle.missing --packages" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_command_refuses_an_unknown_program() -> None:
    command = [sys.executable, "-m", "tests.lifecycle.missing", "wkr"]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert completed.returncode == 2
    assert "unknown program 'wkr'; known are podman, " in completed.stderr


@pytest.fixture
def without_main(tmp_path: Path) -> Repository:
    """A repository without the branch main, so that a rehearsal that starts fails at once; the PATH has only git."""
    repository = copy_repository(tmp_path / "repository")
    repository.must("git", "branch", "--quiet", "--move", "main", "trunk")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(str(shutil.which("git")))
    repository.environment["PATH"] = str(tmp_path / "bin")
    return repository


def rehearse(repository: Repository, **environment: str) -> str:
    completed = repository.run(sys.executable, "-m", "tests.github.rehearse", **environment)
    assert completed.returncode == 1
    assert "Traceback" not in completed.stdout
    return completed.stdout


def test_rehearsal_names_all_missing_programs_before_it_starts(
    without_main: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", without_main.environment["PATH"])
    lacking = missing.missing("release")  # except programs in /usr/sbin
    assert {"podman", "mmdebstrap", "docker-registry", "gh"} <= {program.name for program in lacking}
    instead = "Or `make rehearse ONLY_PROPOSAL=1`, which ends with the comment."
    assert rehearse(without_main, ONLY_PROPOSAL="") == f"error: {missing.in_words(lacking)}\n{instead}\n"
    assert not (without_main.folder / "artifacts").exists()


def test_proposal_alone_needs_no_programs(without_main: Repository) -> None:
    assert rehearse(without_main, ONLY_PROPOSAL="1") == "error: there is no branch main to propose to.\n"
