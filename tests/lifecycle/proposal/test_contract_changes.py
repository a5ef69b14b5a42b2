"""What a change of the contract means for clients."""

from copy import deepcopy
from typing import Any

import pytest

from lifecycle.proposal.contract_changes import contract_changes
from lifecycle.shared.schema import json_schema

COLUMN = {"type": "number", "unit": "miles", "minimum": 1, "maximum": 9}
TEXT = {"type": "string", "enum": ["a", "b"]}
CONTRACT: dict[str, Any] = {
    "properties": {"distance": COLUMN, "code": TEXT, "note": {"type": ["string", "null"]}},
    "required": ["distance", "code"],
    "target": {"name": "late", "type": "boolean"},
}


def changed(**properties: Any) -> dict[str, Any]:
    """Return the contract with other columns; None removes one."""
    kept = {name: column for name, column in {**CONTRACT["properties"], **properties}.items() if column is not None}
    return CONTRACT | {"properties": kept, "required": [name for name in CONTRACT["required"] if name in kept]}


CASES: dict[str, tuple[dict[str, Any], str, str, bool]] = {
    "removed": (changed(distance=None), "distance", "removed", True),
    "added": (changed(gate=TEXT) | {"required": ["distance", "code", "gate"]}, "gate", "added", True),
    "added, optional": (changed(gate=TEXT), "gate", "added, optional", False),
    "required": (CONTRACT | {"required": ["distance", "code", "note"]}, "note", "no longer optional", True),
    "optional": (CONTRACT | {"required": ["distance"]}, "code", "optional", False),
    "another type": (changed(code={"type": "integer"}), "code", "type string → integer", True),
    "whole numbers": (changed(distance=COLUMN | {"type": "integer"}), "distance", "type number → integer", True),
    "not nullable": (changed(note={"type": "string"}), "note", "must not be missing", True),
    "nullable": (changed(code=TEXT | {"type": ["string", "null"]}), "code", "may be missing", False),
    "another unit": (changed(distance=COLUMN | {"unit": "km"}), "distance", "unit miles → km", True),
    "higher minimum": (changed(distance=COLUMN | {"minimum": 2}), "distance", "minimum 1 → 2", True),
    "lower minimum": (changed(distance=COLUMN | {"minimum": 0}), "distance", "minimum 1 → 0", False),
    "lower maximum": (changed(distance=COLUMN | {"maximum": 8}), "distance", "maximum 9 → 8", True),
    "higher maximum": (changed(distance=COLUMN | {"maximum": 10}), "distance", "maximum 9 → 10", False),
    "no maximum": (
        changed(distance={"type": "number", "unit": "miles", "minimum": 1}),
        "distance",
        "maximum 9 → none",
        False,
    ),
    "fewer categories": (changed(code=TEXT | {"enum": ["a"]}), "code", "without b", True),
    "more categories": (changed(code=TEXT | {"enum": ["a", "b", "c"]}), "code", "also c", False),
    "any category": (changed(code={"type": "string"}), "code", "any category", False),
    "a pattern": (changed(note={"type": ["string", "null"], "pattern": "^x$"}), "note", "pattern none → ^x$", True),
    "another target": (
        CONTRACT | {"target": {"name": "delay", "type": "number"}},
        "delay",
        "target late → delay",
        True,
    ),
    "classes": (
        CONTRACT | {"target": {"name": "late", "type": "string", "enum": ["a"]}},
        "late",
        "target of another kind",
        True,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_change(case: str) -> None:
    after, column, change, breaks = CASES[case]
    (found,) = contract_changes(CONTRACT, after)
    assert (found.column, found.change, found.breaks) == (column, change, breaks)


def test_what_clients_do_not_notice() -> None:
    after = deepcopy(json_schema())
    after["properties"]["distance"]["description"] = "Other words."
    assert contract_changes(json_schema(), after) == []


def test_an_integer_may_become_a_number() -> None:
    before = changed(distance=COLUMN | {"type": "integer"})
    (found,) = contract_changes(before, CONTRACT)
    assert (found.effect, found.breaks) == ("fractions are allowed", False)


def test_what_breaks_comes_first() -> None:
    after = changed(distance=COLUMN | {"maximum": 10}, code=TEXT | {"enum": ["b", "c"]})
    assert [change.breaks for change in contract_changes(CONTRACT, after)] == [True, False, False]
