"""`make propose`: bring the pipeline up to date, compare with the champion, judge, write the report."""

import argparse
import subprocess
import sys

from lifecycle.proposal import COMPARED, OUTPUT, PLOTS, REPORT
from lifecycle.proposal.base import find_base
from lifecycle.shared import console
from lifecycle.shared.console import UserError
from lifecycle.shared.files import write_json, write_text

# What else is needed is imported when the pipeline has run: it imports files that a proposal may have broken, and that
# has to come to be reported.
_LOG = OUTPUT / "log.txt"
_TAIL = 30  # lines of the log that are shown
_LONGEST_LINE = 500


def main() -> None:
    """Write the report; exit status 1 where the gate is not passed."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.proposal", description=__doc__)
    parser.add_argument("--base", default="", help="commit that the proposal is made against; default: main")
    parser.add_argument("--accepted-by", default="", help="who accepts a regression")
    arguments = parser.parse_args()
    base = find_base(arguments.base)

    for old in (REPORT, PLOTS):
        old.unlink(missing_ok=True)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    if _reproduce():
        write_text(REPORT, _failure(_LOG.read_text(encoding="utf-8", errors="replace")))
        raise UserError(f"the model could not be made, see above. The report is in {REPORT}.")

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
    """Bring the pipeline up to date, shown and kept in the log; its exit status."""
    # What is merged becomes a run; what strangers propose is not for MLflow's server.
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
    """The report where no model could be made: the end of the log."""
    lines = [line.replace("`", "'")[:_LONGEST_LINE] for line in log.strip().splitlines()[-_TAIL:]]
    return "\n".join(
        ["## ❌ The model could not be made", "", "The last lines of the log:", "", "```text", *lines, "```", ""]
    )


if __name__ == "__main__":
    console.run_main(main)
