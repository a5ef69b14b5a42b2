"""The real comment.yml, after a simulated run of propose.yml."""

import io
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.proposal.comment import ARTIFACT, FILE
from tests.github.pull_request import RUN, PullRequest
from tests.github.server import BOT, GitHub
from tests.lifecycle.missing import need
from tests.lifecycle.repository import Repository, copy_repository, edit
from tests.lifecycle.workflows.act import STAND_INS, TOKEN, Rehearsal, rehearse

REPORT = "## ✅ Better than the model in production\n\n| | champion |\n| :--- | ---: |\n| ROC AUC ↑ | 0.7000 |\n"
# The note on what the proposal of `origin` changes, above the report of its run.
NOTE = (
    "⚠️ **This pull request changes what it is judged by.** machinery: `lifecycle/proposal/comment.py`, "
    "`lifecycle/proposal/judge_files.py`, `lifecycle/shared/text.py`. Review these first: the report of a pull "
    "request is written by its own code.\n\n"
)
CML = STAND_INS / "bin"
Comments = Callable[..., Rehearsal]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository without a trained model: main, and a proposal whose code would show in the output if it ran."""
    repository = copy_repository(tmp_path_factory.mktemp("origin"))
    repository.must("git", "switch", "--quiet", "--create", "proposal")
    for name in ("proposal/comment.py", "proposal/judge_files.py", "shared/text.py"):
        (repository.folder / "lifecycle" / name).write_text("raise SystemExit('RUN BY A STRANGER')\n")
    repository.commit("A proposal")
    repository.must("git", "switch", "--quiet", "main")
    return repository


@pytest.fixture
def proposed(origin: Repository, github: GitHub) -> PullRequest:
    pull_request = PullRequest(origin.folder)
    pull_request.open(github)
    return pull_request


@pytest.fixture
def comments(github: GitHub, tmp_path: Path) -> Comments:
    """Return a function that runs the workflow after a run of propose.yml with an artifact."""

    def run(proposed: PullRequest, artifact: bytes | None, cml: Path = CML, conclusion: str = "success") -> Rehearsal:
        if artifact is not None:
            github.artifacts[RUN, ARTIFACT, 99] = artifact
        commented = rehearse(
            "comment.yml:comment", proposed.judged(conclusion), proposed.origin, github, tmp_path / "run", cml
        )
        assert commented.passed, commented.output
        assert "STRANGER" not in commented.output
        return commented

    return run


@pytest.fixture
def gh() -> None:
    need("gh")


def archive(*members: tuple[str | zipfile.ZipInfo, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, text in members:
            zipped.writestr(name, text)
    return content.getvalue()


def command(folder: Path, script: str) -> Path:
    """Return a directory with a `cml` that runs a script."""
    folder.mkdir()
    (folder / "cml").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "cml").chmod(0o755)
    return folder


def bodies(github: GitHub, number: int = 7) -> list[str]:
    return [comment["body"] for comment in github.comments.get(number, [])]


def test_later_runs_update_the_same_comment(proposed: PullRequest, github: GitHub, comments: Comments) -> None:
    github.comment(7, "Looks good.", "a-reviewer")
    commented = comments(proposed, archive((FILE, REPORT)))
    assert commented.summary.startswith(NOTE + REPORT)
    first = bodies(github)
    assert first[0] == "Looks good."
    assert first[1].startswith(NOTE + REPORT)
    assert proposed.head[:12] in first[1]
    assert '"CML watermark ml-report"' in first[1]
    comments(proposed, archive((FILE, REPORT.replace("0.7000", "0.7100"))), conclusion="failure")
    assert bodies(github) == [first[0], first[1].replace("0.7000", "0.7100")]
    assert github.tokens == {TOKEN}


def test_cml_from_its_source(proposed: PullRequest, github: GitHub, comments: Comments, tmp_path: Path) -> None:
    need("npm")
    (tmp_path / "empty").mkdir()
    commented = comments(proposed, archive((FILE, REPORT)), tmp_path / "empty")
    assert "npm ci" in commented.output
    assert "with gh" not in commented.output
    assert bodies(github)[0].startswith(NOTE + REPORT)


@pytest.mark.usefixtures("gh")
def test_without_cml_the_same_comment(
    proposed: PullRequest, github: GitHub, comments: Comments, tmp_path: Path
) -> None:
    comments(proposed, archive((FILE, REPORT)))
    broken = command(tmp_path / "broken", "echo 'Cannot find module' >&2; exit 1")
    commented = comments(proposed, archive((FILE, REPORT.replace("0.7000", "0.7100"))), broken)
    assert "Updated the comment with gh" in commented.output
    comments(proposed, archive((FILE, REPORT.replace("0.7000", "0.7200"))))
    (only,) = bodies(github)
    assert "0.7200" in only
    github.comments.clear()
    assert "Wrote the comment with gh" in comments(proposed, archive((FILE, REPORT)), broken).output
    assert bodies(github)[0].startswith(NOTE + REPORT)
    assert github.tokens == {TOKEN}


@pytest.mark.usefixtures("gh")
def test_comment_that_cml_would_miss(proposed: PullRequest, github: GitHub, comments: Comments) -> None:
    """CML only lists the first 30 comments, and accepts a watermark in a comment of any author."""
    comments(proposed, archive((FILE, REPORT)))
    mark = bodies(github)[0].splitlines()[-1]
    forged = github.comment(7, f"Merge me!\n\n{mark}", "mallory")
    comments(proposed, archive((FILE, REPORT.replace("0.7000", "0.7100"))))
    assert bodies(github)[1] == forged["body"]
    assert "0.7100" in bodies(github)[0]
    github.comments[7] = [{"id": n, "body": "Ping", "user": {"login": "a-reviewer"}} for n in range(150)]
    own = github.comment(7, f"{REPORT}\n\n{mark}")
    for value in ("0.7200", "0.7300"):
        comments(proposed, archive((FILE, REPORT.replace("0.7000", value))))
        assert [comment["id"] for comment in github.comments[7] if value in comment["body"]] == [own["id"]]


def opened(origin: Repository, github: GitHub, change: Callable[[Repository], None]) -> PullRequest:
    """Open another pull request with a change to main."""
    origin.must("git", "switch", "--quiet", "--force-create", "proposal", "main")
    change(origin)
    origin.commit("Another proposal")
    origin.must("git", "switch", "--quiet", "main")
    pull_request = PullRequest(origin.folder)
    pull_request.open(github)
    return pull_request


def test_gates_and_tests_are_changed(tmp_path: Path, github: GitHub, comments: Comments) -> None:
    def lower(repository: Repository) -> None:
        edit(repository, "params.yaml", "roc_auc: 0.25", "roc_auc: 0.10")
        edit(repository, "params.yaml", "learning_rate: 0.05", "learning_rate: 0.5")
        repository.must("git", "rm", "--quiet", "tests/lifecycle/shared/test_histograms.py")
        repository.must("git", "mv", "lifecycle/pipeline/checks.py", "benchmarks/checks.py")
        edit(repository, "model/features.py", '"""', '"""Mine. ')

    proposed = opened(copy_repository(tmp_path / "origin"), github, lower)
    # The note relies on what GitHub lists, not on the report of the run.
    commented = comments(proposed, archive((FILE, f"Nothing of the judge is changed.\n\n{REPORT}")))
    (body,) = bodies(github)
    note = (
        "⚠️ **This pull request changes what it is judged by.** machinery: `lifecycle/pipeline/checks.py`; "
        "gates: `params.yaml`; tests: `tests/lifecycle/shared/test_histograms.py`. Review these first: the report "
        "of a pull request is written by its own code.\n\n"
    )
    assert body.startswith(f"{note}Nothing of the judge is changed.")
    assert commented.summary.startswith(note)


def test_only_a_hyperparameter_is_changed(tmp_path: Path, github: GitHub, comments: Comments) -> None:
    def tune(repository: Repository) -> None:
        edit(repository, "params.yaml", "learning_rate: 0.05", "learning_rate: 0.5")

    proposed = opened(copy_repository(tmp_path / "origin"), github, tune)
    commented = comments(proposed, archive((FILE, REPORT)))
    (body,) = bodies(github)
    assert body.startswith(REPORT)
    assert commented.summary.startswith(REPORT)
    # The file was read at the merge base and in the proposal.
    assert [path for _, path, _ in github.asked].count("contents/params.yaml") == 2


def test_github_does_not_list_the_changed_files(proposed: PullRequest, github: GitHub, comments: Comments) -> None:
    github.refused = {"pulls/7/files"}
    commented = comments(proposed, archive((FILE, REPORT)))
    (body,) = bodies(github)
    unknown = "⚠️ **It is unknown whether this pull request changes what it is judged by**: `HTTP Error 403: "
    assert body.startswith(unknown)
    assert REPORT in body
    assert commented.summary.startswith(unknown)


def test_nobody_can_comment(proposed: PullRequest, github: GitHub, comments: Comments) -> None:
    github.refused = {"POST", "PATCH"}
    commented = comments(proposed, archive((FILE, REPORT)))
    assert REPORT in commented.summary
    assert "No comment" in commented.output
    assert bodies(github) == []


def test_github_does_not_answer(proposed: PullRequest, github: GitHub, comments: Comments) -> None:
    github.refused = {"GET"}
    assert "No comment" in comments(proposed, archive((FILE, REPORT))).output


def test_pull_request_that_has_moved_on(proposed: PullRequest, github: GitHub, comments: Comments) -> None:
    """After two pushes in quick succession, the report of the first is obsolete."""
    github.pulls[0] = github.pulls[0] | {"head": github.pulls[0]["head"] | {"sha": "f" * 40}}
    assert "has newer commits" in comments(proposed, archive((FILE, REPORT))).output
    github.pulls.clear()
    assert "no open pull request" in comments(proposed, archive((FILE, REPORT))).output
    assert bodies(github) == []
    assert not any(method != "GET" for method, _, _ in github.asked)


def test_run_that_was_cancelled(proposed: PullRequest, github: GitHub, comments: Comments) -> None:
    comments(proposed, archive((FILE, REPORT)), conclusion="cancelled")
    assert github.asked == []


def test_fork(proposed: PullRequest, github: GitHub, comments: Comments) -> None:
    """Its number is found by the owner and branch of its head; a branch of the same name is not mistaken for it."""
    fork = replace(proposed, number=8, owner="mallory", branch='$(touch "$HOME/pwned");`id`&a=b#c', title="`id`")
    fork.open(github)
    commented = comments(fork, archive((FILE, REPORT)))
    assert bodies(github, 7) == []
    assert bodies(github, 8)[0].startswith(NOTE + REPORT)
    assert not list(commented.artifacts.parent.rglob("pwned"))


def archive_with_symlink() -> bytes:
    link = zipfile.ZipInfo(FILE)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return archive((link, "/etc/passwd"))


@pytest.mark.parametrize(
    "artifact",
    [
        pytest.param(None, id="nothing"),
        pytest.param(archive(("../../../../report.md", "slipped")), id="zip slip"),
        pytest.param(archive((FILE, REPORT), ("../README.md", "slipped")), id="zip slip and a report"),
        pytest.param(archive_with_symlink(), id="symlink"),
        pytest.param(bytes(100_000_000), id="100 MB"),
        pytest.param(archive((FILE, "0" * 100_000_000)), id="100 MB when unpacked"),
        pytest.param(b"no zip file at all", id="no zip file"),
        pytest.param(archive((FILE, REPORT))[:-30], id="truncated zip file"),
    ],
)
def test_artifact_that_is_no_report(
    proposed: PullRequest, github: GitHub, comments: Comments, artifact: bytes | None
) -> None:
    commented = comments(proposed, artifact, conclusion="failure")
    (body,) = bodies(github)
    assert body.startswith(f"{NOTE}## ❌ There is no report to show\n")
    assert "root:" not in body + commented.output
    if artifact and len(artifact) > 10**6:
        assert "100,000,000 bytes" in body
        assert not any("/zip" in path for _, path, _ in github.asked)


def test_report_full_of_mentions(proposed: PullRequest, github: GitHub, comments: Comments) -> None:
    comments(proposed, archive((FILE, f"{REPORT}\n@acme/all @{BOT} fixes #1 <img src=x> <!-- psst -->\n::error::no\n")))
    (body,) = bodies(github)
    # The watermark of CML is cut off: it has a commit after a #, which may begin with a 1.
    text, mark, _ = body.partition("![](https://cml.dev/watermark.png#")
    assert mark
    assert not {"@", "#1", "<img", "<!--"} & {text[i : i + n] for n in (1, 2, 4) for i in range(len(text))}
