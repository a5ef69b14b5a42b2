"""`make rehearse`: a make-believe pull request of this working tree, by the real workflows and without GitHub."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from model import console
from model.console import UserError
from model.proposal.comment import ARTIFACT, FILE
from tests.github.pull_request import RUN, PullRequest, zipped
from tests.github.server import github
from tests.repository import ROOT
from tests.workflows.act import STAND_INS, Rehearsal, rehearse

_FOLDER = ROOT / "artifacts/rehearsal"


def main() -> None:
    """Play it; the exit status is the check's."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    origin = _origin(_FOLDER / "origin")
    proposed = PullRequest(origin)
    with github() as server:
        proposed.open(server)

        def play(job: str, event: dict[str, object]) -> Rehearsal:
            print(f"{job.replace(':', ', job ')} …", flush=True)
            return rehearse(job, event, origin, server, _FOLDER, STAND_INS / "bin")

        judged = play("propose.yml:model", proposed.proposed())
        report = judged.artifacts / ARTIFACT
        if not (report / FILE).exists():
            raise UserError(f"there is no report:\n{judged.output}")
        server.artifacts[RUN, ARTIFACT, 1] = zipped(report)
        commented = play("comment.yml:comment", proposed.judged("success" if judged.passed else "failure"))
        if not server.comments:
            raise UserError(f"there is no comment:\n{commented.output}")
        (comment,) = server.comments[proposed.number]
    where = _FOLDER / "comment.md"
    where.write_text(comment["body"], encoding="utf-8")
    print(f"\n{comment['body']}\n")
    print(f"That is {where.relative_to(ROOT)}, as it would stand at the pull request; its artifacts are beside it.")
    print(
        f"The check `model` would be {'green' if judged.passed else 'red'}. `make lint test` is the other one, `code`."
    )
    sys.exit(0 if judged.passed else 1)


def _origin(folder: Path) -> Path:
    """What stands for the repository at GitHub: main, and the working tree as it is as the branch `proposal`."""
    main = next((name for name in ("origin/main", "main") if _git("rev-parse", "--verify", "--quiet", name)), None)
    if main is None:
        raise UserError("there is no branch main to propose to.")
    folder.mkdir(parents=True)
    index = {"GIT_INDEX_FILE": str(_FOLDER / "index")}
    _git("read-tree", "HEAD", **index)
    _git("add", "--all", **index)
    tree = _git("write-tree", **index)
    who = {f"GIT_{role}_{what}": "rehearsal" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    commit = _git("commit-tree", tree, "-p", "HEAD", "-m", "The working tree", **who)
    _git("init", "--quiet", "--initial-branch", "empty", str(folder))
    _git("push", "--quiet", str(folder), f"{main}:refs/heads/main", f"{commit}:refs/heads/proposal")
    _git("-C", str(folder), "checkout", "--quiet", "proposal")
    # What has been made here need not be made again.
    (ROOT / ".dvc/cache").mkdir(exist_ok=True)
    (folder / ".dvc/cache").symlink_to(ROOT / ".dvc/cache")
    return folder


def _git(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    console.run(main)
