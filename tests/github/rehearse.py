"""`make rehearse`: the story of this working tree, by the real workflows and without GitHub.

Main is in production; the working tree is proposed, judged and commented, merged, released and deployed; it predicts,
and is rolled back.
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
from lifecycle.shared.commands import CommandError, git
from lifecycle.shared.console import UserError
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
    """Open a pull request of the branch `proposal`: what judges it, and the comment that it gets.

    Raises:
        UserError: Where there is no report, or no comment.
    """
    proposed = PullRequest(origin)
    proposed.open(server)
    judged = rehearse("propose.yml:model", proposed.proposed(), origin, server, folder, STAND_INS / "bin")
    report = judged.artifacts / ARTIFACT
    if not (report / FILE).exists():
        raise UserError(f"there is no report:\n{judged.output}")
    server.artifacts[RUN, ARTIFACT, 1] = zipped(report)
    event = proposed.judged("success" if judged.passed else "failure")
    commented = rehearse("comment.yml:comment", event, origin, server, folder, STAND_INS / "bin")
    if not server.comments:
        raise UserError(f"there is no comment:\n{commented.output}")
    (comment,) = server.comments[proposed.number]
    return judged, comment["body"]


def origin_of(root: Path, folder: Path) -> Repository:
    """What stands for the repository at GitHub: main, and a working tree as it is as the branch `proposal`."""
    here = ("-C", str(root))
    main = next((name for name in ("origin/main", "main") if _is_there(root, name)), None)
    if main is None:
        raise UserError("there is no branch main to propose to.")
    folder.mkdir(parents=True)
    index = {"GIT_INDEX_FILE": str(folder.parent / "index")}
    git(*here, "read-tree", "HEAD", **index)
    git(*here, "add", "--all", **index)
    tree = git(*here, "write-tree", **index).strip()
    who = {f"GIT_{role}_{what}": "rehearsal" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    commit = git(*here, "commit-tree", tree, "-p", "HEAD", "-m", "The working tree", **who).strip()
    git("init", "--quiet", "--initial-branch", "empty", str(folder))
    git(*here, "push", "--quiet", str(folder), f"{main}:refs/heads/main", f"{commit}:refs/heads/proposal")
    git("-C", str(folder), "checkout", "--quiet", "proposal")
    # What has been made here need not be made again.
    (root / ".dvc/cache").mkdir(exist_ok=True)
    (folder / ".dvc/cache").symlink_to(root / ".dvc/cache")
    return Repository(folder)


def _is_there(root: Path, branch: str) -> bool:
    try:
        return bool(git("-C", str(root), "rev-parse", "--verify", "--quiet", branch))
    except CommandError:
        return False


def merge_and_go_back(fork: Fork, say: Callable[[str], None]) -> None:
    """What comes after the proposal: merge, release, prediction, rollback.

    Raises:
        UserError: Where one of them fails.
    """
    before, _ = fork.running()
    fork.main.must("git", "checkout", "--quiet", "--detach", "main")
    fork.main.must("git", "merge", "--quiet", "--no-ff", "--message", "Merge pull request #7", "proposal")
    fork.push()
    say("release.yml: the merge is trained, judged, packed, registered and deployed")
    _must(fork.release())
    after, commit = fork.running()
    if after == before:
        say("it made no version: neither model nor service differ from those in production")
        return
    say(f"production answers with version {after}, of commit {commit[:12]}: {fork.predict()}")
    say(f"rollback.yml: version {before} is put back")
    _must(fork.rollback(before, "rehearsed"))
    say(f"production answers with version {fork.running()[0]}: {fork.predict()}")


def _must(done: Rehearsal) -> None:
    if not done.passed:
        raise UserError(f"it failed:\n{done.output}")


def main() -> None:
    """Play it; the exit status is the check's."""
    only_proposal = bool(os.environ.get("ONLY_PROPOSAL"))
    if not only_proposal and (lacking := missing("release")):
        raise UserError(f"{in_words(lacking)}\nOr `make rehearse ONLY_PROPOSAL=1`, which ends with the comment.")
    shutil.rmtree(_FOLDER, ignore_errors=True)
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {what}", flush=True)

    origin = origin_of(ROOT, _FOLDER / "origin")
    with ExitStack() as stack:
        server = stack.enter_context(github())
        fork = None if only_proposal else stack.enter_context(fork_of(origin, server, _FOLDER))
        if fork:
            say("release.yml: main goes into production")
            _must(fork.release())
        say("propose.yml and comment.yml: the working tree is proposed")
        judged, comment = propose(origin.folder, server, _FOLDER)
        where = _FOLDER / "comment.md"
        where.write_text(comment, encoding="utf-8")
        colour = "green" if judged.passed else "red"
        print(f"\n{comment}\n\nThat is {where.relative_to(ROOT)}, as it would stand at the pull request; its artifacts")
        print(f"are beside it. The check `model` would be {colour}; `make check` is the other one, `code`.\n")
        if fork and judged.passed:
            merge_and_go_back(fork, say)
            print("", *table(origin, "history"), sep="\n")
    sys.exit(_ACCEPTED if judged.passed else _REFUSED)


if __name__ == "__main__":
    console.run_main(main)
