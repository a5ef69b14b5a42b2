"""The OpenAPI document of the service, derived from the contract."""

from typing import Any

from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.schema import json_schema, value_schema
from model import contract


def openapi(version: str, max_rows: int, *, with_keys: bool) -> dict[str, Any]:
    """Return the OpenAPI document of the service.

    Args:
        version: Version of the model.
        max_rows: Largest number of rows in a request.
        with_keys: Whether a request needs an API key.
    """
    row = {key: value for key, value in json_schema().items() if key not in {"$schema", "identity", "target"}}
    example = {column.name: column.example for column in request_columns()}
    prediction_id = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    schemas: dict[str, Any] = {
        "Row": {**row, "description": f"The inputs of a prediction. Target: {contract.TARGET.description}"},
        "Prediction": _object(
            id={**prediction_id, "description": "Names the prediction when its outcome is reported."},
            **TASK.answer_schema(),
        ),
        "Predictions": _object(
            predictions={"type": "array", "items": _ref("Prediction"), "description": "In the order of the rows."},
            model_version={"type": "string"},
            commit={"type": "string"},
            contract_version={"type": "string"},
        ),
        "Feedback": {
            **_object(
                prediction_id=prediction_id,
                outcome=value_schema(contract.TARGET),
            ),
            "additionalProperties": False,
        },
        "Accepted": _object(accepted={"type": "integer"}),
        "Model": {"type": "object"},
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {"type": "string", "description": "What is wrong."},
                "row": {"type": "integer", "description": "Number of the row in the request, from 0."},
                "field": {"type": "string"},
                "rule": {"type": "string", "description": "The rule for the field's values."},
            },
        },
    }
    keys = {401} if with_keys else set[int]()
    operations = {
        "/predict": {
            "post": {
                "operationId": "predict",
                "summary": "Predict one row or a list of rows",
                "parameters": [_DRY_RUN],
                "requestBody": _body("Row", max_rows, example),
                "responses": _responses("Predictions", 200, _FOR_BODIES | keys),
            }
        },
        "/feedback": {
            "post": {
                "operationId": "feedback",
                "summary": "Report the outcomes of earlier predictions",
                "requestBody": _body(
                    "Feedback", max_rows, {"prediction_id": "0" * 32, "outcome": TASK.outcome_example()}
                ),
                "responses": _responses("Accepted", 202, _FOR_BODIES | keys),
            }
        },
        "/model": {
            "get": {
                "operationId": "model",
                "summary": "Describe the running model",
                "responses": _responses("Model", 200, {503} | keys),
            }
        },
    }
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": contract.NAME, "version": version, "description": contract.TARGET.description},
        "paths": operations,
        "components": {"schemas": schemas},
    }
    if with_keys:
        document["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        document["security"] = [{"key": []}]
    return document


_REFUSALS = {
    400: "The body is not JSON or does not follow the contract. The answer names the field and the rule.",
    401: "The API key is missing or invalid.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not declared as application/json.",
    503: "Too many requests at a time, or the prediction log is full. Retry after the seconds in Retry-After.",
}
_FOR_BODIES = set(_REFUSALS) - {401}
_DRY_RUN = {
    "name": "X-Dry-Run",
    "in": "header",
    "schema": {"type": "boolean"},
    "description": "If `true`, the prediction is neither logged nor counted: for tests and probes.",
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _body(item: str, most: int, example: Any) -> dict[str, Any]:
    """Return the body of a request with one item or a list of items."""
    several = {"type": "array", "minItems": 1, "maxItems": most, "items": _ref(item)}
    content = {"schema": {"anyOf": [_ref(item), several]}, "example": example}
    return {"required": True, "content": {"application/json": content}}


def _responses(answer: str, status: int, refusals: set[int]) -> dict[str, Any]:
    described = {status: ("Success.", answer)} | {code: (_REFUSALS[code], "Error") for code in sorted(refusals)}
    return {
        str(number): {"description": description, "content": {"application/json": {"schema": _ref(name)}}}
        for number, (description, name) in described.items()
    }
