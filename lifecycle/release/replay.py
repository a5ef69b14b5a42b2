"""The newest requests of production, replayed to a version before it receives any of its own."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from lifecycle.release.client import ask
from lifecycle.release.production import Production
from lifecycle.release.smoke import DRY_RUN
from lifecycle.shared.console import UserError

_REPLAYED = 500  # rows
_BATCH = 100  # rows in a request


def replay(production: Production, slot: str, differing: list[str], most: float) -> str:
    """Replay the newest rows of the prediction log to a version, without logging them again.

    Args:
        production: Production on the host.
        slot: Slot in which the version runs.
        differing: Columns in which its contract differs from that of the version in production.
        most: Largest share of rows that it may reject, from 0 to 1.

    Returns:
        What it has rejected, for the history; empty if it has accepted all rows.

    Raises:
        UserError: If it rejects more. The message names `differing` and the reason.
    """
    rows = [json.loads(line) for line in production.newest_requests(slot, _REPLAYED)]
    port, headers = production.port(slot), {**production.headers(), **DRY_RUN}
    reasons = [
        reason
        for start in range(0, len(rows), _BATCH)
        for reason in _rejections(port, rows[start : start + _BATCH], headers)
    ]
    if not reasons:
        print(f"it accepts the newest {len(rows)} rows that production received")
        return ""
    rejected = f"rejects {len(reasons)} of the newest {len(rows)} rows that production received"
    if len(reasons) > most * len(rows):
        raise UserError(
            f"it {rejected}. Columns in which its contract differs: {', '.join(differing) or 'none'}. The first "
            f"reason: {reasons[0]}\nHave the clients changed first, or make a new column optional. To deploy it all "
            f"the same, set gates.rejected_share in params.yaml to the share that may be rejected."
        )
    print(f"it {rejected}, which gates.rejected_share in params.yaml allows")
    return rejected


def _rejections(port: int, rows: list[dict[str, Any]], headers: Mapping[str, str]) -> list[str]:
    """Return the reason for each row that is rejected. Rows of a rejected request are sent again one by one."""
    status, answer = ask(port, "POST", "/predict", rows, headers)
    if status == HTTPStatus.OK:
        return []
    if len(rows) == 1:
        return [str(answer.get("error") if isinstance(answer, dict) else answer)]
    return [reason for row in rows for reason in _rejections(port, [row], headers)]
