"""`make propose` in real repositories."""

import re

from tests.repository import Repository, change_params, with_estimator


def propose(repository: Repository, *arguments: str, passed: bool | None) -> str:
    """The report; `passed` says what the exit status has to say, None that either is right."""
    done = repository.run("python", "-m", "model.proposal", *arguments)
    assert passed is None or (done.returncode == 0) == passed, done.stdout
    report = (repository.folder / "artifacts/proposal/report.md").read_text(encoding="utf-8")
    if "could not be made" not in report:
        assert "Traceback" not in done.stdout, done.stdout
        assert report.splitlines()[0].removeprefix("## ") in done.stdout
    return report


def head(repository: Repository) -> str:
    return repository.must("git", "rev-parse", "--short=12", "HEAD").strip()


def test_better_model(proposing: Repository) -> None:
    champion = head(proposing)
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    report = propose(proposing, passed=True)
    assert report.startswith("## ✅ Better than the model in production\n")
    assert f"Champion: `{champion}`, the model of the base commit" in report
    assert "on the same 3,000 of these rows, none of which either was trained on" in report
    assert re.search(r"\| ROC AUC ↑ \| 0\.\d{4} \| 0\.\d{4} \| \+0\.\d{4} \| .* \| 🟢 better \|", report)
    assert "| `hyperparameters.hist_gradient_boosting.max_iter` | `5` | `60` |" in report
    assert report.count("```mermaid") == 2
    assert "not what these sources give" in report
    # Made in an editor on the web, or committed with what came out of it: the same report, but for its lock.
    proposing.commit("Trained")
    again = propose(proposing, "--base", "main", passed=True)
    assert "confirmed: the same outputs, bit for bit" in again
    assert again.split("<details>")[0] == report.split("<details>")[0]


def test_worse_model_and_a_regression_that_is_accepted(proposing: Repository) -> None:
    change_params(proposing, **with_estimator(proposing, min_samples_leaf=3000))
    report = propose(proposing, passed=False)
    assert report.startswith("## ❌ Not to be merged. ROC AUC worse than the champion's by at most 0.02: worse: -0.")
    assert "The label `accept-regression`" in report
    accepted = propose(proposing, "--accepted-by", "@some|one", passed=True)
    assert accepted.startswith("## ⚠️ Accepted with a regression by `@some¦one`: ROC AUC worse")


def test_nothing_changes(proposing: Repository) -> None:
    (proposing.folder / "README.md").write_text("Other words\n", encoding="utf-8")
    proposing.commit("Words")
    report = propose(proposing, passed=True)
    assert report.startswith("## ✅ The model does not change\n")
    assert "Merging makes no new version." in report
    assert not (proposing.folder / "artifacts/champion").exists()


def test_a_new_month(proposing: Repository) -> None:
    """Data only: the window moves on, and rows that it now has are no part of the comparison."""
    change_params(
        proposing,
        window={"first": "2013-01", "last": "2013-03"},
        holdout={"first": "2013-04", "last": "2013-04"},
    )
    report = propose(proposing, passed=None)
    assert "judged on 2013-04: 3,000 rows" in report
    assert "| 2013-03 | - | 3,000 |" in report
    assert "Drift between the two training sets" in report


def test_rows_that_the_champion_was_trained_on(proposing: Repository) -> None:
    change_params(
        proposing,
        window={"first": "2013-01", "last": "2013-01"},
        holdout={"first": "2013-02", "last": "2013-03"},
        **with_estimator(proposing, max_iter=60, learning_rate=0.05),
    )
    report = propose(proposing, passed=None)
    assert "on the same 3,000 of these rows (without 3,000 that the champion was trained on)" in report


def replace(repository: Repository, path: str, old: str, new: str) -> None:
    file = repository.folder / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_contract_that_the_champion_does_not_know(proposing: Repository) -> None:
    """It is asked with its own code, and refuses what its own contract does not allow."""
    replace(
        proposing, "model/contract.py", 'categories=("EWR", "JFK", "LGA")', 'categories=("EWR", "JFK", "LGA", "HPN")'
    )
    month = (
        "import pyarrow.parquet as q; t = q.read_table(p := 'data/2013-03.parquet'); i = t.column_names.index('origin')"
    )
    rename = "q.write_table(t.set_column(i, t.field(i), [['HPN'] * 5 + t.column(i).to_pylist()[5:]]), p)"
    proposing.must("python", "-c", f"{month}; {rename}")
    report = propose(proposing, passed=True)
    assert "**The champion cannot score these rows**, so only the floors are judged" in report
    assert "origin: must be one of EWR, JFK, LGA (5 rows; first: row 0: HPN" in report
    assert report.startswith("## ✅ Meets every floor; the champion cannot be compared with it\n")


