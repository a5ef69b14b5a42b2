"""`make propose`: run the pipeline, compare the model with the champion, apply the gates, and write the report."""

import argparse
import subprocess
import sys

from lifecycle.proposal import COMPARED, OUTPUT, PLOTS, REPORT
from lifecycle.proposal.base import find_base
from lifecycle.shared import console
from lifecycle.shared.console import UserError
from lifecycle.shared.files import write_json, write_text

# Further modules are imported after the pipeline has run: they import files that a proposal may have broken, and the
# report has to say so.
_LOG = OUTPUT / "log.txt"
_TAIL = 30  # number of lines of the log in the report
_LONGEST_LINE = 500


def main() -> None:
    """Write the report; the exit status is 1 if a gate fails."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.proposal", description=__doc__)
    parser.add_argument("--base", default="", help="commit that the proposal is made against; default: main")
    parser.add_argument("--accepted-by", default="", help="GitHub user who accepts a regression")
    arguments = parser.parse_args()
    base = find_base(arguments.base)

    for old in (REPORT, PLOTS):
        old.unlink(missing_ok=True)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    if _reproduce():
        write_text(REPORT, _failure(_LOG.read_text(encoding="utf-8", errors="replace")))
        raise UserError(f"the pipeline failed, see above. The report is in {REPORT}.")

    from lifecycle.pipeline.plots import plots_page
    from lifecycle.proposal.accepted import accepted_by
    from lifecycle.proposal.propose import propose
    from lifecycle.proposal.report import render
    from lifecycle.shared.params import load_params

    proposal = propose(load_params(), base, arguments.accepted_by or accepted_by())
    text = render(proposal)
    verdict = text.partition("\n")[0].lstrip("# ")
    write_text(REPORT, text)
    write_text(PLOTS, plots_page("candidate", verdict, proposal.commit))
    write_json(COMPARED, proposal.compared())
    print(f"\n{verdict}\nThe report is in {REPORT}, the plots are in {PLOTS}.")
    sys.exit(0 if proposal.passed else 1)


def _reproduce() -> int:
    """Run the pipeline, print its output and write it to the log, and return its exit status."""
    # Only merged models are tracked; proposals of strangers do not belong on the MLflow server.
    command = [sys.executable, "-m", "lifecycle.pipeline", "--untracked"]
    with (
        _LOG.open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
    ):
        for line in process.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            log.write(line)
    return process.returncode


def _failure(log: str) -> str:
    """Return the report of a failed pipeline, with the end of its log."""
    lines = [line.replace("`", "'")[:_LONGEST_LINE] for line in log.strip().splitlines()[-_TAIL:]]
    return "\n".join(["## ❌ The pipeline failed", "", "The last lines of the log:", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    console.run_main(main)
