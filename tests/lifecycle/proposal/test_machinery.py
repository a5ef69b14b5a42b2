"""Proposals that change the machinery, so that its tests run."""

from pathlib import Path

import pytest

from lifecycle.proposal.machinery import machinery_files
from tests.lifecycle import in_process
from tests.lifecycle.repository import Repository, edit

MODULE = "lifecycle.proposal.machinery"


@pytest.mark.parametrize(
    "path",
    [
        *("lifecycle/shared/files.py", "tests/lifecycle/conftest.py", "tests/github/server.py", "tests/imports.py"),
        *(
            ".github/workflows/propose.yml",
            "Makefile",
            "pyproject.toml",
            "requirements/serving.txt",
            "deploy/compose.yaml",
        ),
        *("numpy.py", ".dvcignore", "modelling.py"),
    ],
)
def test_machinery(path: str) -> None:
    assert machinery_files(["model/features.py", path]) == [path]


def test_files_that_a_proposal_of_a_model_changes() -> None:
    own = ["model/features.py", "model/holidays.py", "params.yaml", "dvc.yaml", "data.dvc", "dvc.lock", "README.md"]
    stored = [".dvc/remote/files/md5/26/fbe64e1a420d3b738c8e5351b3d9a9", "reports/metrics.json"]
    assert machinery_files([*own, *stored]) == []


def test_moving_a_file_out_of_the_machinery_touches_it(proposing: Repository, tmp_path: Path) -> None:
    output_file = tmp_path / "output"

    def touched() -> str:
        output_file.unlink(missing_ok=True)
        in_process.must(proposing, MODULE, "--base", "main", GITHUB_OUTPUT=str(output_file))
        return output_file.read_text(encoding="utf-8").strip()

    edit(proposing, "model/features.py", '"""', '"""Mine. ')
    proposing.commit("A feature")
    assert touched() == "touched=false"
    # Changes on main since the merge base do not count.
    proposing.must("git", "switch", "--quiet", "main")
    edit(proposing, "Makefile", "# Targets for development", "# The targets for development")
    proposing.commit("Main goes on")
    proposing.must("git", "switch", "--quiet", "proposal")
    assert touched() == "touched=false"
    proposing.must("git", "mv", "lifecycle/pipeline/checks.py", "model/checks.py")
    proposing.commit("Moved")
    assert touched() == "touched=true"


def test_unknown_base(proposing: Repository) -> None:
    output, error = in_process.run(proposing, MODULE, "--base", "nothing")
    assert output == ""
    assert error.startswith("this repository has no commit 'nothing'. `git fetch` may bring it")
