"""Commit dvc.lock and the reports that CI has produced to main, if they changed: `python -m lifecycle.release.record`.

The commit starts no workflow. If the push to main is refused, the release still succeeds: the command prints a notice.
"""

from pathlib import Path

from lifecycle.pipeline.track import RECORDED
from lifecycle.shared import console, github
from lifecycle.shared.commands import git
from lifecycle.shared.console import CommandError

_MESSAGE = "Record dvc.lock and reports from CI [skip ci]"


def main() -> None:
    """Commit and push the files if they changed."""
    recorded = [path for path in RECORDED if Path(path).exists()]
    git("add", "--all", "--", *recorded)
    if not git("diff", "--cached", "--name-only", "--", *recorded):
        print("dvc.lock and the reports are unchanged.")
        return
    git(*github.AS_BOT, "commit", "--quiet", "--message", _MESSAGE, "--", *recorded)
    remote = git("remote", "get-url", "origin").strip()
    try:
        git("push", "--quiet", "origin", "HEAD:refs/heads/main", **github.git_credentials(remote))
        print("Recorded dvc.lock and the reports on main.")
    except CommandError as error:
        if _is_recorded(remote):
            print("dvc.lock and the reports were already recorded on main.")
            return
        reason = github.one_line(error)
        print(f"::notice title=Not recorded on main::dvc.lock and the reports could not be pushed to main: {reason}")


def _is_recorded(remote: str) -> bool:
    """Return whether main has the same files, because an earlier run of this commit has pushed them."""
    try:
        git("fetch", "--quiet", "origin", "main", **github.git_credentials(remote))
        return git("diff", "--name-only", "HEAD", "FETCH_HEAD", "--", *RECORDED) == ""
    except CommandError:
        return False


if __name__ == "__main__":
    console.run_main(main)
