"""`make rollback VERSION=3 WHY=…`: put an earlier version back into production.

It has to accept what production sends: the newest requests of the prediction log are replayed to it before it gets any.
"""

import argparse
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from lifecycle.registry.store import existing
from lifecycle.registry.versions import Version
from lifecycle.release.client import ask
from lifecycle.release.deploy import into_production
from lifecycle.release.host import configured
from lifecycle.release.image import find_engine
from lifecycle.release.production import Production
from lifecycle.release.smoke import ANSWERS, DRY_RUN
from lifecycle.shared import console
from lifecycle.shared.commands import CommandError, run
from lifecycle.shared.console import UserError
from lifecycle.shared.predictor import differing_columns

_REPLAYED = 500  # rows
_AT_A_TIME = 100


def replay(production: Production, slot: str, differing: list[str]) -> None:
    """Ask a version what production was asked last.

    Args:
        production: On the host.
        slot: In which the version runs.
        differing: The columns in which its contract differs from that of the version in production.

    Raises:
        UserError: Where it refuses anything, with these columns.
    """
    rows = [json.loads(line) for line in production.newest_requests(slot, _REPLAYED)]
    port, headers = production.port(slot), {**production.headers(), **DRY_RUN}
    refused = [
        why
        for start in range(0, len(rows), _AT_A_TIME)
        for why in _refused(port, rows[start : start + _AT_A_TIME], headers)
    ]
    if refused:
        raise UserError(
            f"it refuses {len(refused)} of the newest {len(rows)} rows that production was asked. Its contract differs "
            f"in: {', '.join(differing) or 'nothing'}. The first is refused because: {refused[0]}"
        )
    print(f"it accepts the newest {len(rows)} rows that production was asked")


def _refused(port: int, rows: list[dict[str, Any]], headers: Mapping[str, str]) -> list[str]:
    """Why rows are refused: each by itself, where all together are."""
    status, answer = ask(port, "POST", "/predict", rows, headers)
    if status == HTTPStatus.OK:
        return []
    if len(rows) == 1:
        return [str(answer.get("error") if isinstance(answer, dict) else answer)]
    return [why for row in rows for why in _refused(port, [row], headers)]


def main() -> None:
    """Put it back, and record who has done it, and why."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.rollback", description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("--why", required=True)
    arguments = parser.parse_args()
    with existing() as registry:
        version, champion = registry.version(arguments.number), registry.champion()
        if champion and champion.deployed and not configured():
            raise UserError("production runs on a host: set DEPLOY_HOST to its address, as for `ssh`.")
        answers = json.loads(registry.document(version, ANSWERS))
        contracts = [json.loads(registry.document(one, "contract.json")) for one in (version, champion or version)]
    differing = differing_columns(*contracts)
    if not configured():
        _pull(version)
    into_production(version, answers, arguments.why, lambda production, slot: replay(production, slot, differing))


def _pull(version: Version) -> None:
    """See that the image is still there, where no host would."""
    try:
        run([find_engine(), "pull", "--quiet", version.tags.get("image", "")])
    except CommandError as error:
        raise UserError(f"the image of version {version.number} is not there any more:\n{error}") from error


if __name__ == "__main__":
    console.run_main(main)
