"""`make propose` in real repositories.

Each test takes about ten seconds. The parts of those marked as long are also tested in test_rows.py, test_report.py and
test_changes.py, or through the workflows.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lifecycle.shared.parts import part_files
from model import contract
from tests.lifecycle.repository import GATES, MONTHS, Repository, change_params, edit, with_estimator


def propose(repository: Repository, *arguments: str, passed: bool | None) -> str:
    """Run `make propose` and return the report. `passed` is the expected result; None accepts both."""
    completed = repository.run("python", "-m", "lifecycle.proposal", *arguments)
    assert passed is None or (completed.returncode == 0) == passed, completed.stdout
    report = (repository.folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")
    if "The pipeline failed" not in report:
        assert "Traceback" not in completed.stdout, completed.stdout
        assert report.splitlines()[0].removeprefix("## ") in completed.stdout
    return report


def better(repository: Repository) -> None:
    change_params(repository, **with_estimator(repository, max_iter=60, learning_rate=0.05))


def span(first: int, last: int) -> dict[str, str]:
    return {"first": MONTHS[first], "last": MONTHS[last]}


def write_months(repository: Repository, change: Callable[[pa.Table], pa.Table], *months: str) -> None:
    for month in months or MONTHS[:3]:
        path = repository.folder / f"data/{month}.parquet"
        pq.write_table(change(pq.read_table(path)), path)


def without_visibility(repository: Repository) -> None:
    """Remove a column from contract, features and data."""
    text = (repository.folder / "model/contract.py").read_text(encoding="utf-8")
    column = re.search(r'    Column\(\n        name="visibility",.*?\n    \),\n', text, re.DOTALL)
    assert column
    edit(repository, "model/contract.py", column[0], "")
    edit(repository, "model/features.py", '    "visibility",\n', "")
    edit(repository, "params.yaml", "  - visibility\n", "")
    write_months(repository, lambda table: table.drop_columns("visibility"))


@pytest.mark.long
def test_rows_that_the_champion_was_trained_on(proposing: Repository) -> None:
    change_params(
        proposing,
        window=span(0, 0),
        holdout=span(1, 2),
        **with_estimator(proposing, max_iter=60, learning_rate=0.05),
    )
    report = propose(proposing, passed=None)
    assert "on the same 3,000 of 6,000 rows (without 3,000 that the champion was trained on)" in report
    assert re.search(r"^Drift between the two training sets .*: `\w+` 0\.\d\d, ", report, re.MULTILINE)


@pytest.mark.long
def test_champion_whose_metadata_has_bins_in_another_format(proposing: Repository) -> None:
    """The drift cannot be computed and is left out of the report."""
    text = (proposing.folder / "lifecycle/pipeline/train.py").read_text(encoding="utf-8")
    (current,) = re.findall(r'^ +"histograms": \{\n.*\n +\},\n', text, re.MULTILINE)
    older = '"bins": {NAMES[0]: {"labels": ["to 7", "over 7", "missing"], "shares": [1, 0, 0], "edges": [7.0]}},\n'
    proposing.must("git", "switch", "--quiet", "main")
    edit(proposing, "lifecycle/pipeline/train.py", current, older)
    proposing.commit("Bins in an older format")
    proposing.must("git", "switch", "--quiet", "proposal")
    change_params(proposing, window=span(0, 0), **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    report = propose(proposing, "--base", "main", passed=None)
    (metadata,) = (proposing.folder / "artifacts/champion").glob("*/artifacts/model/metadata.json")
    assert '"bins"' in metadata.read_text(encoding="utf-8")
    assert "Rows to train on" in report
    assert "Drift between" not in report


@pytest.mark.long
def test_holdout_inside_of_the_champion_s_window(proposing: Repository) -> None:
    """A model of January cannot be compared on a month that the champion was trained on, so the check fails."""
    change_params(proposing, window=span(0, 0), holdout=span(1, 1))
    report = propose(proposing, passed=False)
    assert report.startswith("## ❌ Do not merge: it cannot be compared with the model in production")
    assert "none of the 3,000 rows of 2013-02 is left to compare the models" in report
    assert "Choose a holdout that both can be judged on" in report
    accepted = propose(proposing, "--accepted-by", "maintainer", passed=True)
    assert accepted.startswith("## ⚠️ Accepted with a regression by `maintainer`: it cannot be compared")


@pytest.mark.long
def test_column_that_the_proposal_removes(proposing: Repository) -> None:
    """The champion gets the column from the base."""
    without_visibility(proposing)
    report = propose(proposing, passed=None)
    assert "on the same 3,000 rows, and neither was trained on any of them" in report
    assert "| average precision ↑ | 0." in report


@pytest.mark.long
def test_column_of_a_new_month_that_the_champion_needs(proposing: Repository, small: Path) -> None:
    """Neither side has the column, so the models cannot be compared and the check fails."""
    shutil.copy(part_files(MONTHS[3], small)[0], proposing.folder / "data")
    without_visibility(proposing)
    write_months(proposing, lambda table: table.drop_columns("visibility"), MONTHS[3])
    change_params(proposing, window=span(0, 2), holdout=span(3, 3))
    report = propose(proposing, passed=False)
    assert report.startswith("## ❌ Do not merge: it cannot be compared with the model in production")
    assert "the champion needs columns that these rows do not have: visibility" in report


@pytest.mark.long
def test_a_row_of_a_new_month_that_the_champion_does_not_accept(proposing: Repository, small: Path) -> None:
    """A flight from an airport that the champion does not know is left out; the others are compared."""
    edit(proposing, "model/contract.py", '("EWR", "JFK", "LGA")', '("EWR", "JFK", "LGA", "HPN")')
    shutil.copy(part_files(MONTHS[3], small)[0], proposing.folder / "data")

    def other_airport(table: pa.Table) -> pa.Table:
        at = table.column_names.index("origin")
        return table.set_column(at, table.field(at), [["HPN", *table.column(at).to_pylist()[1:]]])

    write_months(proposing, other_airport, MONTHS[3])
    change_params(proposing, window=span(0, 2), holdout=span(3, 3))
    report = propose(proposing, passed=None)
    assert "on the same 2,999 of 3,000 rows (without 1 that the champion's contract does not accept)" in report
    assert "cannot be compared" not in report


@pytest.mark.long
def test_champion_whose_process_dies(proposing: Repository) -> None:
    proposing.must("git", "switch", "--quiet", "main")
    dies = "    raise SystemExit('killed')\n"
    edit(proposing, "lifecycle/pipeline/predict.py", "def main() -> None:\n", f"def main() -> None:\n{dies}")
    proposing.commit("A champion that cannot predict")
    proposing.must("git", "switch", "--quiet", "--force-create", "proposal")
    edit(proposing, "lifecycle/pipeline/predict.py", dies, "")
    better(proposing)
    report = propose(proposing, "--base", "main", passed=False)
    assert report.startswith("## ❌ Do not merge: it cannot be compared with the model in production")
    assert "> `killed`" in report


@pytest.mark.long
def test_outcomes_that_the_proposal_flips(proposing: Repository) -> None:
    """The proposal drops rows, too; both models are judged on the rows of the base."""
    better(proposing)
    honest = propose(proposing, passed=True)

    def flattered(table: pa.Table) -> pa.Table:
        at = table.column_names.index(contract.TARGET.name)
        return table.set_column(at, table.field(at), pc.invert(table.column(at))).slice(900)

    write_months(proposing, flattered, MONTHS[2])
    edited = propose(proposing, passed=None)
    rows = [re.search(r"\| \*\*ROC AUC\*\* ↑ .*", report) for report in (honest, edited)]
    assert rows[0]
    assert rows[1]
    assert rows[0][0] == rows[1][0]


@pytest.mark.long
def test_flipped_outcomes_are_reported_even_if_the_model_is_the_same(proposing: Repository) -> None:
    """The outcomes are those of the holdout, so the trained model does not change."""

    def flipped(table: pa.Table) -> pa.Table:
        at, late = table.column_names.index(contract.TARGET.name), table.column(contract.TARGET.name).to_pylist()
        return table.set_column(at, table.field(at), [[not is_late for is_late in late[:300]] + late[300:]])

    write_months(proposing, flipped, MONTHS[2])
    report = propose(proposing, passed=None)
    assert report.startswith("## ✅ The model does not change\n")
    first_lines = report.partition("\n**flight-delay**")[0]
    assert re.search(r"changes the data that it is judged on.* `2013-03` \(holdout\): 300 .*relabelled", first_lines)
    assert "What changes: rows that main has" in report


@pytest.mark.long
def test_a_column_that_leaks_the_outcome(proposing: Repository) -> None:
    """The first lines warn of it."""

    def leaking(table: pa.Table) -> pa.Table:
        at = table.column_names.index("visibility")
        late = table.column(contract.TARGET.name).cast(pa.float64())
        return table.set_column(at, table.field(at), pc.add(pc.multiply(late, 5.0), 1.0))

    write_months(proposing, leaking)
    better(proposing)
    report = propose(proposing, passed=None)
    first_lines = report.partition("\n**flight-delay**")[0]
    assert "⚠️ `visibility` alone reaches a ROC AUC of 1.000 on the holdout." in first_lines
    # The leak does not help, because both models are judged on the rows of main.
    assert report.startswith("## ❌ Do not merge: ROC AUC fell by 0.")


def test_gates_that_the_proposal_loosens(proposing: Repository) -> None:
    """The gates of the base apply, and the report names the changes."""
    worse = with_estimator(proposing, min_samples_leaf=3000)
    loose = GATES | {"worse_by_at_most": {"roc_auc": 0.9}, "slices_worse_by_at_most": {}}
    change_params(proposing, gates=loose, slices=[], **worse)
    report = propose(proposing, passed=False)
    assert report.startswith("## ❌ Do not merge: ROC AUC fell by 0.")
    assert report.partition("\n")[0].endswith("(⚠️ changes what it is judged by)")
    assert "`gates.worse_by_at_most.roc_auc`" in report
    assert "`slices`" in report
    assert "It is judged by the gates of its base. By its own gates it would pass." in report
    assert "The gate of the base, which decides: " in report
    assert "is not worse by more than 0.05 in any of" in report or "where `" in report


@pytest.mark.long
def test_base_whose_gates_this_code_does_not_know(proposing: Repository) -> None:
    proposing.must("git", "switch", "--quiet", "main")
    edit(proposing, "params.yaml", "  unclear: pass\n", "  unsure: pass\n")
    proposing.commit("Gates with another name")
    proposing.must("git", "switch", "--quiet", "--force-create", "proposal")
    edit(proposing, "params.yaml", "  unsure: pass\n", "  unclear: pass\n")
    better(proposing)
    report = propose(proposing, "--base", "main", passed=True)
    assert report.partition("\n")[0].endswith("(⚠️ changes what it is judged by)")
    assert "**This proposal is judged by its own gates**, because those of its base do not apply" in report
    assert "gates.unclear: is missing" in report


@pytest.mark.long
def test_main_with_an_outdated_lock(proposing: Repository) -> None:
    """If params.yaml was edited on the web and merged, main's sources define the champion, not its dvc.lock."""
    params = proposing.folder / "params.yaml"
    few_rounds = params.read_text(encoding="utf-8")
    proposing.must("git", "switch", "--quiet", "main")
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    proposing.commit("More rounds, edited on the web")
    proposing.must("git", "switch", "--quiet", "--force-create", "proposal")
    params.write_text(few_rounds, encoding="utf-8")
    proposing.commit("Back to the few rounds of dvc.lock")
    report = propose(proposing, "--base", "main", passed=None)
    assert "trained again here because its dvc.lock is out of date" in report


