"""What a merge has to release, in a clone with an embedded registry."""

from pathlib import Path

import pytest

from tests.lifecycle import in_process
from tests.lifecycle.registry.commands import clone_of, promote, register
from tests.lifecycle.repository import Repository, edit


@pytest.fixture
def clone(released: Repository, tmp_path: Path) -> Repository:
    return clone_of(released, tmp_path)


def plan(repository: Repository) -> tuple[str, dict[str, str]]:
    """What it says, and what it tells the workflow."""
    output = repository.folder.parent / "output"
    output.unlink(missing_ok=True)
    said = in_process.must(repository, "lifecycle.release.plan", GITHUB_OUTPUT=str(output))
    return said.strip(), dict(line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines())


def test_what_a_merge_has_to_release(clone: Repository) -> None:
    said, outputs = plan(clone)
    assert said == "There is no registry yet. To be released."
    assert outputs == {"build": "true", "version": ""}

    # A run that was cut off after it had registered: the next one goes on from there, also to the end.
    register(clone)
    said, outputs = plan(clone)
    assert said == "Version 1 is of this commit, and has not been the champion yet. To be released."
    assert outputs == {"build": "", "version": "1"}
    promote(clone, "1 a-bot the first")
    said, outputs = plan(clone)
    assert said == "Version 1 is of this commit, and the champion. To be released."
    assert outputs == {"build": "", "version": "1"}

    (clone.folder / "README.md").write_text("Other words\n", encoding="utf-8")
    edit(clone, "lifecycle/proposal/headline.py", "Do not merge", "Do not merge yet")
    clone.commit("Words, and how proposals are reported")
    said, outputs = plan(clone)
    assert said == "Neither model nor service differ from those of version 1. Nothing to release."
    assert outputs == {"build": "", "version": ""}

    edit(clone, "lifecycle/serving/environment.py", "max_rows: Count = 1000", "max_rows: Count = 2000")
    clone.commit("The service takes more rows")
    assert plan(clone)[0] == "Model or service differ from the champion's. To be released."
    register(clone)
    promote(clone, "2 a-bot better")

    # The workflow of an older commit is run again: version 1, and what came before it, are not to come back by that.
    clone.must("git", "checkout", "--quiet", "HEAD~2")
    back = "To bring it back: make rollback VERSION=N. Nothing to release."
    assert plan(clone)[0] == f"Version 1 is of this commit, and another one the champion since. {back}"
    clone.must("git", "checkout", "--quiet", "HEAD~1")
    assert plan(clone)[0] == "Version 2, the champion, is of a later commit. Nothing to release."

    # Production was rolled back, and somebody merges words: what was wrong with version 2 still is.
    promote(clone, "1 somebody too many alarms")
    clone.must("git", "checkout", "--quiet", "main")
    assert plan(clone)[0] == f"Version 2 is of this commit, and another one the champion since. {back}"
    (clone.folder / "README.md").write_text("Yet other words\n", encoding="utf-8")
    clone.commit("Words")
    said, outputs = plan(clone)
    assert said == f"It would be version 2 again, from which production was rolled back. {back}"
    assert outputs == {"build": "", "version": ""}

    (clone.folder / "artifacts/model/model.onnx").write_bytes(b"another model")
    assert plan(clone)[0] == "Model or service differ from the champion's. To be released."
