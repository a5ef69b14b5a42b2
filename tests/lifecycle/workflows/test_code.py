"""The job `code` of propose.yml: it passes for every edit that a team may make to its model."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.github.pull_request import PullRequest
from tests.github.server import GitHub
from tests.lifecycle.repository import GATES, Repository, change_params, edit
from tests.lifecycle.workflows.act import Rehearsal, rehearse

Check = Callable[[], Rehearsal]
MACHINERY_TESTED = "make lint test"


@pytest.fixture
def check(proposing: Repository, github: GitHub, tmp_path: Path) -> Check:
    """Run the job for the newest commit of the proposal."""

    def run() -> Rehearsal:
        proposed = PullRequest(proposing.folder)
        proposed.open(github)
        return rehearse("propose.yml:check", proposed.proposed(), proposing.folder, github, tmp_path / "run")

    return run


def estimator(repository: Repository) -> None:
    change_params(repository, estimator="lightgbm")


def window(repository: Repository) -> None:
    months = {name: {"first": month, "last": month} for name, month in (("window", "2013-01"), ("holdout", "2013-02"))}
    change_params(repository, **months)


def gates(repository: Repository) -> None:
    change_params(repository, gates=GATES | {"skill_at_least": {"roc_auc": 0.4, "log_loss": 0.1}}, slices=["carrier"])


def contract(repository: Repository) -> None:
    """Add a category, and make a column nullable."""
    edit(repository, "model/contract.py", '("EWR", "JFK", "LGA")', '("EWR", "JFK", "LGA", "HPN")')
    edit(
        repository,
        "model/contract.py",
        "        minimum=1,\n        maximum=12_000,\n",
        "        minimum=1,\n        maximum=12_000,\n        nullable=True,\n",
    )


def features(repository: Repository) -> None:
    """Add a feature from a new module, and declare that module in dvc.yaml and bentofile.yaml."""
    folder = repository.folder
    (folder / "model/rush.py").write_text(
        '"""Rush hours."""\n\n'
        "import numpy as np\nfrom numpy.typing import NDArray\n\n\n"
        "def is_rush(minute: NDArray[np.int64]) -> NDArray[np.bool_]:\n"
        '    """Whether a minute of the day is in the evening\'s rush."""\n'
        "    return (minute >= 16 * 60) & (minute < 20 * 60)\n",
        encoding="utf-8",
    )
    edit(repository, "model/features.py", '"plane_age", *_AS', '"plane_age", "rush", *_AS')
    edit(repository, "model/features.py", "from lifecycle.shared.columns import Codes, Columns\n", IMPORTS)
    edit(repository, "model/features.py", '        "departure_minute": minute % 1440,\n', DERIVED)
    for name, indent in (("dvc.yaml", "      "), ("bentofile.yaml", "  ")):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        after = f"{indent}- model/features.py\n"
        path.write_text(text.replace(after, f"{after}{indent}- model/rush.py\n"), encoding="utf-8")


IMPORTS = "from lifecycle.shared.columns import Codes, Columns\nfrom model.rush import is_rush\n"
DERIVED = '        "departure_minute": minute % 1440,\n        "rush": is_rush(minute % 1440),\n'
EDITS = (estimator, window, gates, contract, features)


def test_model_tests_pass_for_every_legal_edit(proposing: Repository) -> None:
    for edit_project in EDITS:
        edit_project(proposing)
    proposing.must("pytest", "-q", "tests/model")


@pytest.mark.long
def test_everything_at_once(proposing: Repository, check: Check) -> None:
    for edit_project in EDITS:
        edit_project(proposing)
    proposing.commit("A model of our own")
    checked = check()
    assert checked.passed, checked.output
    assert "Changed files of the machinery: 0." in checked.output
    assert MACHINERY_TESTED not in checked.output


@pytest.mark.long
@pytest.mark.parametrize("edit_project", EDITS)
def test_each(proposing: Repository, check: Check, edit_project: Callable[[Repository], None]) -> None:
    edit_project(proposing)
    proposing.commit("A model of our own")
    checked = check()
    assert checked.passed, checked.output


def test_undeclared_module(proposing: Repository) -> None:
    """Otherwise an edit of it would not retrain the model, and the service would not start without it."""
    features(proposing)
    for name in ("dvc.yaml", "bentofile.yaml"):
        proposing.must("git", "checkout", "--quiet", name)
    completed = proposing.run("pytest", "-q", "tests/model/test_declared.py")
    assert completed.returncode == 1
    assert (
        "dvc.yaml: the stage that runs lifecycle.pipeline.prepare must depend on exactly these files"
        in completed.stdout
    )
    assert "bentofile.yaml must include exactly these files" in completed.stdout
