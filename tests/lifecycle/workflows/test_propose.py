"""The real propose.yml and comment.yml for simulated pull requests: the check, the report and the comment."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.proposal.accepted import LABEL
from lifecycle.proposal.comment import ARTIFACT, FILE
from lifecycle.shared.parts import part_files
from tests.github.pull_request import RUN, PullRequest, zipped
from tests.github.server import GitHub
from tests.lifecycle.repository import GATES, MONTHS, Repository, change_params, edit, with_estimator
from tests.lifecycle.workflows.act import STAND_INS, TOKEN, Rehearsal, rehearse


@dataclass
class Judged:
    """The result of a pull request.

    Attributes:
        passed: Whether the check `model` passed.
        output: Output of propose.yml.
        report: Report that propose.yml uploaded.
        comment: Comment on the pull request.
    """

    passed: bool
    output: str
    report: str
    comment: str


Judge = Callable[..., Judged]


@pytest.fixture
def judge(proposing: Repository, github: GitHub, tmp_path: Path) -> Judge:
    """Return a function that runs both workflows for the newest commit of a pull request."""

    def play(pull_request: PullRequest | None = None, **variables: str) -> Judged:
        opened = pull_request or PullRequest(proposing.folder)
        opened.open(github)
        judged = run("propose.yml:model", opened.proposed(), **variables)
        report = (judged.artifacts / ARTIFACT / FILE).read_text(encoding="utf-8")
        assert report.strip() in judged.summary
        conclusion = "success" if judged.passed else "failure"
        github.artifacts[RUN, ARTIFACT, 1] = zipped(judged.artifacts / ARTIFACT)
        commented = run("comment.yml:comment", opened.judged(conclusion))
        assert commented.passed, commented.output
        (comment,) = github.comments[opened.number]
        return Judged(judged.passed, judged.output, report, comment["body"])

    def run(job: str, event: dict[str, object], **variables: str) -> Rehearsal:
        return rehearse(job, event, proposing.folder, github, tmp_path / "run", STAND_INS / "bin", **variables)

    return play


def better(repository: Repository) -> None:
    change_params(repository, **with_estimator(repository, max_iter=60, learning_rate=0.05))


def commit_of(repository: Repository, name: str) -> str:
    return repository.must("git", "rev-parse", name).strip()


def test_better_model(proposing: Repository, judge: Judge, github: GitHub) -> None:
    """A pull request with one edited line in params.yaml: its dvc.lock is still that of main."""
    better(proposing)
    proposing.commit("More rounds")
    first = judge()
    assert first.passed, first.output
    assert first.comment.startswith("## ✅ Better than the model in production\n")
    assert f"Champion: `{commit_of(proposing, 'main')[:12]}`, the model of the base commit" in first.comment
    assert "on the same 3,000 rows, and neither was trained on any of them" in first.comment
    assert re.search(r"\| \*\*ROC AUC\*\* ↑ \| 0\.\d{4} \| 0\.\d{4} \| \+0\.\d{4} \| .* \| 🟢 better \|", first.comment)
    assert "| `hyperparameters.hist_gradient_boosting.max_iter` | `5` | `60` |" in first.comment
    assert first.comment.count("```mermaid\n") == 2
    assert "The committed `dvc.lock` is out of date" in first.comment
    assert first.comment.startswith(first.report.rstrip())
    assert not any(method != "GET" for method, path, _ in github.asked if "comments" not in path)


# test_reproduced.py tests that an unchanged lock is confirmed, and test_comment.py that there is only one comment.
@pytest.mark.long
def test_better_model_and_then_its_lock(proposing: Repository, judge: Judge) -> None:
    """With the lock committed, the comment is updated and its statements about the model stay the same."""
    better(proposing)
    proposing.commit("More rounds")
    first = judge()
    proposing.must("python", "-m", "lifecycle.pipeline", "--untracked")
    proposing.commit("Trained")
    second = judge()
    assert "confirmed: the outputs are the same, bit for bit" in second.comment
    assert second.comment.split("<details>")[0] == first.comment.split("<details>")[0]


def test_worse_model_and_a_label(proposing: Repository, judge: Judge, github: GitHub) -> None:
    """The gates of main judge a proposal, also if it loosens its own."""
    loose = GATES | {"worse_by_at_most": {"roc_auc": 0.9}, "slices_worse_by_at_most": {}}
    change_params(proposing, gates=loose, **with_estimator(proposing, min_samples_leaf=3000))
    proposing.commit("No splits")
    judged = judge()
    assert not judged.passed
    note, _, report = judged.comment.partition("\n## ")
    assert "**This pull request changes what it is judged by.**" in note
    assert "gates: `params.yaml`" in note
    assert re.match(r"❌ Do not merge: ROC AUC fell by 0\.\d{3} \(95% CI .*; at most 0\.02 is allowed", report)
    assert "It is judged by the gates of its base. By its own gates it would pass." in report
    assert "A maintainer can let it pass with the label `accept-regression`." in judged.comment
    github.answers["issues/7/events"] = [
        {"event": "labeled", "label": {"name": LABEL}, "actor": {"login": "maintainer"}}
    ]
    judged = judge(PullRequest(proposing.folder, labels=(LABEL,)))
    assert judged.passed, judged.output
    assert "\n## ⚠️ Accepted with a regression by `maintainer`: ROC AUC fell by 0." in judged.comment
    assert github.tokens == {TOKEN}


@pytest.mark.long
def test_nothing_changes(proposing: Repository, judge: Judge) -> None:
    (proposing.folder / "README.md").write_text("Other words\n", encoding="utf-8")
    proposing.commit("Words")
    judged = judge()
    assert judged.passed, judged.output
    assert judged.comment.startswith("## ✅ The model does not change\n")
    assert "Merging creates no new version, unless the service changes." in judged.comment
    assert "Running stage 'train'" not in judged.output


# The reports of such proposals are tested without workflows in tests/lifecycle/proposal.
@pytest.mark.long
def test_a_new_month(proposing: Repository, small: Path, judge: Judge) -> None:
    """New data: window and holdout move by a month."""
    shutil.copy(part_files(MONTHS[-1], small)[0], proposing.folder / "data")
    proposing.must("dvc", "add", "--quiet", "data")
    proposing.must("dvc", "push", "--quiet", "data.dvc")
    window, holdout = ({"first": first, "last": last} for first, last in ((MONTHS[0], MONTHS[2]), (MONTHS[3],) * 2))
    change_params(proposing, window=window, holdout=holdout)
    proposing.commit("A month later")
    judged = judge()
    assert "judged on 2013-04: 3,000 rows" in judged.comment
    assert "on the same 3,000 rows, and neither was trained on any of them" in judged.comment
    assert "| 2013-02 | 3,000 | 3,000 |\n| 2013-03 | - | 3,000 |" in judged.comment
    assert "Drift between the two training sets" in judged.comment


@pytest.mark.long
def test_edited_holdout(proposing: Repository, judge: Judge) -> None:
    """The holdout of main judges a proposal, and the report names the edits."""
    edit(proposing, "model/contract.py", '("EWR", "JFK", "LGA")', '("EWR", "JFK", "LGA", "HPN")')
    month = (
        "import pyarrow.parquet as q; t = q.read_table(p := 'data/2013-03.parquet'); i = t.column_names.index('origin')"
    )
    rename = "q.write_table(t.set_column(i, t.field(i), [['HPN'] * 5 + t.column(i).to_pylist()[5:]]), p)"
    proposing.must("python", "-c", f"{month}; {rename}")
    proposing.must("dvc", "add", "--quiet", "data")
    proposing.must("dvc", "push", "--quiet", "data.dvc")
    proposing.commit("Another airport")
    judged = judge()
    assert judged.passed, judged.output
    assert judged.comment.startswith("## ✅ No worse than the model in production\n")
    assert "**This proposal changes the data that it is judged on.** `2013-03` (holdout): 5 rows" in judged.comment
    assert "on the same 3,000 rows, and neither was trained on any of them" in judged.comment


@pytest.mark.long
def test_holdout_inside_of_the_champion_s_window(proposing: Repository, judge: Judge) -> None:
    """A proposal that cannot be compared fails."""
    window, holdout = ({"first": month, "last": month} for month in MONTHS[:2])
    change_params(proposing, window=window, holdout=holdout)
    proposing.commit("January alone")
    judged = judge()
    assert not judged.passed
    assert judged.comment.startswith("## ❌ Do not merge: it cannot be compared with the model in production\n")
    assert "none of the 3,000 rows of 2013-02 is left to compare the models" in judged.comment


@pytest.mark.long
def test_first_model(proposing: Repository, judge: Judge) -> None:
    """There is no registry, no model on main and no lock in the proposal."""
    proposing.must("git", "switch", "--quiet", "main")
    proposing.must("git", "rm", "--quiet", "dvc.lock")
    proposing.must("git", "commit", "--quiet", "--message", "No model yet")
    proposing.must("git", "switch", "--quiet", "--force-create", "proposal", "main")
    better(proposing)
    proposing.commit("The first model")
    judged = judge()
    assert judged.passed, judged.output
    assert judged.comment.startswith("## ✅ Meets every floor; there is no champion to compare it with\n")
    assert "No champion: `that commit has no trained model yet`" in judged.comment
    assert "No `dvc.lock` is committed" in judged.comment


@pytest.mark.long
def test_champion_that_was_rolled_back(proposing: Repository, judge: Judge, tmp_path: Path) -> None:
    """The registry names the first model as champion, although main has a newer one."""
    first = commit_of(proposing, "main~1")
    registry = f"sqlite:///{tmp_path}/registry.db"
    code = (
        "import mlflow; from model import contract\n"
        f"c = mlflow.MlflowClient({registry!r}, {registry!r}); c.create_registered_model(contract.NAME)\n"
        f"v = c.create_model_version(contract.NAME, 'file:///none', tags={{'commit': '{first}'}})\n"
        "c.set_registered_model_alias(contract.NAME, 'champion', v.version)"
    )
    proposing.must("python", "-c", code)
    (proposing.folder / "README.md").write_text("Other words\n", encoding="utf-8")
    proposing.commit("Words: main's model, which is not in production")
    judged = judge(MLFLOW_TRACKING_URI=registry)
    assert judged.passed, judged.output
    assert f"Champion: `{first[:12]}`, version 1 of the registry" in judged.comment
    assert judged.comment.startswith("## ✅ Better than the model in production\n")


@pytest.mark.long
def test_training_that_crashes(proposing: Repository, judge: Judge) -> None:
    edit(
        proposing,
        "model/features.py",
        "    departure = columns",
        "    raise RuntimeError('```# @all, see http://example.org')\n    departure = columns",
    )
    proposing.commit("A mistake")
    judged = judge()
    assert not judged.passed
    assert judged.comment.startswith("## ❌ The pipeline failed\n")
    assert "RuntimeError: '''# @all, see http://example.org" in judged.report
    assert "@all" not in judged.comment
    assert "model/features.py" in judged.comment


def assert_text(comment: str) -> None:
    """Assert that a comment has no active Markdown, except in the last lines, which main's code writes."""
    for active in ("@", "<img", "<!--", "](", "#1", "#2", "\u202e", "\u200b"):
        assert active not in comment.rpartition("\n<sub>Of commit")[0]


