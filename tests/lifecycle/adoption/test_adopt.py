"""Four tables become projects: adopted, checked, proposed, served and watched, without a line edited by hand."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.lifecycle.adoption.tables import write_table
from tests.lifecycle.repository import Repository, copied_project

# By table: the arguments of `make adopt`, a column to give a fault, and the fault that the check finds.
STORIES = {
    "churn.csv": (["churned", "--time", "Signed Up"], "plan", "constant: plan"),
    "leads.csv": (["label"], "sales", "missing: sales"),
    "visits.parquet": (["visits", "--group", "customer"], "x", "constant: x"),
    "species.csv": (["species"], "z", "constant: z"),
}


@pytest.fixture(scope="module")
def species(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, str]:
    """An adopted table, which tests must not change, and what the command printed."""
    return adopted("species.csv", tmp_path_factory.mktemp("adopted") / "project")


@pytest.fixture
def project(species: tuple[Repository, str], tmp_path: Path) -> Repository:
    """A copy of the adopted table."""
    shutil.copytree(species[0].folder, tmp_path / "project", symlinks=True)
    return Repository(tmp_path / "project")


def adopted(table: str, folder: Path) -> tuple[Repository, str]:
    """Adopt a table in a copy of the working tree; return the project and what the command printed."""
    project = copied_project(folder)
    write_table(table, project.folder)
    project.commit("A table")
    # As in a repository on GitHub that has released the example.
    project.must("git", "init", "--quiet", "--bare", str(folder.parent / "origin.git"))
    project.must("git", "remote", "add", "origin", str(folder.parent / "origin.git"))
    project.must("git", "push", "--quiet", "origin", "HEAD:refs/heads/mlflow")
    arguments, _, _ = STORIES[table]
    printed = project.must("python", "-m", "lifecycle.adoption", table, *arguments)
    project.must("git", "remote", "remove", "origin")
    project.commit("Adopted")
    return project, printed


def test_story(project: Repository, species: tuple[Repository, str]) -> None:
    check_story(project, species[1], "species.csv")


@pytest.mark.long
@pytest.mark.parametrize("table", ["churn.csv", "leads.csv", "visits.parquet"])
def test_other_stories(table: str, tmp_path: Path) -> None:
    check_story(*adopted(table, tmp_path / "project"), table)


def check_story(project: Repository, printed: str, table: str) -> None:
    """Check, propose, serve and watch an adopted table."""
    _, column, fault = STORIES[table]
    assert "Left to you:" in printed
    assert "MISSED" not in printed
    assert "`git push origin --delete mlflow` removes the versions of the example from the registry." in printed
    assert f"Add {table} to .gitignore" in printed

    edited = project.must("git", "diff", "--numstat", "HEAD").splitlines()
    print(f"{table}: {sum(int(line.split()[0]) for line in edited)} lines edited by hand")
    assert edited == []

    # Everything that `make check` runs, on the files as adoption wrote them.
    project.must("ruff", "check", "model")
    project.must("ruff", "format", "--check", "model")
    project.must("pytest", "-q", "tests/model")

    project.must("python", "-m", "lifecycle.pipeline")  # tracked in MLflow

    # The adoption itself, as a pull request.
    report = proposed(project, "main~1")
    assert report.startswith("## ✅ Meets every floor; there is no champion to compare it with (⚠️ changes what it is")
    assert "it has another model, flight-delay" in report
    page = (project.folder / "artifacts/proposal/plots.html").read_text(encoding="utf-8")
    plots = yaml.safe_load((project.folder / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    assert page.count("<svg ") == len(plots) >= 2
    assert all(int(width) < 1_000 for width in re.findall(r'<svg [^>]*?width="(\d+)', page))

    project.must("git", "switch", "--quiet", "--create", "proposal")
    params = project.folder / "params.yaml"
    text = params.read_text("utf-8").replace("max_iter: 200", "max_iter: 150").replace("origins: 4", "origins: 2")
    params.write_text(text, encoding="utf-8")
    project.commit("Fewer rounds")
    report = proposed(project, "main")
    assert "The recipes over the origins" in report
    assert report.startswith("## ✅")

    quiet, loud = (_checked(project, state, *faulty) for state, faulty in (("quiet", []), ("loud", [column])))
    assert "status: ok" in quiet
    assert "outcomes are known (100%)" in quiet
    assert fault in loud
    assert "status: act" in loud


def proposed(project: Repository, base: str) -> str:
    """Propose the working tree, which has to pass, and return the report."""
    project.must("python", "-m", "lifecycle.proposal", "--base", base)
    return (project.folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")


def _checked(project: Repository, state: str, *faulty: str) -> str:
    """Serve the holdout's rows, with a faulty column if one is named, and return what the check prints."""
    project.must("python", "-m", "tests.lifecycle.adoption.production", state, "600", *faulty)
    project.must("python", "-m", "lifecycle.prediction_log.drain", STATE_FOLDER=state)
    return project.run("python", "-m", "lifecycle.monitoring", "check", "--page", STATE_FOLDER=state).stdout


