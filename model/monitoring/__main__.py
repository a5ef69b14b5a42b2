"""`python -m model.monitoring check`: is the model in production still what it was made for?

`… watch` is what monitor.yml runs: the same for the last days, with the page of pictures and the snapshot of yesterday,
and the issues at GitHub are kept by it.
"""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from model import console, github
from model.console import UserError
from model.files import replacing_file, write_json
from model.monitoring import explain
from model.monitoring.check import Check, check
from model.monitoring.findings import Level
from model.monitoring.issues import keep_issues
from model.monitoring.log import opened
from model.monitoring.page import write_page
from model.monitoring.report import as_json, as_markdown, in_words
from model.monitoring.snapshot import write_snapshot
from model.monitoring.watched import is_deployed, log_url, watched
from model.params import load_params

_FOLDER = Path("artifacts/monitoring")
# Those of errors, and of arguments that make no sense, are 1 and 2.
_EXIT = {Level.OK: 0, Level.WARN: 3, Level.ACT: 4}


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m model.monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("check", help="compare production with what the model was trained and judged on")
    command.add_argument(
        "--until", type=_moment, default=datetime.now(UTC), help="for example 2013-09-01; default: now"
    )
    command.add_argument("--since", type=_moment, help="default: so many days before as params.yaml says")
    command.add_argument("--version", type=int, help="of the registry; default: the champion")
    command.add_argument("--page", action="store_true", help="draw the distributions, too")
    commands.add_parser("watch", help="check, and open, change and close the issues at GitHub by what is found")
    command = commands.add_parser("explain", help="why a prediction is as it is")
    command.add_argument("prediction", help="its id, as the service told it")
    arguments = parser.parse_args()
    if arguments.command == "explain":
        with log_url() as url:
            print(explain.in_words(explain.explain(url, arguments.prediction, load_params())))
    elif arguments.command == "check":
        since = arguments.since or arguments.until - timedelta(days=load_params().monitoring.days)
        if since >= arguments.until:
            raise UserError(f"there is no time between {since.isoformat()} and {arguments.until.isoformat()}.")
        found = _check(since, arguments.until, arguments.version, draw=arguments.page)
        sys.exit(_EXIT[found.status])
    else:
        _watch()


def _check(since: datetime, until: datetime, number: int | None, *, draw: bool) -> Check:
    """Check, and print and write what was found."""
    params = load_params()
    version, reference = watched(number, params)
    with log_url() as url, opened(url, since, until) as log:
        found = check(log, version, reference, params)
        if draw and found.drifts:
            write_page(_FOLDER / "report.html", log.of(version), reference, found.drifts)
        yesterday = until.date() - timedelta(days=1)
        write_snapshot(
            _FOLDER / f"{yesterday}.parquet", log.of(version).of_day(yesterday), reference, yesterday, version
        )
    with replacing_file(_FOLDER / "check.md") as aside:
        aside.write_text(as_markdown(found, reference), encoding="utf-8")
    write_json(_FOLDER / "check.json", as_json(found))
    print(in_words(found, reference))
    return found


def _watch() -> None:
    if not is_deployed():
        print("::notice title=Nothing to watch::Name the prediction log: by DEPLOY_HOST or PREDICTION_LOG_URL.")
        return
    now = datetime.now(UTC)
    found = _check(now - timedelta(days=load_params().monitoring.days), now, None, draw=True)
    try:
        for line in keep_issues(as_json(found)):
            print(line)
    except github.Errors as error:
        raise UserError(f"GitHub did not do what it was asked: {github.one_line(error)}") from error


def _moment(text: str) -> datetime:
    """A date or a time, in UTC unless it says otherwise."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


if __name__ == "__main__":
    console.run(main)
