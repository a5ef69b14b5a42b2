"""The smoke test of a version on the host of production: does it answer as its model did after the training?

The requests are derived from the contract, so that no row of the training data has to be on the host.
"""

import http.client
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

import numpy as np

from lifecycle.registry.versions import Version
from lifecycle.release.client import TIMEOUT, ask, wait_until_ready
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.console import UserError
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.predictor import Predictor

ANSWERS = "answers.json"
DRY_RUN = {"X-Dry-Run": "true"}
EXAMPLE = {column.name: column.example for column in request_columns()}
SAME = 1e-6  # largest difference of two predictions that count as equal; see `Task.differences`


def examples() -> list[dict[str, Any]]:
    """Return the contract's example, and its variants with each missing value and each category that is allowed.

    The last one has no optional columns, if there are any.
    """
    rows: list[dict[str, Any]] = [EXAMPLE]
    for column in request_columns():
        values: list[Any] = ([None] if column.nullable else []) + list(column.categories)
        values += [True, False] if column.type == "boolean" else []
        rows += [EXAMPLE | {column.name: value} for value in values]
    required = {column.name: column.example for column in request_columns() if not column.optional}
    return rows if required == EXAMPLE else [*rows, required]


def expected_answers(predictor: Predictor) -> dict[str, Any]:
    """Return the rows of the smoke test, the model's predictions for them, and the summary of its targets."""
    # Imported here because a deployment does not need pyarrow.
    import pyarrow as pa

    from lifecycle.shared.tables import ARROW_SCHEMA, to_columns

    rows = examples()
    times = [column.name for column in request_columns() if column.type == "timestamp"]
    typed = [row | {name: datetime.fromisoformat(row[name]) for name in times if row.get(name)} for row in rows]
    table = pa.Table.from_pylist(typed, pa.schema([ARROW_SCHEMA.field(column.name) for column in request_columns()]))
    predictions = predictor.predict(to_columns(table)).tolist()
    return {"rows": rows, "predictions": predictions, "target": predictor.metadata["target"]}


def largest_difference(port: int, answers: Mapping[str, Any], headers: Mapping[str, str]) -> float:
    """Return the largest difference between a service's predictions and the expected ones.

    Raises:
        UserError: If the service does not return 200.
    """
    status, answer = ask(port, "POST", "/predict", answers["rows"], {**headers, **DRY_RUN})
    if status != HTTPStatus.OK:
        raise UserError(f"POST /predict with valid rows returned {status}: {answer}")
    # Versions from before other kinds of target have probabilities.
    expected = np.array(answers["predictions"] if "predictions" in answers else answers["probabilities"])
    predictions = TASK.read_answers(answer["predictions"])
    return float(TASK.differences(predictions, expected, answers.get("target", {})).max())


def smoke(
    port: int, version: Version, answers: Mapping[str, Any], headers: Mapping[str, str], has_exited: Callable[[], bool]
) -> None:
    """Wait until a version is ready, and smoke-test it.

    Args:
        port: Port of the service on this machine.
        version: Version that should run there.
        answers: Expected answers, registered with the version as `ANSWERS`.
        headers: Headers that requests need, such as an API key.
        has_exited: Returns whether the process of the service has exited.

    Raises:
        UserError: If the service does not become ready, is another version, or gives a wrong answer.
    """
    wait_until_ready(port, has_exited)
    try:
        status, model = ask(port, "GET", "/model", headers=headers)
        if status != HTTPStatus.OK:
            raise UserError(f"GET /model returned {status}: {model}")
        if (model["version"], model["commit"]) != (str(version.number), version.commit):
            raise UserError(f"the service is version {model['version']} of commit {model['commit'][:12]}")
        difference = largest_difference(port, answers, headers)
        status, answer = ask(port, "POST", "/predict", {}, headers)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the service gave an unexpected answer ({error!r})") from error
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"the service did not answer within {TIMEOUT} s ({error!r})") from error
    if difference > SAME:
        raise UserError(f"its predictions differ from the registered ones by up to {difference:.3g}")
    if status != HTTPStatus.BAD_REQUEST:
        raise UserError(f"POST /predict with an empty row returned {status} instead of 400: {answer}")
