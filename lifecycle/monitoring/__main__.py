"""`python -m lifecycle.monitoring check`: is the model in production still what it was made for?

`… explain ID` tells why a prediction is as it is. `… watch` is what monitor.yml runs: the check, and its issues on
GitHub.
"""

import argparse
import json
import os
import sys
from datetime import UTC, datetime, timedelta

from lifecycle.monitoring import explain
from lifecycle.monitoring.check import CheckResult, check
from lifecycle.monitoring.check_report import CHECK, FOLDER, as_json, as_markdown, check_in_words
from lifecycle.monitoring.drift_page import write_page
from lifecycle.monitoring.findings import Level
from lifecycle.monitoring.issues import keep_issues
from lifecycle.monitoring.log import Log, open_log, outcomes_since
from lifecycle.monitoring.site import publish_check
from lifecycle.monitoring.snapshot import write_snapshot
from lifecycle.monitoring.watched import is_deployed, log_url, watched
from lifecycle.pipeline.reference import Reference
from lifecycle.shared import console, github
from lifecycle.shared.commands import git
from lifecycle.shared.console import UserError
from lifecycle.shared.files import write_json, write_text
from lifecycle.shared.params import Params, load_params
from model import contract

# Those of errors, and of arguments that make no sense, are 1 and 2.
_EXIT = {Level.OK: 0, Level.WARN: 3, Level.ACT: 4}


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    now = datetime.now(UTC)
    command = commands.add_parser("check", help="compare production with what the model was trained and judged on")
    command.add_argument("--until", type=console.moment, default=now, help="end, as YYYY-MM-DD; default: now")
    command.add_argument("--since", type=console.moment, help="start; default: monitoring.days before")
    command.add_argument("--version", type=int, help="of the registry; default: the champion")
    command.add_argument("--page", action="store_true", help="draw the distributions, too")
    command = commands.add_parser("explain", help="why a prediction is as it is")
    command.add_argument("prediction", help="its id, as the service told it")
    commands.add_parser("watch", help="check, and keep the issues on GitHub up to date")
    arguments = parser.parse_args()
    params = load_params()
    match arguments.command:
        case "check":
            _check(arguments, params)
        case "explain":
            with log_url() as url:
                print(explain.explanation_in_words(explain.explain(url, arguments.prediction, params)))
        case "watch":
            _watch(now, params)


def _check(arguments: argparse.Namespace, params: Params) -> None:
    until = arguments.until
    since = arguments.since or until - timedelta(days=params.monitoring.days)
    if since >= until:
        raise UserError(f"there is no time between {since.isoformat()} and {until.isoformat()}.")
    version, reference = watched(arguments.version, params)
    with log_url() as url, open_log(url, since, until) as log:
        found = _checked(log, version, reference, params, draw=arguments.page)
        _record(found, reference, url)
    sys.exit(_EXIT[found.status])


def _checked(log: Log, version: str, reference: Reference, params: Params, *, draw: bool) -> CheckResult:
    """Check, and write the pictures and the counts of the last day."""
    found, mine = check(log, version, reference, params), log.of(version)
    if draw:
        write_page(FOLDER / "report.html", found, reference)
    yesterday = log.until.date() - timedelta(days=1)
    write_snapshot(FOLDER / f"{yesterday}.parquet", mine.of_day(yesterday), reference, yesterday, version)
    return found


def _record(found: CheckResult, reference: Reference, url: str) -> None:
    """Print what was found, and write it for people and for machines."""
    write_text(FOLDER / "check.md", as_markdown(found, reference))
    write_json(CHECK, as_json(found, reference.known_until, outcomes_since(url, reference.known_until)))
    print(check_in_words(found, reference))


def _watch(now: datetime, params: Params) -> None:
    if not is_deployed():
        print("::notice title=Nothing to watch::Name the prediction log: by DEPLOY_HOST or PREDICTION_LOG_URL.")
        return
    version, reference = watched(None, params)
    with log_url() as url, open_log(url, now - timedelta(days=params.monitoring.days), now) as log:
        found = _checked(log, version, reference, params, draw=True)
        _record(found, reference, url)
    if os.environ.get("PAGES"):
        checked = json.loads(CHECK.read_text(encoding="utf-8"))
        publish_check(git("remote", "get-url", "origin").strip(), FOLDER, f"{now:%Y-%m-%d}", checked)
    about = f"Version {version} of {contract.NAME}, {found.rows:,} predictions up to {now:%Y-%m-%d}"
    command = f"python -m lifecycle.monitoring check --until {now:%Y-%m-%d} --version {version}"
    with github.errors_for_people():
        for line in keep_issues(found.judged, found.findings, about, command):
            print(line)


if __name__ == "__main__":
    console.run_main(main)
