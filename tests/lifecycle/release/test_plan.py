"""The release plan of a merge, in a clone with an embedded registry."""

from pathlib import Path

import pytest

from tests.lifecycle import in_process
from tests.lifecycle.registry.commands import clone_of, promote, register
from tests.lifecycle.repository import Repository, edit


@pytest.fixture
def clone(released: Repository, tmp_path: Path) -> Repository:
    return clone_of(released, tmp_path)


def plan(repository: Repository) -> tuple[str, dict[str, str]]:
    """Run the command, and return what it prints and its outputs for the workflow."""
    output = repository.folder.parent / "output"
    output.unlink(missing_ok=True)
    printed = in_process.must(repository, "lifecycle.release.plan", GITHUB_OUTPUT=str(output))
    return printed.strip(), dict(line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines())


def test_release_plan_of_a_merge(clone: Repository) -> None:
    printed, outputs = plan(clone)
    assert printed == "Building a new version: there is no registry yet."
    assert outputs == {"build": "true", "version": ""}

    # After an interruption, the next run continues with the registered version, and repeats the remaining steps.
    register(clone)
    printed, outputs = plan(clone)
    assert printed == "Deploying version 1: it was made from this commit and has not been the champion yet."
    assert outputs == {"build": "", "version": "1"}
    promote(clone, "1 a-bot the first")
    printed, outputs = plan(clone)
    assert printed == "Deploying version 1: it was made from this commit and is the champion."
    assert outputs == {"build": "", "version": "1"}

    (clone.folder / "README.md").write_text("Other words\n", encoding="utf-8")
    edit(clone, "lifecycle/proposal/headline.py", "Do not merge", "Do not merge yet")
    clone.commit("Words, and how proposals are reported")
    printed, outputs = plan(clone)
    assert printed == "Nothing to release: model and service are the same as in version 1, the champion."
    assert outputs == {"build": "", "version": ""}

    edit(clone, "lifecycle/serving/environment.py", "max_rows: Count = 1000", "max_rows: Count = 2000")
    clone.commit("The service takes more rows")
    assert plan(clone)[0] == "Building a new version: model or service differ from the champion's."
    register(clone)
    promote(clone, "2 a-bot better")

    # Re-running the workflow of an older commit does not deploy that commit again.
    clone.must("git", "checkout", "--quiet", "HEAD~2")
    assert plan(clone)[0] == (
        "Nothing to release: version 1 was made from this commit, but another version has become the champion since. "
        "To restore version 1, run `make rollback VERSION=1 WHY='…'`."
    )
    clone.must("git", "checkout", "--quiet", "HEAD~1")
    assert plan(clone)[0] == "Nothing to release: the champion, version 2, was made from a later commit."

    # After a rollback, a merge that only changes documentation does not deploy the faulty version again.
    promote(clone, "1 somebody too many alarms")
    clone.must("git", "checkout", "--quiet", "main")
    restore = "To restore version 2, run `make rollback VERSION=2 WHY='…'`."
    assert plan(clone)[0] == (
        "Nothing to release: version 2 was made from this commit, but another version has become the champion since. "
        f"{restore}"
    )
    (clone.folder / "README.md").write_text("Yet other words\n", encoding="utf-8")
    clone.commit("Words")
    printed, outputs = plan(clone)
    assert printed == (
        f"Nothing to release: model and service are the same as in version 2, which was rolled back. {restore}"
    )
    assert outputs == {"build": "", "version": ""}

    (clone.folder / "artifacts/model/model.onnx").write_bytes(b"another model")
    assert plan(clone)[0] == "Building a new version: model or service differ from the champion's."
