"""What a merge has to release, in a clone with an embedded registry."""

from pathlib import Path

import pytest

from tests.registry.commands import clone_of, promote, register
from tests.repository import Repository, edit


@pytest.fixture
def clone(released: Repository, tmp_path: Path) -> Repository:
    return clone_of(released, tmp_path)


def plan(repository: Repository) -> tuple[str, dict[str, str]]:
    """What it says, and what it tells the workflow."""
    output = repository.folder.parent / "output"
    output.unlink(missing_ok=True)
    said = repository.must("python", "-m", "model.release.plan", GITHUB_OUTPUT=str(output))
    return said.strip(), dict(line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines())


def test_what_a_merge_has_to_release(clone: Repository) -> None:
    said, outputs = plan(clone)
    assert said == "There is no champion yet. To be released."
    assert outputs == {"release": "true", "version": "", "image": ""}

    # A run that was cut off after it had registered: the next one goes on from there.
    image = f"ghcr.io/acme/flights@sha256:{'d' * 64}"
    register(clone, "--image", image)
    said, outputs = plan(clone)
    assert said == "Version 1 is of this commit, and not the champion yet. To be released."
    assert outputs == {"release": "true", "version": "1", "image": image}

    promote(clone, "1 a-bot the first")
    said, outputs = plan(clone)
    assert said == "Version 1 is of this commit, and the champion. Nothing to release."
    assert outputs["release"] == ""

    (clone.folder / "README.md").write_text("Other words\n", encoding="utf-8")
    edit(clone, "model/proposal/report.py", "Not to be merged", "Not to be merged yet")
    clone.commit("Words, and how proposals are reported")
    said, outputs = plan(clone)
    assert said == "Neither model nor service differ from those of version 1. Nothing to release."
    assert outputs["release"] == ""

    edit(clone, "model/serving/settings.py", "max_rows: Count = 1000", "max_rows: Count = 2000")
    clone.commit("The service takes more rows")
    assert plan(clone)[0] == "Model or service differ from the champion's. To be released."
    edit(clone, "model/serving/settings.py", "max_rows: Count = 2000", "max_rows: Count = 1000")
    clone.commit("As it was")
    (clone.folder / "artifacts/model/model.onnx").write_bytes(b"another model")
    assert plan(clone)[0] == "Model or service differ from the champion's. To be released."
