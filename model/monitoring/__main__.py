"""`python -m model.monitoring check`: is the model in production still what it was made for?"""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from model import console
from model.console import UserError
from model.files import write_json
from model.monitoring.check import as_json, check, in_words
from model.monitoring.findings import Level
from model.monitoring.log import opened
from model.monitoring.watched import log_url, watched
from model.params import load_params

FOUND = Path("artifacts/monitoring/check.json")
# Those of errors, and of arguments that make no sense, are 1 and 2.
_EXIT = {Level.OK: 0, Level.WARN: 3, Level.ACT: 4}


def _moment(text: str) -> datetime:
    """A date or a time, in UTC unless it says otherwise."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def main() -> None:
    """Check, print what was found, and end with a status that tells it."""
    parser = argparse.ArgumentParser(prog="python -m model.monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("check", help="compare production with what the model was trained and judged on")
    command.add_argument(
        "--until", type=_moment, default=datetime.now(UTC), help="for example 2013-09-01; default: now"
    )
    command.add_argument("--since", type=_moment, help="default: so many days before as params.yaml says")
    command.add_argument("--version", type=int, help="of the registry; default: the champion")
    arguments = parser.parse_args()
    params = load_params()
    until = arguments.until
    since = arguments.since or until - timedelta(days=params.monitoring.days)
    if since >= until:
        raise UserError(f"there is no time between {since.isoformat()} and {until.isoformat()}.")
    version, reference = watched(arguments.version, params)
    with log_url() as url, opened(url, since, until) as log:
        found = check(log, version, reference, params)
    write_json(FOUND, as_json(found))
    print(in_words(found, reference))
    sys.exit(_EXIT[found.status])


if __name__ == "__main__":
    console.run(main)
