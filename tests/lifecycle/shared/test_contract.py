import dataclasses
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from lifecycle.shared.schema import contract_version, json_schema
from lifecycle.shared.tables import ARROW_SCHEMA
from lifecycle.shared.validation import as_pandas, validate
from model import contract


def test_schema_states_every_input_with_its_rules() -> None:
    schema = json_schema()
    assert list(schema["properties"]) == [c.name for c in contract.INPUTS] == schema["required"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["wind_speed"] == {
        "type": ["number", "null"],
        "unit": "miles per hour",
        "minimum": 0,
        "maximum": 200,
        "description": "Wind speed at the origin in that hour.",
        "examples": [9.2],
    }
    assert schema["properties"]["origin"]["enum"] == ["EWR", "JFK", "LGA"]
    departure = re.compile(schema["properties"]["scheduled_departure"]["pattern"])
    assert departure.search("2013-07-01T17:30:00")
    assert not departure.search("2013-07-01T17:30:00Z")
    assert not departure.search("2013-13-01T17:30:00")
    assert schema["target"]["name"] == "late"
    assert "cancelled" in schema["target"]["description"]
    assert "diverted" in schema["target"]["description"]


def test_every_column_is_explained() -> None:
    assert all(c.description.endswith(".") for c in contract.INPUTS)
    assert all(c.unit for c in contract.INPUTS if c.type == "number")
    assert {c.name for c in contract.INPUTS} >= set(contract.IDENTITY)


def test_examples_are_legal_rows() -> None:
    example = {c.name: c.example for c in contract.INPUTS}
    row = pd.DataFrame([example | {"late": True}, example | {"late": False, "flight_number": 2}])
    row["scheduled_departure"] = pd.to_datetime(row["scheduled_departure"])
    validate(as_pandas(pa.Table.from_pandas(row, ARROW_SCHEMA)), source="examples", part="2013-07")


def test_version_changes_with_any_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    before = contract_version()
    assert contract_version() == before
    wider = dataclasses.replace(contract.INPUTS[-1], maximum=2_000)
    monkeypatch.setattr(contract, "INPUTS", (*contract.INPUTS[:-1], wider))
    assert contract_version() != before


def test_contract_needs_nothing_of_the_project() -> None:
    assert "from model" not in Path(contract.__file__).read_text(encoding="utf-8")


def test_names_are_unique() -> None:
    names = [c.name for c in contract.INPUTS]
    assert len(set(names)) == len(names)
