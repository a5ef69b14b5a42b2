"""Record on main what CI has made of it: `python -m lifecycle.release.record`, where dvc.lock or the reports differ.

One commit, which starts no workflow. Where main cannot be pushed to, the release stands all the same: a notice says so.
"""

from pathlib import Path

from lifecycle.pipeline.track import RECORDED
from lifecycle.shared import console, github
from lifecycle.shared.commands import CommandError, git


def main() -> None:
    """Commit and push, if there is anything."""
    recorded = [path for path in RECORDED if Path(path).exists()]
    git("add", "--all", "--", *recorded)
    if not git("diff", "--cached", "--name-only", "--", *recorded):
        print("dvc.lock and the reports are as they were merged.")
        return
    git(*github.AS_BOT, "commit", "--quiet", "--message", "Record what CI has made of this [skip ci]", "--", *recorded)
    remote = git("remote", "get-url", "origin").strip()
    try:
        git("push", "--quiet", "origin", "HEAD:refs/heads/main", **github.git_credentials(remote))
        print("Recorded dvc.lock and the reports on main.")
    except CommandError as error:
        if _is_there(remote):
            print("dvc.lock and the reports are recorded on main already.")
            return
        why = github.one_line(error)
        print(f"::notice title=Not recorded on main::dvc.lock and the reports stay as they were merged: {why}")


def _is_there(remote: str) -> bool:
    """Whether main has them as they are here: an earlier run of the same commit has been so far."""
    try:
        git("fetch", "--quiet", "origin", "main", **github.git_credentials(remote))
        return git("diff", "--name-only", "HEAD", "FETCH_HEAD", "--", *RECORDED) == ""
    except CommandError:
        return False


if __name__ == "__main__":
    console.run_main(main)