def test_more_rows_are_a_batch(project: Repository) -> None:
    """A batch holds the rows that the data does not have yet, and no row changes its side."""
    assert "the source has no new rows" in project.run("python", "-m", "lifecycle.pipeline.ingest").stdout
    table = project.folder / "species.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    more = [*lines, "0.1,0.2,round,setosa", "0.1,0.2,round,setosa", "-0.3,0.1,sharp,virginica"]
    table.write_text("\n".join(more) + "\n", encoding="utf-8")
    printed = project.must("python", "-m", "lifecycle.retraining", "renew")
    assert printed == "0002\n"
    counted = "from lifecycle.shared.parts import row_count; print(row_count([f'fold-{n:02}' for n in range(1, 21)]))"
    assert project.must("python", "-c", counted) == "1503\n"
    assert (project.folder / "params.yaml").read_text("utf-8") == project.must("git", "show", "HEAD:params.yaml")


def test_edited_files_are_not_overwritten(project: Repository) -> None:
    again = ("python", "-m", "lifecycle.adoption", "species.csv", "species")
    contract = project.folder / "model/contract.py"
    contract.write_text(contract.read_text("utf-8").replace("To do: what it means.", "A leaf."), encoding="utf-8")
    completed = project.run(*again)
    assert completed.returncode == 1
    assert completed.stdout == (
        "error: model/contract.py would be overwritten, and you have edited it. FORCE=1 overwrites.\n"
    )
    assert "A leaf." in contract.read_text("utf-8")


def test_the_holdout_has_all_classes(project: Repository) -> None:
    """The holdout has a fifth of each class, also of a rare one."""
    metrics = json.loads((project.folder / "reports/metrics.json").read_text(encoding="utf-8"))
    trained = json.loads((project.folder / "artifacts/model/metadata.json").read_text(encoding="utf-8"))
    for name, share in trained["target"].items():
        assert metrics["target"][name] == pytest.approx(share, rel=0.25)


@pytest.mark.long
def test_an_interrupted_adoption_can_be_repeated(project: Repository) -> None:
    """The files are as adoption wrote them, so the same command may write them again, with the same result."""
    before = {path: (project.folder / path).read_bytes() for path in ("params.yaml", "dvc.lock", "data.dvc")}
    project.must("python", "-m", "lifecycle.adoption", "species.csv", "species")
    assert {path: (project.folder / path).read_bytes() for path in before} == before


@pytest.mark.long
def test_a_column_that_clients_may_leave_out(project: Repository) -> None:
    """tests/model serves the examples, the last of which lacks the column, and compares with the model."""
    contract = project.folder / "model/contract.py"
    text = contract.read_text(encoding="utf-8")
    declared = 'name="z",\n        type="number",\n'
    assert declared in text
    contract.write_text(text.replace(declared, f"{declared}        optional=True,\n"), encoding="utf-8")
    refused = project.run("pytest", "-q", "tests/model")
    assert "z is optional, so its value may be missing: set nullable=True too." in refused.stdout
    optional = f"{declared}        optional=True,\n        nullable=True,\n"
    contract.write_text(text.replace(declared, optional), encoding="utf-8")
    project.must("pytest", "-q", "tests/model")
    shown = "from lifecycle.release.smoke import examples; print(*map(sorted, examples()), sep='\\n')"
    assert project.must("python", "-c", shown).splitlines()[-1] == "['leaf', 'x']"
