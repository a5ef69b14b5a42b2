"""The contract as the type of a request."""

import operator
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

from lifecycle.shared.columns import Column, Columns
from lifecycle.shared.schema import json_schema
from model import contract


class Feedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What turned out to be true of an earlier prediction."""

    prediction_id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    outcome: bool


def _json_type(column: Column) -> Any:
    schema = json_schema()["properties"][column.name]
    found: Any
    if "enum" in schema:
        found = Literal[tuple(schema["enum"])]
    elif schema.get("pattern"):
        # `$` would let a newline through at the end.
        found = Annotated[str, Meta(pattern=rf"\A(?:{schema['pattern'].removeprefix('^').removesuffix('$')})\Z")]
    elif column.type == "category":
        found = str
    else:
        # A whole number may come as 2001.0: that is what pandas makes of a column in which some are missing.
        whole = 1 if column.type == "integer" else None
        found = Annotated[float, Meta(ge=column.minimum, le=column.maximum, multiple_of=whole)]
    return found | None if column.nullable else found


Row = msgspec.defstruct(
    "Row",
    [(column.name, _json_type(column)) for column in contract.INPUTS],
    frozen=True,
    forbid_unknown_fields=True,
    gc=False,
)

_NUMBERS = [column.name for column in contract.INPUTS if column.is_numeric]
_OTHERS = [(column.name, np.dtype(column.forms.numpy)) for column in contract.INPUTS if column.name not in _NUMBERS]
_NUMBERS_OF, _OTHERS_OF = operator.attrgetter(*_NUMBERS), operator.attrgetter(*(name for name, _ in _OTHERS))


def rows_to_columns(rows: Sequence[Any]) -> Columns:
    """Rows of a request as NumPy columns, in the form that features.py takes."""
    # All numbers in one array, and its columns: for a single row that is half of the time.
    numbers = np.array([_NUMBERS_OF(row) for row in rows], dtype=np.float64)
    columns: Columns = dict(zip(_NUMBERS, numbers.T, strict=True))
    others = zip(*map(_OTHERS_OF, rows), strict=True)
    for (name, dtype), values in zip(_OTHERS, others, strict=True):
        columns[name] = np.array(values, dtype=dtype)
    return columns


def rule(column: Column) -> str:
    """What a value of the column has to be, in words."""
    said = column.forms.words
    if column.categories:
        said = f"one of {', '.join(column.categories)}"
    elif column.pattern:
        said += f" that matches {column.pattern}"
    elif column.type == "timestamp":
        said += " without a zone as YYYY-MM-DDThh:mm:ss"
    if column.minimum is not None:
        said += f" from {column.minimum:g}"
    if column.maximum is not None:
        said += f" up to {column.maximum:g}"
    if column.unit:
        said += f" ({column.unit})"
    return f"{said}, or null" if column.nullable else said


_BY_NAME = {column.name: column for column in contract.INPUTS}
_PATH = re.compile(r"(?P<what>.*) - at `\$(?:\[(?P<row>\d+)\])?(?:\.(?P<field>\w+))?`", re.DOTALL)
_NAMED = re.compile(r"(?P<what>Object .* field )`(?P<field>.*)`", re.DOTALL)
_LONGEST_NAME = 100


def one_or_more(item: Any, most: int) -> Any:
    """The type of a body that holds an item or a list of them."""
    return item | Annotated[list[item], Meta(min_length=1, max_length=most)]


def explain_error(said: str, *, several: bool) -> dict[str, Any]:
    """What msgspec says of a body that breaks the contract, with the row, the field and the rule by themselves.

    Args:
        said: By msgspec. It quotes the name of an unknown field, which may be made to look like the path of another.
        several: Whether the body holds a list.
    """
    path = _PATH.fullmatch(said)
    named = _NAMED.fullmatch(path["what"] if path and several else said)
    if named:
        name = named["field"][:_LONGEST_NAME]
        what = f"{named['what']}`{name}`"
    else:
        what, name = (path["what"], path["field"]) if path else (said, None)
    column = _BY_NAME.get(name or "")
    explained: dict[str, Any] = {"error": what}
    if column:
        explained["rule"] = rule(column)
        if not named:
            explained["error"] = f"{name} must be {rule(column)}"
    if path and several and path["row"]:
        explained["row"] = int(path["row"])
    if name is not None:
        explained["field"] = name
    return explained
