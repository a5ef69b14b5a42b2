"""`python -m tests.lifecycle.adoption.production STATE ROWS`: serve the rows of the holdout, and report their outcomes.

The service runs in this process, without a port; its records stay in the spool, which `lifecycle.prediction_log.drain`
empties. With a third argument `COLUMN`, the column has a fault: it is missing if it may be, and else has one value.
"""

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

from lifecycle.pipeline import stage
from lifecycle.pipeline.lineage import write_lineage
from lifecycle.prediction_log.log_settings import read_environment
from lifecycle.prediction_log.spool import prepare_spool
from lifecycle.serving.application import Application
from lifecycle.serving.environment import ServingSettings
from lifecycle.shared.inputs import request_columns
from model import contract

_AT_A_TIME = 500


def bodies(rows: list[dict[str, Any]], faulty: str) -> list[dict[str, Any]]:
    """Return the rows as a client sends them."""
    found = []
    for row in rows:
        body = {
            column.name: value.isoformat() if isinstance(value := row[column.name], datetime) else value
            for column in request_columns()
        }
        if faulty:
            column = next(column for column in request_columns() if column.name == faulty)
            body[faulty] = None if column.nullable else column.example
        found.append(body)
    return found


async def serve(application: Application, rows: list[dict[str, Any]], faulty: str) -> None:
    """Ask for the predictions of the rows, and report their outcomes."""
    transport = httpx.ASGITransport(application)  # type: ignore[arg-type]  # ASGI with narrower types
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for start in range(0, len(rows), _AT_A_TIME):
            chunk = rows[start : start + _AT_A_TIME]
            answer = await client.post("/predict", json=bodies(chunk, faulty))
            assert answer.status_code == 200, answer.text
            reports = [
                {"prediction_id": prediction["id"], "outcome": row[contract.TARGET.name]}
                for prediction, row in zip(answer.json()["predictions"], chunk, strict=True)
            ]
            answer = await client.post("/feedback", json=reports)
            assert answer.status_code == 202, answer.text


def main() -> None:
    """Serve the rows."""
    state, count, *faulty = sys.argv[1:]
    write_lineage()
    settings = read_environment(ServingSettings, state_folder=Path(state))
    prepare_spool(settings.spool_folder())
    table = pq.read_table(stage.PREPARED / "holdout.parquet")
    rows = (table.to_pylist() * (int(count) // table.num_rows + 1))[: int(count)]
    asyncio.run(serve(Application.load(settings), rows, faulty[0] if faulty else ""))


if __name__ == "__main__":
    main()
