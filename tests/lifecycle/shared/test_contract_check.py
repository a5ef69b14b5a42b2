"""Each fault of a contract is named in a sentence, and a command says it instead of a traceback."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lifecycle.shared.columns import Column, Target
from lifecycle.shared.contract_check import faults
from model import contract
from tests.lifecycle.repository import copy_repository

X = Column(name="x", type="number", description="Any.", example=1.5)
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"NAME": "My Model!"}, "NAME 'My Model!' cannot name an image: use up to 63 lower-case letters"),
    "long name": ({"NAME": "a" * 64}, "cannot name an image"),
    "space": ({"INPUTS": ["two words"]}, "'two words' cannot name a column: use letters, digits and underscores"),
    "keyword": ({"INPUTS": ["class"]}, "'class' cannot name a column"),
    "underscore": ({"INPUTS": ["_x"]}, "'_x' cannot name a column"),
    "reserved": ({"INPUTS": ["Time"]}, "'Time' cannot name a column: the prediction log has a column of that name"),
    "twice": ({"INPUTS": ["x", "X"]}, "2 columns have the same name, without regard to case: 'x', 'X'."),
    "like the target": ({"INPUTS": ["y"]}, "2 columns have the same name, without regard to case: 'y', 'y'."),
    "example": ({"INPUTS": [{"example": "far"}]}, "The example of x, 'far', is not a number."),
    "NaN": ({"INPUTS": [{"example": float("nan")}]}, "is not a number."),
    "truth": ({"INPUTS": [{"example": True}]}, "The example of x, True, is not a number."),
    "no truth": ({"INPUTS": [{"type": "boolean", "example": 1}]}, "The example of x, 1, is neither True nor False."),
    "fraction": ({"INPUTS": [{"type": "integer"}]}, "The example of x, 1.5, is not a whole number."),
    "limits": ({"INPUTS": [{"minimum": 2}]}, "The example of x, 1.5, is outside of its limits."),
    "no limits": ({"INPUTS": [{"minimum": 2, "maximum": 1}]}, "The minimum of x, 2, is larger than its maximum, 1."),
    "text": ({"INPUTS": [{"type": "category"}]}, "The example of x, 1.5, is not a text."),
    "other category": (
        {"INPUTS": [{"type": "category", "categories": ("a", "b"), "example": "c"}]},
        "The example of x, 'c', is not one of its categories.",
    ),
    "double category": (
        {"INPUTS": [{"type": "category", "categories": ("a", "a"), "example": "a"}]},
        "x lists a category twice: 'a'.",
    ),
    "empty category": (
        {"INPUTS": [{"type": "category", "categories": ("", "a"), "example": "a"}]},
        "x has a category that is no text or empty",
    ),
    "pattern": (
        {"INPUTS": [{"type": "category", "pattern": "[A-Z]{2}", "example": "UAL"}]},
        "The example of x, 'UAL', does not match its pattern.",
    ),
    "no pattern": (
        {"INPUTS": [{"type": "category", "pattern": "[A-Z", "example": "U"}]},
        "The pattern of x is not a regular expression: unterminated character set",
    ),
    "pattern of a number": ({"INPUTS": [{"pattern": ".*"}]}, "x has a pattern, which only a category"),
    "time": ({"INPUTS": [{"type": "timestamp", "example": "2013-02-30T00:00:00"}]}, "is not a date and time like"),
    "zone": ({"INPUTS": [{"type": "timestamp", "example": "2013-02-20T00:00:00Z"}]}, "is not a date and time like"),
    "optional": (
        {"INPUTS": [{"optional": True}]},
        "x is optional, so its value may be missing: set nullable",
    ),
    "nothing to learn from": ({"INPUTS": [{"role": "ignored"}]}, "INPUTS has no column with the role feature"),
    "classes": ({"TARGET": {"type": "category"}}, "The target y is a category, so it needs at least two categories"),
    "limits of truth": ({"TARGET": {"minimum": 0}}, "y is a boolean, which has neither minimum nor maximum."),
    "identity": ({"IDENTITY": ("z",)}, "IDENTITY names z, which is not a column of INPUTS."),
    "missing identity": (
        {"INPUTS": [{"nullable": True}], "IDENTITY": ("x",)},
        "IDENTITY names x, which may be missing: a row without it could not be told apart.",
    ),
    "no time": ({"TIME": "x"}, "TIME is x, which has to be a timestamp that is never missing and not ignored."),
    "unknown group": ({"GROUP": "z"}, "GROUP is z, which is not a column of INPUTS."),
    "cluster": ({"CLUSTER": "z"}, "CLUSTER is z, which is not a column of INPUTS."),
    "days": ({"CLUSTER": "day"}, 'CLUSTER is "day", but there is no TIME.'),
}


def made(**changes: Any) -> ModuleType:
    """Make a contract with one input `x` and the target `y`; an input is given by its name, or by what is different."""
    values: dict[str, Any] = {"NAME": "any-name", "IDENTITY": (), "TIME": None, "GROUP": None, "CLUSTER": None}
    inputs = changes.pop("INPUTS", [{}])
    target = changes.pop("TARGET", {})
    module = ModuleType("contract")
    base = {"name": "x", "type": "number", "description": "Any.", "example": 1.5}
    columns = tuple(Column(**base | ({"name": given} if isinstance(given, str) else given)) for given in inputs)
    module.__dict__.update(values | changes | {"INPUTS": columns})
    module.__dict__["TARGET"] = Target(**{"name": "y", "type": "boolean", "description": "Any."} | target)
    return module


def test_contracts_without_a_fault() -> None:
    assert faults(contract) == []
    assert faults(made()) == []
    assert faults(made(INPUTS=["größe", "x1"])) == []


@pytest.mark.parametrize("fault", BROKEN)
def test_fault(fault: str) -> None:
    changes, sentence = BROKEN[fault]
    assert any(sentence in found for found in faults(made(**changes))), faults(made(**changes))


def test_a_command_names_each_fault(tmp_path: Path) -> None:
    repository = copy_repository(tmp_path / "project")
    path = repository.folder / "model/contract.py"
    text = path.read_text(encoding="utf-8")
    broken = text.replace('NAME = "flight-delay"', 'NAME = "Flight delay"').replace('example="UA"', 'example="ua"')
    path.write_text(broken, encoding="utf-8")
    completed = repository.run("python", "-m", "lifecycle.pipeline.prepare")
    assert completed.returncode == 1
    assert completed.stdout.splitlines() == [
        "error: model/contract.py cannot be used:",
        (
            "  NAME 'Flight delay' cannot name an image: use up to 63 lower-case letters, digits and hyphens, such as "
            "'flight-delay'."
        ),
        "  The example of carrier, 'ua', does not match its pattern.",
    ]
