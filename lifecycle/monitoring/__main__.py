"""`python -m lifecycle.monitoring check`: check inputs, predictions and outcomes of the model in production.

`… explain ID` explains a prediction. `… watch` is the command of monitor.yml: it checks, and keeps the issues on GitHub
up to date.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lifecycle.monitoring import explain
from lifecycle.monitoring.alerts import fired_alerts
from lifecycle.monitoring.check import CheckResult, check
from lifecycle.monitoring.check_report import CHECK, FOLDER, as_json, as_markdown, check_in_words
from lifecycle.monitoring.drift_page import write_page
from lifecycle.monitoring.findings import ALERT, Level
from lifecycle.monitoring.issue_details import details
from lifecycle.monitoring.issues import keep_issues
from lifecycle.monitoring.log import Log, open_log, outcomes_since
from lifecycle.monitoring.site import publish_check
from lifecycle.monitoring.snapshot import write_snapshot
from lifecycle.monitoring.watched import is_deployed, log_url, watched
from lifecycle.pipeline.reference import Reference
from lifecycle.release.host import configured
from lifecycle.shared import console, github
from lifecycle.shared.commands import git
from lifecycle.shared.console import UserError
from lifecycle.shared.files import write_json, write_text
from lifecycle.shared.params import Params, load_params
from model import contract

# Exit statuses. 1 is an error, and 2 a usage error.
_EXIT = {Level.OK: 0, Level.WARN: 3, Level.ACT: 4}


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    now = datetime.now(UTC)
    command = commands.add_parser("check", help="compare production with the data of training and evaluation")
    command.add_argument("--until", type=console.moment, default=now, help="end, as YYYY-MM-DD; default: now")
    command.add_argument("--since", type=console.moment, help="start; default: monitoring.days before the end")
    command.add_argument("--version", type=int, help="version in the registry; default: the champion")
    command.add_argument("--page", action="store_true", help="also draw the distributions")
    command = commands.add_parser("explain", help="explain a prediction")
    command.add_argument("prediction", help="id of the prediction, from the answer of the service")
    commands.add_parser("watch", help="check, and update the issues on GitHub")
    arguments = parser.parse_args()
    params = load_params()
    match arguments.command:
        case "check":
            _check(arguments, params, now)
        case "explain":
            with log_url() as url:
                print(explain.explanation_in_words(explain.explain(url, arguments.prediction, params)))
        case "watch":
            _watch(now, params)


def _check(arguments: argparse.Namespace, params: Params, now: datetime) -> None:
    until = arguments.until
    since = arguments.since or until - timedelta(days=params.monitoring.days)
    if since >= until:
        raise UserError(f"the period from {since.isoformat()} to {until.isoformat()} is empty.")
    version, reference = watched(arguments.version, params)
    with log_url() as url, open_log(url, since, until) as log:
        result = _checked(log, version, reference, params, draw=arguments.page)
        if until == now:
            result = _with_alerts(result, now)
        _record(result, reference, url)
    sys.exit(_EXIT[result.status])


def _checked(log: Log, version: str, reference: Reference, params: Params, *, draw: bool) -> CheckResult:
    """Check, and write the page of distributions and the snapshot of the last day."""
    result = check(log, version, reference, params)
    if draw:
        write_page(FOLDER / "report.html", result, reference)
    yesterday = log.until.date() - timedelta(days=1)
    write_snapshot(FOLDER / f"{yesterday}.parquet", log.of(version).of_day(yesterday), reference, yesterday, version)
    return result


def _with_alerts(result: CheckResult, now: datetime) -> CheckResult:
    """Add the alerts that have fired on the host of production."""
    fired = fired_alerts(configured(), now) if configured() else None
    if fired is None:
        return result
    findings = sorted([*result.findings, *fired], key=lambda finding: -finding.level)
    return replace(result, findings=findings, judged=[*result.judged, ALERT])


def _record(result: CheckResult, reference: Reference, url: str) -> None:
    """Print the result, and write it as Markdown and as JSON."""
    write_text(FOLDER / "check.md", as_markdown(result, reference))
    write_json(CHECK, as_json(result, reference.known_until, outcomes_since(url, reference.known_until)))
    print(check_in_words(result, reference))


def _watch(now: datetime, params: Params) -> None:
    if not is_deployed():
        print("::notice title=Nothing to watch::Set DEPLOY_HOST or PREDICTION_LOG_URL to name the prediction log.")
        return
    version, reference = watched(None, params)
    with log_url() as url, open_log(url, now - timedelta(days=params.monitoring.days), now) as log:
        result = _with_alerts(_checked(log, version, reference, params, draw=True), now)
        _record(result, reference, url)
        told = details(log.of(version), result, reference, params)
    if os.environ.get("PAGES"):
        written = json.loads(CHECK.read_text(encoding="utf-8"))
        publish_check(git("remote", "get-url", "origin").strip(), FOLDER, f"{now:%Y-%m-%d}", written)
    about = f"Version {version} of {contract.NAME}, {result.rows:,} predictions up to {now:%Y-%m-%d}"
    command = f"python -m lifecycle.monitoring check --until {now:%Y-%m-%d} --version {version}"
    with github.errors_for_people():
        for line in keep_issues(result.judged, result.findings, about, command, told):
            print(line)


if __name__ == "__main__":
    console.run_main(main)