def test_hostile_fork(proposing: Repository, judge: Judge, github: GitHub) -> None:
    """Everything that its author chooses is shown as text; it has no access to the caches of this repository."""
    shutil.rmtree(proposing.folder / ".dvc/cache")
    better(proposing)
    for name in ("@everyone", "<img src=x onerror=alert(1)>", "](x) closes #1", "a|b", "\u202e\u200bfixes #2", "$(id)"):
        (proposing.folder / name).write_text("x\n", encoding="utf-8")
    proposing.commit('"; touch pwned; `touch pwned` $(touch pwned) @all')
    fork = PullRequest(
        proposing.folder,
        owner="mallory",
        title='"; touch pwned; `touch pwned` $(touch pwned) @all',
        branch="$(touch${IFS}pwned);`touch${IFS}pwned`",
    )
    judged = judge(fork)
    assert judged.passed, judged.output
    assert "\n## ✅ Better than the model in production\n" in judged.comment
    assert not list(proposing.folder.parent.rglob("pwned"))
    assert_text(judged.comment)
    lines = [line for line in judged.report.splitlines() if line.endswith("| 1 | 0 |")]
    assert len(lines) == 6
    for line in lines:
        assert re.fullmatch(r"\| `[^`|]+` \| 1 \| 0 \|", line)
        assert line.isprintable()
    # The error message quotes the invalid value of params.yaml.
    change_params(proposing, estimator='<img src=x> @acme/all fixes #1 | [x](y) ![x](y)\n<!-- "$(touch pwned)"')
    proposing.commit("Words for parameters")
    refused = judge(fork)
    assert not refused.passed
    assert "params.yaml cannot be used" in refused.comment
    assert_text(refused.comment)
    assert not list(proposing.folder.parent.rglob("pwned"))
    # The jobs of the proposal sent no write requests: these are those of comment.yml.
    assert [path for method, path, _ in github.asked if method != "GET"] == [
        "issues/7/comments",
        "issues/comments/1000",
    ]
