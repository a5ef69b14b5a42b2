"""The last look at a version before it is in production: does it run there, and answer as its model did when trained?

What it is asked is made from the contract, so that no row of the data has to leave the place where it was trained.
"""

import http.client
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

import numpy as np

from lifecycle.registry.versions import Version
from lifecycle.release.client import PATIENCE, ask, wait_until_ready
from lifecycle.shared.console import UserError
from lifecycle.shared.predictor import Predictor
from model import contract

ANSWERS = "answers.json"
DRY_RUN = {"X-Dry-Run": "true"}
EXAMPLE = {column.name: column.example for column in contract.INPUTS}
SAME = 1e-6  # in probability


def examples() -> list[dict[str, Any]]:
    """The contract's example; with what may be missing, missing; and with each of the categories it names."""
    rows: list[dict[str, Any]] = [EXAMPLE]
    for column in contract.INPUTS:
        values = ([None] if column.nullable else []) + list(column.categories)
        rows += [EXAMPLE | {column.name: value} for value in values]
    return rows


def expected_answers(predictor: Predictor) -> dict[str, Any]:
    """The rows that a version is asked about wherever it runs, and its probabilities for them."""
    # Here, because pyarrow is nothing that who deploys needs.
    import pyarrow as pa

    from lifecycle.shared.months import ARROW_SCHEMA, to_columns

    rows = examples()
    times = [column.name for column in contract.INPUTS if column.type == "timestamp"]
    typed = [row | {name: datetime.fromisoformat(row[name]) for name in times if row[name]} for row in rows]
    table = pa.Table.from_pylist(typed, pa.schema([ARROW_SCHEMA.field(column.name) for column in contract.INPUTS]))
    return {"rows": rows, "probabilities": predictor.probabilities(to_columns(table)).tolist()}


def difference(port: int, answers: Mapping[str, Any], headers: Mapping[str, str]) -> float:
    """By how much a service's probabilities are off, at most.

    Raises:
        UserError: Where it refuses a row.
    """
    status, answer = ask(port, "POST", "/predict", answers["rows"], {**headers, **DRY_RUN})
    if status != HTTPStatus.OK:
        raise UserError(f"it answers rows of the contract with {status}: {answer}")
    found = [one["probability"] for one in answer["predictions"]]
    return float(np.abs(np.subtract(found, answers["probabilities"])).max())


def smoke(
    port: int, version: Version, answers: Mapping[str, Any], headers: Mapping[str, str], over: Callable[[], bool]
) -> None:
    """Wait until a version is ready, and ask it.

    Args:
        port: Where it listens.
        version: It has to be.
        answers: What was registered with it as `ANSWERS`.
        headers: That a request needs.
        over: Tells whether it has ended.

    Raises:
        UserError: With what is wrong.
    """
    wait_until_ready(port, over)
    try:
        status, told = ask(port, "GET", "/model", headers=headers)
        if status != HTTPStatus.OK:
            raise UserError(f"it does not tell which version it is ({status}: {told})")
        if (told["version"], told["commit"]) != (str(version.number), version.commit):
            raise UserError(f"it is version {told['version']}, of commit {told['commit'][:12]}")
        off = difference(port, answers, headers)
        status, answer = ask(port, "POST", "/predict", {}, headers)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"what it answers is no answer of this service ({error!r})") from error
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"it does not answer within {PATIENCE} s ({error!r})") from error
    if off > SAME:
        raise UserError(f"its probabilities are off by up to {off:.3g}")
    if status != HTTPStatus.BAD_REQUEST:
        raise UserError(f"it answers a row without columns with {status}: {answer}")
