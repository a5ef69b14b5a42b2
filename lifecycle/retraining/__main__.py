"""`python -m lifecycle.retraining propose`: train on new data, and open a pull request with the model.

`… renew` only changes the working tree: it ingests the new data, and moves the window and the holdout on.
`… start` is the command of monitor.yml after the check: it starts retrain.yml if a new model is due.
"""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from lifecycle.monitoring.check_report import CHECK
from lifecycle.monitoring.findings import DATA, Finding, Level
from lifecycle.monitoring.issues import keep_issues
from lifecycle.retraining.policy import due
from lifecycle.retraining.renew import renew
from lifecycle.retraining.retrain import last_proposed, open_pull_request
from lifecycle.shared import console, github
from lifecycle.shared.console import UserError
from lifecycle.shared.params import Params, load_params
from model import contract


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.retraining", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", help="start retrain.yml on GitHub if a new model is due after the newest check")
    for name, description in (
        ("renew", "ingest new data, and move the window and the holdout on"),
        ("propose", "renew, train, compare, and open a pull request"),
    ):
        command = commands.add_parser(name, help=description)
        command.add_argument(
            "--until", type=console.moment, default=datetime.now(UTC), help="ignore later data; default: now"
        )
    command.add_argument("--why", default="somebody requested it", help="reason, for the pull request")
    arguments = parser.parse_args()
    params = load_params()
    match arguments.command:
        case "start":
            _start(params)
        case "renew":
            print(", ".join(renew(params, arguments.until)) or "The source has nothing new.")
        case "propose":
            _propose(arguments.until, arguments.why, params)


def _start(params: Params) -> None:
    try:
        newest_check = json.loads(CHECK.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{CHECK} is missing. `python -m lifecycle.monitoring check` writes it.") from error
    with github.errors_for_people():
        why = due(newest_check, last_proposed(), params.retraining)
        if why:
            github.send("POST", "actions/workflows/retrain.yml/dispatches", ref="main", inputs={"why": why})
    print(f"Started a retraining: {why}." if why else "No new model is due.")


def _propose(until: datetime, why: str, params: Params) -> None:
    """Propose a model that was trained on new data; report bad data in an issue."""
    about, command = f"New data of {contract.NAME} up to {until:%Y-%m-%d}", "python -m lifecycle.retraining renew"
    with github.errors_for_people():
        try:
            parts = renew(params, until)
        except UserError as error:
            _keep_issues([Finding(DATA, "the source", Level.ACT, str(error))], about, command)
            raise
        _keep_issues([], about, command)
        print(open_pull_request(parts, why, load_params()) if parts else "The source has nothing new.")


def _keep_issues(findings: Sequence[Finding], about: str, command: str) -> None:
    for line in keep_issues([DATA], findings, about, command):
        print(line)


if __name__ == "__main__":
    console.run_main(main)
