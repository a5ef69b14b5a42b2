"""A fork, and a copy that shares no history, upgrade to a newer template."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.lifecycle.repository import ROOT, Repository, copied_project, edit

FILES = {
    "Makefile": "all:\n\t@echo old\n",
    "lifecycle/train.py": "".join(f"line {number}\n" for number in range(20)),
    "lifecycle/unused.py": "old\n",
    "lifecycle/moved.py": "".join(f"moved {number}\n" for number in range(20)),
    ".github/workflows/release.yml": "".join(f"- step {number}\n" for number in range(20)),
    "model/features.py": "the template's features\n",
    "params.yaml": "seed: 1\n\n\nestimator: a\n\n\ngates: 1\n",
    "requirements/pipeline.txt": "numpy==1\n",
    "README.md": "The template\n",
}


def make_repository(folder: Path, files: dict[str, str], message: str = "The template") -> Repository:
    folder.mkdir()
    repository = Repository(folder)
    repository.must("git", "init", "--quiet", "--initial-branch", "main")
    write(repository, files, message)
    return repository


def write(repository: Repository, files: dict[str, str], message: str) -> str:
    for name, text in files.items():
        (repository.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (repository.folder / name).write_text(text, encoding="utf-8")
    repository.commit(message)
    return head(repository)


def head(repository: Repository) -> str:
    return repository.must("git", "rev-parse", "HEAD").strip()


def read(repository: Repository, name: str) -> str:
    return (repository.folder / name).read_text(encoding="utf-8")


@pytest.fixture
def template(tmp_path: Path) -> Repository:
    """A template with two versions; copies are made of the second."""
    repository = make_repository(tmp_path / "template", {**FILES, "Makefile": "older\n"})
    write(repository, {"Makefile": FILES["Makefile"]}, "The second version")
    repository.must("git", "tag", "v1")
    return repository


@pytest.fixture
def copy(tmp_path: Path) -> Repository:
    """A copy as "Use this template" makes it, edited by the team."""
    repository = make_repository(tmp_path / "copy", FILES, "Initial commit")
    edit_files(repository)
    return repository


def edit_files(repository: Repository) -> None:
    edit(repository, "model/features.py", "the template's", "our")
    edit(repository, "params.yaml", "seed: 1", "seed: 7")
    edit(repository, ".github/workflows/release.yml", "- step 18\n", "- step 18\n- tell the team\n")
    (repository.folder / "lifecycle/unused.py").unlink()
    (repository.folder / "lifecycle/moved.py").unlink()
    repository.commit("Ours")


def newer(template: Repository) -> str:
    """Commit a version with a change of each kind, and return the commit."""
    edit(template, "lifecycle/train.py", "line 3\n", "line 3, fixed\n")
    edit(template, "lifecycle/unused.py", "old", "new")
    edit(template, "model/features.py", "the template's", "the template's newer")
    edit(template, ".github/workflows/release.yml", "- step 1\n", "- step 1, fixed\n")
    edit(template, "params.yaml", "gates: 1\n", "gates: 1\nadded: 2\n")
    edit(template, "README.md", "The", "The newer")
    template.must("git", "mv", "lifecycle/moved.py", "lifecycle/elsewhere.py")
    return write(template, {"lifecycle/added.py": "new\n"}, "The third version")


def upgrade(repository: Repository, *arguments: str, status: int = 0) -> str:
    completed = repository.run(sys.executable, "-m", "lifecycle.shared.upgrade", *arguments, PYTHONPATH=str(ROOT))
    assert completed.returncode == status, completed.stdout
    assert "Traceback" not in completed.stdout
    return completed.stdout


def is_upgraded(repository: Repository) -> None:
    """Assert that a repository has the newer machinery and still has the team's edits."""
    assert "line 3, fixed\n" in read(repository, "lifecycle/train.py")
    assert read(repository, "lifecycle/added.py") == "new\n"
    workflow = read(repository, ".github/workflows/release.yml")
    assert "- step 1, fixed\n" in workflow
    assert "- tell the team\n" in workflow
    assert read(repository, "model/features.py") == "our features\n"
    assert read(repository, "README.md") == "The template\n"
    assert read(repository, "params.yaml") == "seed: 7\n\n\nestimator: a\n\n\ngates: 1\nadded: 2\n"
    for deleted in ("unused", "moved", "elsewhere"):
        assert not (repository.folder / f"lifecycle/{deleted}.py").exists()


