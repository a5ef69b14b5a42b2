"""`python -m model.monitoring check`: is the model in production still what it was made for?

`… explain ID` tells why a prediction is as it is. `… renew` brings new months of data, `… retrain` proposes a model of
them. `… watch` is what monitor.yml does: check, keep the issues at GitHub, and see whether to retrain.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from model import console, contract, github
from model.commands import CommandError, git
from model.console import UserError
from model.files import write_json, write_text
from model.monitoring import explain
from model.monitoring.check import Check, check
from model.monitoring.findings import DATA, Finding, Level
from model.monitoring.issues import keep_issues
from model.monitoring.log import Log, opened, outcomes_since
from model.monitoring.page import write_page
from model.monitoring.policy import due, known_until
from model.monitoring.renew import renew
from model.monitoring.report import as_json, as_markdown, in_words
from model.monitoring.retrain import last_proposed, propose
from model.monitoring.site import publish
from model.monitoring.snapshot import write_snapshot
from model.monitoring.watched import is_deployed, log_url, watched
from model.params import Params, load_params
from model.release.reference import Reference

_FOLDER = Path("artifacts/monitoring")
# Those of errors, and of arguments that make no sense, are 1 and 2.
_EXIT = {Level.OK: 0, Level.WARN: 3, Level.ACT: 4}


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m model.monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    now = datetime.now(UTC)
    command = commands.add_parser("check", help="compare production with what the model was trained and judged on")
    command.add_argument("--until", type=_moment, default=now, help="for example 2013-09-01; default: now")
    command.add_argument("--since", type=_moment, help="default: so many days before as params.yaml says")
    command.add_argument("--version", type=int, help="of the registry; default: the champion")
    command.add_argument("--page", action="store_true", help="draw the distributions, too")
    command = commands.add_parser("explain", help="why a prediction is as it is")
    command.add_argument("prediction", help="its id, as the service told it")
    commands.add_parser("watch", help="check, keep the issues at GitHub, and start a retraining where one is due")
    for name, what in (
        ("renew", "ingest new months, and move window and holdout on to them"),
        ("retrain", "propose it"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("--until", type=_moment, default=now, help="the first moment of which nothing is known")
    command.add_argument("--why", default="somebody asked for it", help="for the pull request")
    arguments = parser.parse_args()
    params = load_params()
    match arguments.command:
        case "check":
            _check(arguments, params)
        case "explain":
            with log_url() as url:
                print(explain.in_words(explain.explain(url, arguments.prediction, params)))
        case "watch":
            _watch(now, params)
        case "renew":
            print(", ".join(renew(params, arguments.until)) or "The source has no new month.")
        case "retrain":
            _retrain(arguments.until, arguments.why, params)


def _check(arguments: argparse.Namespace, params: Params) -> None:
    until = arguments.until
    since = arguments.since or until - timedelta(days=params.monitoring.days)
    if since >= until:
        raise UserError(f"there is no time between {since.isoformat()} and {until.isoformat()}.")
    version, reference = watched(arguments.version, params)
    with log_url() as url, opened(url, since, until) as log:
        found = _checked(log, version, reference, params, draw=arguments.page)
    sys.exit(_EXIT[found.status])


def _checked(log: Log, version: str, reference: Reference, params: Params, *, draw: bool) -> Check:
    """Check, and print and write what was found."""
    found, mine = check(log, version, reference, params), log.of(version)
    if draw and found.drifts:
        write_page(_FOLDER / "report.html", mine, reference, found.drifts)
    yesterday = log.until.date() - timedelta(days=1)
    write_snapshot(_FOLDER / f"{yesterday}.parquet", mine.of_day(yesterday), reference, yesterday, version)
    write_text(_FOLDER / "check.md", as_markdown(found, reference))
    write_json(_FOLDER / "check.json", as_json(found))
    print(in_words(found, reference))
    return found


def _watch(now: datetime, params: Params) -> None:
    if not is_deployed():
        print("::notice title=Nothing to watch::Name the prediction log: by DEPLOY_HOST or PREDICTION_LOG_URL.")
        return
    version, reference = watched(None, params)
    known = known_until(reference)
    with log_url() as url:
        with opened(url, now - timedelta(days=params.monitoring.days), now) as log:
            found = _checked(log, version, reference, params, draw=True)
        labels = outcomes_since(url, known)
    if os.environ.get("PAGES"):
        publish(git("remote", "get-url", "origin").strip(), _FOLDER, f"{now:%Y-%m-%d}", as_json(found))
    about = f"Version {version} of {contract.NAME}, {found.rows:,} predictions up to {now:%Y-%m-%d}"
    command = f"python -m model.monitoring check --until {now:%Y-%m-%d} --version {version}"
    with _github():
        _keep(found.judged, found.findings, about, command)
        why = due(found, labels, known, last_proposed(), params.retraining)
        if why:
            github.send("POST", "actions/workflows/retrain.yml/dispatches", ref="main", inputs={"why": why})
            print(f"Started a retraining: {why}.")


def _retrain(until: datetime, why: str, params: Params) -> None:
    """Propose a model that was trained on new months; bad data goes to an issue."""
    about, command = f"New months of {contract.NAME} up to {until:%Y-%m-%d}", "python -m model.monitoring renew"
    with _github():
        try:
            months = renew(params, until)
        except UserError as error:
            _keep([DATA], [Finding(DATA, "the source", Level.ACT, str(error))], about, command)
            raise
        _keep([DATA], [], about, command)
        print(propose(months, why, load_params()) if months else "The source has no new month.")


def _keep(judged: Sequence[str], findings: Sequence[Finding], about: str, command: str) -> None:
    for line in keep_issues(judged, findings, about, command):
        print(line)


@contextmanager
def _github() -> Iterator[None]:
    try:
        yield
    except github.Errors as error:
        raise UserError(f"GitHub did not do what it was asked: {github.one_line(error)}") from error
    except CommandError as error:
        raise UserError(str(error)) from error


def _moment(text: str) -> datetime:
    """A date or a time, in UTC unless it says otherwise."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


if __name__ == "__main__":
    console.run(main)