def test_column_that_the_champion_needs_and_these_rows_do_not_have(proposing: Repository) -> None:
    text = (proposing.folder / "model/contract.py").read_text(encoding="utf-8")
    column = re.search(r'    Column\(\n        name="visibility",.*?\n    \),\n', text, re.DOTALL)
    assert column
    replace(proposing, "model/contract.py", column[0], "")
    replace(proposing, "model/features.py", '    "visibility",\n', "")
    for month in ("2013-01", "2013-02", "2013-03", "2013-04"):
        path = f"data/{month}.parquet"
        code = (
            f"import pyarrow.parquet as q; q.write_table(q.read_table('{path}').drop_columns('visibility'), '{path}')"
        )
        proposing.must("python", "-c", code)
    report = propose(proposing, passed=True)
    assert "it needs columns that these rows do not have: visibility" in report


def test_training_that_crashes(proposing: Repository) -> None:
    replace(
        proposing,
        "model/features.py",
        "    departure = columns",
        "    raise RuntimeError('```# @all')\n    departure = columns",
    )
    report = propose(proposing, passed=False)
    assert report.startswith("## ❌ The model could not be made\n")
    assert "RuntimeError: '''# @all" in report
    assert report.rstrip().endswith("```")


def test_base_without_a_model(proposing: Repository) -> None:
    """The first proposal of all."""
    proposing.must("git", "rm", "--quiet", "--cached", "dvc.lock")
    proposing.must("git", "commit", "--quiet", "--message", "No model")
    report = propose(proposing, "--base", "HEAD", passed=True)
    assert report.startswith("## ✅ Meets every floor; there is no champion to compare it with\n")
    assert "No champion: `that commit has no trained model yet`" in report
    assert "No `dvc.lock` is committed" in report


def test_registered_champion_that_is_older_than_main(proposing: Repository) -> None:
    """Rolled back: production has the first model, whatever main has."""
    first = proposing.must("git", "rev-parse", "main~1").strip()
    code = (
        "import mlflow; from model import contract; from model.pipeline.track import tracking_uri as t\n"
        "c = mlflow.MlflowClient(t(), t()); c.create_registered_model(contract.NAME)\n"
        f"v = c.create_model_version(contract.NAME, 'file:///none', tags={{'commit': '{first}'}})\n"
        "c.set_registered_model_alias(contract.NAME, 'champion', v.version)"
    )
    proposing.must("python", "-c", code)
    report = propose(proposing, passed=True)
    assert f"Champion: `{first[:12]}`, version 1 of the registry" in report
    assert not report.startswith("## ✅ The model does not change")


def test_commit_that_there_is_not(proposing: Repository) -> None:
    done = proposing.run("python", "-m", "model.proposal", "--base", "nowhere; touch x")
    assert done.returncode == 1
    assert "nowhere; touch x is no commit of this repository" in done.stdout
    assert not (proposing.folder / "x").exists()


HOSTILE = [
    "@everyone",
    "<img src=x onerror=alert(1)>",
    "`](example.org) closes #1",
    "a|b|c",
    "\u202e\u200bfixes #2",
]


def test_files_with_hostile_names(proposing: Repository) -> None:
    for text in HOSTILE:
        (proposing.folder / text).write_text("x\n", encoding="utf-8")
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    proposing.commit("`@everyone` <b>")
    report = propose(proposing, passed=True)
    assert f"What changes: 2 parameters, {len(HOSTILE)} files<" in report
    lines = [line for line in report.splitlines() if line.endswith("| 1 | 0 |")]
    assert len(lines) == len(HOSTILE)
    for line in lines:
        assert re.fullmatch(r"\| `[^`|]+` \| 1 \| 0 \|", line)
        assert line.isprintable()
