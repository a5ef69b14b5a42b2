"""`make rehearse`: run the real workflows on this working tree, without GitHub.

With main in production, it proposes, judges, comments, merges, releases and deploys the working tree, requests a
prediction, and rolls production back.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from lifecycle.proposal.comment import ARTIFACT, FILE
from lifecycle.shared import console
from lifecycle.shared.commands import git
from lifecycle.shared.console import CommandError, UserError
from tests.github.pull_request import RUN, PullRequest, zipped
from tests.github.server import GitHub, github
from tests.lifecycle.missing import in_words, missing
from tests.lifecycle.registry.commands import table
from tests.lifecycle.repository import ROOT, Repository
from tests.lifecycle.workflows.act import STAND_INS, Rehearsal, rehearse
from tests.lifecycle.workflows.fork import Fork, fork_of

_FOLDER = ROOT / "artifacts/rehearsal"
_ACCEPTED, _REFUSED = 0, 1


def propose(origin: Path, server: GitHub, folder: Path) -> tuple[Rehearsal, str]:
    """Open a pull request from the branch `proposal`, and return the run of propose.yml and the comment.

    Raises:
        UserError: If propose.yml leaves no report, or comment.yml writes no comment.
    """
    proposed = PullRequest(origin)
    proposed.open(server)
    judged = rehearse("propose.yml:model", proposed.proposed(), origin, server, folder, STAND_INS / "bin")
    report = judged.artifacts / ARTIFACT
    if not (report / FILE).exists():
        raise UserError(f"propose.yml left no report:\n{judged.output}")
    server.artifacts[RUN, ARTIFACT, 1] = zipped(report)
    event = proposed.judged("success" if judged.passed else "failure")
    commented = rehearse("comment.yml:comment", event, origin, server, folder, STAND_INS / "bin")
    if not server.comments:
        raise UserError(f"comment.yml wrote no comment:\n{commented.output}")
    (comment,) = server.comments[proposed.number]
    return judged, comment["body"]


def origin_of(root: Path, folder: Path) -> Repository:
    """Create a repository that stands in for the one on GitHub.

    Its branches are main and `proposal`, which has the files of a working tree, including uncommitted ones.

    Raises:
        UserError: If there is no branch main.
    """
    in_root = ("-C", str(root))
    main = next((name for name in ("origin/main", "main") if _has_branch(root, name)), None)
    if main is None:
        raise UserError("there is no branch main to propose to.")
    folder.mkdir(parents=True)
    index = {"GIT_INDEX_FILE": str(folder.parent / "index")}
    git(*in_root, "read-tree", "HEAD", **index)
    git(*in_root, "add", "--all", **index)
    tree = git(*in_root, "write-tree", **index).strip()
    identity = {f"GIT_{role}_{key}": "rehearsal" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    commit = git(*in_root, "commit-tree", tree, "-p", "HEAD", "-m", "The working tree", **identity).strip()
    git("init", "--quiet", "--initial-branch", "empty", str(folder))
    git(*in_root, "push", "--quiet", str(folder), f"{main}:refs/heads/main", f"{commit}:refs/heads/proposal")
    git("-C", str(folder), "checkout", "--quiet", "proposal")
    # Share the DVC cache, so that finished stages do not run again.
    (root / ".dvc/cache").mkdir(exist_ok=True)
    (folder / ".dvc/cache").symlink_to(root / ".dvc/cache")
    return Repository(folder)


def _has_branch(root: Path, branch: str) -> bool:
    try:
        return bool(git("-C", str(root), "rev-parse", "--verify", "--quiet", branch))
    except CommandError:
        return False


def rehearse_merge_and_rollback(fork: Fork, report: Callable[[str], None]) -> None:
    """Rehearse the steps after the proposal: merge, release, prediction, rollback.

    Args:
        fork: Fork in production, with the branch `proposal`.
        report: Called with a line about each step.

    Raises:
        UserError: If a workflow fails.
    """
    before, _ = fork.running()
    fork.main.must("git", "checkout", "--quiet", "--detach", "main")
    fork.main.must("git", "merge", "--quiet", "--no-ff", "--message", "Merge pull request #7", "proposal")
    fork.push()
    report("release.yml: train, compare, build, register and deploy the merge")
    _must(fork.release())
    after, commit = fork.running()
    if after == before:
        report("no new version, because model and service are the same as in production")
        return
    report(f"production answers with version {after}, of commit {commit[:12]}: {fork.predict()}")
    report(f"rollback.yml: roll back to version {before}")
    _must(fork.rollback(before, "rehearsed"))
    report(f"production answers with version {fork.running()[0]}: {fork.predict()}")


def _must(result: Rehearsal) -> None:
    if not result.passed:
        raise UserError(f"the workflow failed:\n{result.output}")


def main() -> None:
    """Run the rehearsal; the exit status is that of the check `model`."""
    only_proposal = bool(os.environ.get("ONLY_PROPOSAL"))
    if not only_proposal and (lacking := missing("release")):
        raise UserError(f"{in_words(lacking)}\nOr `make rehearse ONLY_PROPOSAL=1`, which ends with the comment.")
    shutil.rmtree(_FOLDER, ignore_errors=True)
    started = time.monotonic()

    def report(step: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {step}", flush=True)

    origin = origin_of(ROOT, _FOLDER / "origin")
    with ExitStack() as stack:
        server = stack.enter_context(github())
        fork = None if only_proposal else stack.enter_context(fork_of(origin, server, _FOLDER))
        if fork:
            report("release.yml: deploy main to production")
            _must(fork.release())
        report("propose.yml and comment.yml: propose the working tree")
        judged, comment = propose(origin.folder, server, _FOLDER)
        path = _FOLDER / "comment.md"
        path.write_text(comment, encoding="utf-8")
        result = "pass" if judged.passed else "fail"
        print(f"\n{comment}\n\nThis is the comment on the pull request: {path.relative_to(ROOT)}. The artifacts are in")
        print(f"the same directory. The check `model` would {result}. Run `make check` for the other check, `code`.\n")
        if fork and judged.passed:
            rehearse_merge_and_rollback(fork, report)
            print("", *table(origin, "history"), sep="\n")
    sys.exit(_ACCEPTED if judged.passed else _REFUSED)


if __name__ == "__main__":
    console.run_main(main)
