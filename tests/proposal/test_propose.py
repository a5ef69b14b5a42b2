"""`make propose` in real repositories."""

import re

import pyarrow.parquet as pq

from tests.repository import Repository, change_params, edit, with_estimator


def propose(repository: Repository, *arguments: str, passed: bool | None) -> str:
    """The report; `passed` says what the exit status has to say, None that either is right."""
    done = repository.run("python", "-m", "model.proposal", *arguments)
    assert passed is None or (done.returncode == 0) == passed, done.stdout
    report = (repository.folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")
    if "could not be made" not in report:
        assert "Traceback" not in done.stdout, done.stdout
        assert report.splitlines()[0].removeprefix("## ") in done.stdout
    return report


def test_rows_that_the_champion_was_trained_on(proposing: Repository) -> None:
    change_params(
        proposing,
        window={"first": "2013-01", "last": "2013-01"},
        holdout={"first": "2013-02", "last": "2013-03"},
        **with_estimator(proposing, max_iter=60, learning_rate=0.05),
    )
    report = propose(proposing, passed=None)
    assert "on the same 3,000 of these rows (without 3,000 that the champion was trained on)" in report
    assert re.search(r"^Drift between the two training sets .*: `\w+` 0\.\d\d, ", report, re.MULTILINE)


def test_champion_of_a_commit_that_kept_its_bins_in_another_form(proposing: Repository) -> None:
    """What cannot be told is left out."""
    text = (proposing.folder / "model/pipeline/train.py").read_text(encoding="utf-8")
    (now,) = re.findall(r'^ +"histograms": .*\n', text, re.MULTILINE)
    older = '"bins": {NAMES[0]: {"labels": ["to 7", "over 7", "missing"], "shares": [1, 0, 0], "edges": [7.0]}},\n'
    proposing.must("git", "switch", "--quiet", "main")
    edit(proposing, "model/pipeline/train.py", now, older)
    proposing.commit("As it once was")
    proposing.must("git", "switch", "--quiet", "proposal")
    change_params(
        proposing,
        window={"first": "2013-01", "last": "2013-01"},
        **with_estimator(proposing, max_iter=60, learning_rate=0.05),
    )
    report = propose(proposing, "--base", "main", passed=None)
    (written,) = (proposing.folder / "artifacts/champion").glob("*/artifacts/model/metadata.json")
    assert '"bins"' in written.read_text(encoding="utf-8")
    assert "Rows to train on" in report
    assert "Drift between" not in report


def test_column_that_the_champion_needs_and_these_rows_do_not_have(proposing: Repository) -> None:
    text = (proposing.folder / "model/contract.py").read_text(encoding="utf-8")
    column = re.search(r'    Column\(\n        name="visibility",.*?\n    \),\n', text, re.DOTALL)
    assert column
    edit(proposing, "model/contract.py", column[0], "")
    edit(proposing, "model/features.py", '    "visibility",\n', "")
    edit(proposing, "params.yaml", "  - visibility\n", "")
    for path in (proposing.folder / "data").iterdir():
        pq.write_table(pq.read_table(path).drop_columns("visibility"), path)
    report = propose(proposing, passed=True)
    assert "it needs columns that these rows do not have: visibility" in report


def test_main_whose_lock_is_not_its_own(proposing: Repository) -> None:
    """Merged as it was edited on the web: the champion is what main is made of, and not what its lock is of."""
    poor = proposing.folder / "params.yaml"
    before = poor.read_text(encoding="utf-8")
    proposing.must("git", "switch", "--quiet", "main")
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    proposing.commit("More rounds, edited on the web")
    proposing.must("git", "switch", "--quiet", "--force-create", "proposal")
    poor.write_text(before, encoding="utf-8")
    proposing.commit("Back to few rounds, of which the lock still is")
    report = propose(proposing, "--base", "main", passed=False)
    assert report.startswith("## ❌ Not to be merged. ROC AUC worse")
    assert "trained again here: its lock is not of what it is made of" in report


def test_other_words_in_the_code_of_the_same_model(proposing: Repository) -> None:
    edit(proposing, "model/features.py", "import numpy as np", "# The same.\nimport numpy as np")
    report = propose(proposing, passed=True)
    assert report.startswith("## ✅ The model does not change\n")
    assert "| `model/features.py` | 1 | 0 |" in report


def test_champion_with_other_requirements(proposing: Repository) -> None:
    """It gets an environment of its own, as its commit has pinned it."""
    requirements = (proposing.folder / "requirements/pipeline.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^tqdm==(\S+)", requirements, re.MULTILINE)
    assert pinned
    edit(proposing, "requirements/pipeline.txt", pinned[0], "tqdm==4.0.0")
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    report = propose(proposing, passed=True)
    assert report.startswith("## ✅ Better than the model in production\n")
    assert f"| `tqdm` | `{pinned[1]}` | `4.0.0` |" in report
    (python,) = (proposing.folder / "artifacts/champion").glob("*/.venv/bin/python")
    said = proposing.must(str(python), "-c", "import tqdm; print(tqdm.__version__, tqdm.__file__)")
    assert said.startswith(pinned[1])
    assert str(python.parent.parent) in said


def test_champion_that_cannot_be_brought_up(proposing: Repository) -> None:
    """Whatever is not compared is not let through."""
    proposing.must("git", "switch", "--quiet", "main")
    edit(proposing, "requirements/pipeline.txt", "tqdm==", "no-such-package-as-this==")
    proposing.commit("Requirements that cannot be had")
    proposing.must("git", "switch", "--quiet", "proposal")
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    report = propose(proposing, "--base", "main", passed=False)
    assert report.startswith("## ❌ Not to be merged. Comparable with the model in production: it cannot be brought up")
    assert "**The champion cannot be brought up**:" in report
    assert "no-such-package-as-this" in report


def test_registry_that_does_not_answer(proposing: Repository) -> None:
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    done = proposing.run("python", "-m", "model.proposal", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 0, done.stdout
    report = (proposing.folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")
    assert "the model of the base commit; the registry did not answer" in report
    assert "MLflow run" not in done.stdout
    page = (proposing.folder / "artifacts/proposal/plots.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 5
    for text in ("Better than the model in production", "calibration", ">champion<", ">candidate<"):
        assert text in page
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)


def test_commit_that_there_is_not(proposing: Repository) -> None:
    done = proposing.run("python", "-m", "model.proposal", "--base", "nowhere; touch x")
    assert done.returncode == 1
    assert "nowhere; touch x is no commit of this repository" in done.stdout
    assert not (proposing.folder / "x").exists()