@pytest.mark.long
def test_a_new_comment_in_the_code_of_the_same_model(proposing: Repository) -> None:
    edit(proposing, "model/features.py", "import numpy as np", "# A comment.\nimport numpy as np")
    report = propose(proposing, passed=True)
    assert report.startswith("## ✅ The model does not change\n")
    assert "| `model/features.py` | 1 | 0 |" in report


@pytest.mark.long
def test_champion_with_other_requirements(proposing: Repository) -> None:
    """The champion runs in its own environment, with the packages that its commit pins."""
    requirements = (proposing.folder / "requirements/pipeline.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^tqdm==(\S+)", requirements, re.MULTILINE)
    assert pinned
    edit(proposing, "requirements/pipeline.txt", pinned[0], "tqdm==4.0.0")
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    report = propose(proposing, passed=True)
    assert report.startswith("## ✅ Better than the model in production\n")
    assert f"| `tqdm` | `{pinned[1]}` | `4.0.0` |" in report
    (python,) = (proposing.folder / "artifacts/champion").glob("*/.venv/bin/python")
    imported = proposing.must(str(python), "-c", "import tqdm; print(tqdm.__version__, tqdm.__file__)")
    assert imported.startswith(pinned[1])
    assert str(python.parent.parent) in imported


@pytest.mark.long
def test_champion_that_cannot_be_restored(proposing: Repository) -> None:
    """Without a comparison, the check fails."""
    proposing.must("git", "switch", "--quiet", "main")
    edit(proposing, "requirements/pipeline.txt", "tqdm==", "no-such-package-as-this==")
    proposing.commit("Requirements that do not exist")
    proposing.must("git", "switch", "--quiet", "proposal")
    better(proposing)
    report = propose(proposing, "--base", "main", passed=False)
    assert report.startswith("## ❌ Do not merge: it cannot be compared with the model in production")
    assert "the champion cannot be restored" in report
    assert "no-such-package-as-this" in report


@pytest.mark.long
def test_registry_that_does_not_answer(proposing: Repository) -> None:
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    completed = proposing.run("python", "-m", "lifecycle.proposal", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert completed.returncode == 0, completed.stdout
    report = (proposing.folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")
    assert "the model of the base commit; the registry did not answer" in report
    assert "MLflow run" not in completed.stdout
    page = (proposing.folder / "artifacts/proposal/plots.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 5
    for text in ("Better than the model in production", "calibration", ">champion<", ">candidate<"):
        assert text in page
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)


def test_unknown_base_commit(proposing: Repository) -> None:
    completed = proposing.run("python", "-m", "lifecycle.proposal", "--base", "nowhere; touch x")
    assert completed.returncode == 1
    assert "this repository has no commit 'nowhere; touch x'." in completed.stdout
    assert not (proposing.folder / "x").exists()
