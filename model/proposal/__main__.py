"""`make propose`: bring the pipeline up to date, compare with the champion, judge, write the report."""

import argparse
import subprocess
import sys
from pathlib import Path

from model import console
from model.console import UserError
from model.files import replacing_file

# What else is needed is imported when the pipeline has run: it imports files that a proposal may have broken, and that
# has to come to be reported.
_OUTPUT = Path("artifacts/proposal")
_REPORT = _OUTPUT / "report.md"
_LOG = _OUTPUT / "log.txt"
_TAIL = 30  # lines of the log that are shown
_LONGEST_LINE = 500


def main() -> None:
    """Write the report; exit status 1 where the gate is not passed."""
    parser = argparse.ArgumentParser(prog="python -m model.proposal", description=__doc__)
    parser.add_argument("--base", default="", help="commit that the proposal is made against; default: main")
    parser.add_argument("--accepted-by", default="", help="who accepts a regression")
    arguments = parser.parse_args()
    base = _commit(arguments.base) if arguments.base else _left_main()

    _OUTPUT.mkdir(parents=True, exist_ok=True)
    if _reproduce():
        _write(_failure(_LOG.read_text(encoding="utf-8", errors="replace")))
        raise UserError(f"the model could not be made, see above. The report is in {_REPORT}.")

    from model.params import load_params
    from model.proposal.accepted import accepted_by
    from model.proposal.propose import propose
    from model.proposal.report import render

    proposal = propose(load_params(), base, arguments.accepted_by or accepted_by())
    text = render(proposal)
    _write(text)
    print(f"\n{text.partition(chr(10))[0].lstrip('# ')}\nThe report is in {_REPORT}.")
    sys.exit(0 if proposal.passed else 1)


def _reproduce() -> int:
    """Bring the pipeline up to date, shown and kept in the log; its exit status."""
    with (
        _LOG.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "model.pipeline"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        for line in process.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            log.write(line)
    return process.returncode


def _failure(log: str) -> str:
    """The report where no model could be made: the end of the log."""
    lines = [line.replace("`", "'")[:_LONGEST_LINE] for line in log.strip().splitlines()[-_TAIL:]]
    return "\n".join(
        ["## ❌ The model could not be made", "", "The last lines of the log:", "", "```text", *lines, "```", ""]
    )


def _commit(revision: str) -> str:
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not found:
        raise UserError(f"{revision} is no commit of this repository. `git fetch` may bring it.")
    return found


def _left_main() -> str:
    """The commit at which this work has left main."""
    found = _git("merge-base", "HEAD", "origin/main") or _git("merge-base", "HEAD", "main")
    if not found:
        raise UserError("there is no branch main to propose to. Name a commit: make propose BASE=…")
    return found


def _git(*arguments: str) -> str:
    """What git says; nothing where it fails."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def _write(text: str) -> None:
    with replacing_file(_REPORT) as aside:
        aside.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    console.run(main)
