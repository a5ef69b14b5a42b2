"""Roll production back to an earlier version: `make rollback VERSION=3 WHY=…`.

Before the switch, it replays the newest rows of the prediction log to that version, which must accept all of them.
"""

import argparse
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from lifecycle.registry.store import existing
from lifecycle.registry.versions import Version
from lifecycle.release.client import ask
from lifecycle.release.deploy import deploy_and_promote
from lifecycle.release.host import configured
from lifecycle.release.image import find_engine
from lifecycle.release.production import Production
from lifecycle.release.smoke import ANSWERS, DRY_RUN
from lifecycle.shared import console
from lifecycle.shared.commands import CommandError, run
from lifecycle.shared.console import UserError
from lifecycle.shared.predictor import differing_columns

_REPLAYED = 500  # rows
_BATCH = 100  # rows in a request


def replay(production: Production, slot: str, differing: list[str]) -> None:
    """Replay the newest rows of the prediction log to a version, without logging them again.

    Args:
        production: Production on the host.
        slot: Slot in which the version runs.
        differing: Columns in which its contract differs from that of the version in production.

    Raises:
        UserError: If it rejects a row. The message names `differing` and the reason.
    """
    rows = [json.loads(line) for line in production.newest_requests(slot, _REPLAYED)]
    port, headers = production.port(slot), {**production.headers(), **DRY_RUN}
    reasons = [
        reason
        for start in range(0, len(rows), _BATCH)
        for reason in _rejections(port, rows[start : start + _BATCH], headers)
    ]
    if reasons:
        raise UserError(
            f"it rejects {len(reasons)} of the newest {len(rows)} rows that production received. Columns in which its "
            f"contract differs: {', '.join(differing) or 'none'}. The first reason: {reasons[0]}"
        )
    print(f"it accepts the newest {len(rows)} rows that production received")


def _rejections(port: int, rows: list[dict[str, Any]], headers: Mapping[str, str]) -> list[str]:
    """Return the reason for each row that is rejected. Rows of a rejected request are sent again one by one."""
    status, answer = ask(port, "POST", "/predict", rows, headers)
    if status == HTTPStatus.OK:
        return []
    if len(rows) == 1:
        return [str(answer.get("error") if isinstance(answer, dict) else answer)]
    return [reason for row in rows for reason in _rejections(port, [row], headers)]


def main() -> None:
    """Deploy and promote the version that the arguments name, after the replay."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.rollback", description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("--why", required=True)
    arguments = parser.parse_args()
    with existing() as registry:
        version, champion = registry.version(arguments.number), registry.champion()
        if champion and champion.deployed and not configured():
            raise UserError("production runs on a host: set DEPLOY_HOST to its address, as for `ssh`.")
        answers = json.loads(registry.document(version, ANSWERS))
        compared = (version, champion or version)
        contracts = [json.loads(registry.document(each, "contract.json")) for each in compared]
    differing = differing_columns(*contracts)
    if not configured():
        _pull(version)
    deploy_and_promote(version, answers, arguments.why, lambda production, slot: replay(production, slot, differing))


def _pull(version: Version) -> None:
    """Check that the image still exists. With a host, the deployment there would fail otherwise."""
    try:
        run([find_engine(), "pull", "--quiet", version.tags.get("image", "")])
    except CommandError as error:
        raise UserError(f"the image of version {version.number} cannot be pulled:\n{error}") from error


if __name__ == "__main__":
    console.run_main(main)