def test_copy_without_shared_history(template: Repository, copy: Repository) -> None:
    commit = newer(template)
    before = copy.must("git", "rev-parse", "HEAD^{tree}")
    planned = upgrade(copy, "--from", str(template.folder))
    assert "Nothing was changed. Read the CHANGELOG.md of that version, then run `make upgrade APPLY=1`." in planned
    assert "  take      'lifecycle/train.py'\n" in planned
    assert "  merge     '.github/workflows/release.yml'\n" in planned
    assert "  add       'lifecycle/added.py'\n" in planned
    assert "  kept out  'lifecycle/unused.py': deleted here\n" in planned
    assert copy.must("git", "status", "--porcelain") == ""
    assert copy.must("git", "write-tree") == before
    assert copy.must("git", "remote") == ""
    assert copy.must("git", "tag") == ""

    upgrade(copy, "--from", str(template.folder), "--apply")
    is_upgraded(copy)
    assert json.loads(read(copy, ".template.json")) == {"url": str(template.folder), "commit": commit}
    copy.commit("The newer template")
    # The next upgrade starts from the version that was merged.
    assert "has version" in upgrade(copy, status=1)
    edit(template, "lifecycle/train.py", "line 9\n", "line 9, fixed\n")
    template.commit("The fourth version")
    upgrade(copy, "--apply")
    assert "line 9, fixed\n" in read(copy, "lifecycle/train.py")
    assert copy.must("git", "diff", "--cached", "--name-only").split() == [".template.json", "lifecycle/train.py"]


def test_fork_with_shared_history(template: Repository, tmp_path: Path) -> None:
    template.must("git", "clone", "--quiet", str(template.folder), str(tmp_path / "fork"))
    fork = Repository(tmp_path / "fork")
    edit_files(fork)
    newer(template)
    upgrade(fork, "--from", str(template.folder), "--apply")
    is_upgraded(fork)


def test_conflict_is_named_and_left_to_people(template: Repository, copy: Repository) -> None:
    edit(copy, "lifecycle/train.py", "line 3\n", "line 3, ours\n")
    copy.commit("A line of the machinery")
    newer(template)
    assert "  CONFLICT  'lifecycle/train.py'\n" in upgrade(copy, "--from", str(template.folder), status=3)
    assert copy.must("git", "status", "--porcelain") == ""
    upgrade(copy, "--from", str(template.folder), "--apply", status=3)
    text = read(copy, "lifecycle/train.py")
    assert "line 3, ours\n=======\nline 3, fixed\n" in text
    assert read(copy, "lifecycle/added.py") == "new\n"


def test_requirements_are_compiled_anew(template: Repository, copy: Repository) -> None:
    write(copy, {"requirements/pipeline.txt": "numpy==1\nours==1\n"}, "A dependency")
    write(template, {"requirements/pipeline.txt": "numpy==2\n"}, "A newer NumPy")
    output = upgrade(copy, "--from", str(template.folder), "--apply")
    assert "run `make lock`" in output
    assert read(copy, "requirements/pipeline.txt") == "numpy==2\n"


def test_odd_files_are_merged_too(template: Repository, copy: Repository) -> None:
    """Names with spaces, quotes and umlauts, binary files, links, and files that become executable."""
    name = 'deploy/ä "quoted" name.txt'
    write(template, {name: "odd\n", "deploy/run.sh": "#!/bin/sh\n"}, "Odd")
    (template.folder / "deploy/run.sh").chmod(0o755)
    (template.folder / "deploy/picture.png").write_bytes(b"\x89PNG\x00\xff")
    (template.folder / "deploy/link").symlink_to("run.sh")
    template.commit("Odder")
    upgrade(copy, "--from", str(template.folder), "--apply")
    assert read(copy, name) == "odd\n"
    assert os.access(copy.folder / "deploy/run.sh", os.X_OK)
    assert (copy.folder / "deploy/picture.png").read_bytes() == b"\x89PNG\x00\xff"
    assert (copy.folder / "deploy/link").readlink() == Path("run.sh")
    assert copy.must("git", "diff", "--name-only") == ""


