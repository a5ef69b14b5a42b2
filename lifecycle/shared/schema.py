"""The contract as JSON Schema, and its version."""

import hashlib
import json
from typing import Any

from lifecycle.shared.columns import Column, Target
from lifecycle.shared.inputs import request_columns
from model import contract

# Matches every day of the calendar and nothing else, so that the pattern alone validates a timestamp.
_LEAP_YEAR = "(?!0000)(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DAY = (
    "(?:(?!0000)[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_TIMESTAMP = f"{_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


def json_schema() -> dict[str, Any]:
    """Return the contract of one input row as JSON Schema (draft 2020-12), with ``unit`` as an annotation."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": contract.NAME,
        "type": "object",
        "properties": {column.name: value_schema(column) for column in request_columns()},
        "required": [column.name for column in request_columns() if not column.optional],
        "additionalProperties": False,
        "identity": list(contract.IDENTITY),
        "target": {"name": contract.TARGET.name} | value_schema(contract.TARGET),
    }


def contract_version() -> str:
    """Return twelve hexadecimal digits that change whenever the contract does."""
    return hashlib.sha256(json.dumps(json_schema(), sort_keys=True).encode()).hexdigest()[:12]


def value_schema(column: Column | Target) -> dict[str, Any]:
    """Return the JSON Schema of a column's values, with ``unit`` and ``description`` as annotations."""
    json_type = column.forms.json
    # The format date-time does not fit: it requires a time zone.
    pattern = _TIMESTAMP if column.type == "timestamp" else column.pattern
    values: dict[str, Any] = {
        "type": [json_type, "null"] if column.nullable else json_type,
        "unit": column.unit,
        "minimum": column.minimum,
        "maximum": column.maximum,
        "enum": list(column.categories) or None,
        "pattern": f"^{pattern}$" if pattern else None,
        "description": column.description,
        "examples": None if column.example is None else [column.example],
    }
    return {key: value for key, value in values.items() if value is not None}