def test_renamed_file_keeps_the_edit_of_the_team(template: Repository, copy: Repository) -> None:
    edit(copy, "lifecycle/train.py", "line 15\n", "line 15, ours\n")
    copy.commit("A line of the machinery")
    template.must("git", "mv", "lifecycle/train.py", "lifecycle/fit.py")
    template.commit("Renamed")
    upgrade(copy, "--from", str(template.folder), "--apply")
    assert "line 15, ours\n" in read(copy, "lifecycle/fit.py")
    assert not (copy.folder / "lifecycle/train.py").exists()


def test_version_by_its_tag(template: Repository, copy: Repository) -> None:
    newer(template)
    template.must("git", "tag", "v2")
    write(template, {"lifecycle/later.py": "later\n"}, "Not released")
    upgrade(copy, "--from", str(template.folder), "--to", "v2", "--apply")
    is_upgraded(copy)
    assert not (copy.folder / "lifecycle/later.py").exists()


def test_impossible_upgrade_gives_the_reason(template: Repository, copy: Repository, tmp_path: Path) -> None:
    url = str(template.folder)
    newer(template)
    assert "name the template's repository: make upgrade FROM=" in upgrade(copy, status=1)
    assert "has no version 'v9'" in upgrade(copy, "--from", url, "--to", "v9", status=1)
    assert "cannot be fetched from" in upgrade(copy, "--from", str(tmp_path / "nowhere"), status=1)
    (copy.folder / "new.txt").write_text("new", encoding="utf-8")
    assert "the working tree has changes" in upgrade(copy, "--from", url, status=1)
    (copy.folder / "new.txt").unlink()
    upgrade(copy, "--from", url, "--apply")
    copy.commit("Upgraded")
    assert "is older than" in upgrade(copy, "--to", "v1", status=1)

    for damaged in ("", "[]", "{}", '{"url": 1'):
        write(copy, {".template.json": damaged}, "A damaged record")
        assert ".template.json is damaged" in upgrade(copy, status=1)

    other = make_repository(tmp_path / "other", {**FILES, "Makefile": "nobody's\n"})
    assert "Name that version once: make upgrade BASE=" in upgrade(other, "--from", url, status=1)
    edit_files(other)
    edit(other, "Makefile", "nobody's", "ours")
    other.commit("Ours")
    upgrade(other, "--from", url, "--base", "v1", "--apply")
    is_upgraded(other)

    shallow = tmp_path / "shallow"
    copy.must("git", "clone", "--quiet", "--depth", "1", f"file://{other.folder}", str(shallow))
    assert "git fetch --unshallow" in upgrade(Repository(shallow), "--from", url, status=1)


def test_a_copy_of_this_repository(tmp_path: Path) -> None:
    """With its own `make upgrade`, on the files of a real project, edited as teams do."""
    (tmp_path / "template").mkdir()
    (tmp_path / "copy").mkdir()
    template, copy = copied_project(tmp_path / "template"), copied_project(tmp_path / "copy")
    edit(copy, "model/features.py", '"""', '"""Ours. ')
    edit(copy, "params.yaml", "unclear: pass", "unclear: refuse")
    edit(copy, ".github/workflows/release.yml", "name: release\n", "name: release of ours\n")
    copy.must("git", "rm", "--quiet", "-r", "benchmarks")
    copy.commit("Ours")
    edit(template, "lifecycle/shared/console.py", '"""', '"""Newer. ')
    edit(template, "model/features.py", '"""', '"""Newer. ')
    edit(template, "benchmarks/trust.py", '"""', '"""Newer. ')
    edit(
        template, ".github/workflows/release.yml", "cancel-in-progress: false\n", "cancel-in-progress: false # newer\n"
    )
    template.commit("Newer")
    make = ("make", "upgrade", f"FROM={template.folder}", f"PYTHON={sys.executable}")
    assert "kept out  'benchmarks/trust.py': deleted here" in copy.must(*make)
    assert copy.must("git", "status", "--porcelain") == ""
    copy.must(*make, "APPLY=1")
    changed = copy.must("git", "diff", "--cached", "--name-only").split()
    assert changed == [".github/workflows/release.yml", ".template.json", "lifecycle/shared/console.py"]
    assert read(copy, "model/features.py").startswith('"""Ours. ')
    assert "name: release of ours\n" in read(copy, ".github/workflows/release.yml")
