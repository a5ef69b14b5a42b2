"""Types of requests, derived from the contract, and explanations of requests that do not fit them."""

import operator
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from lifecycle.shared.columns import Column, Columns
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.json_types import json_type

Row = msgspec.defstruct(
    "Row",
    # A column that may be left out comes last, as fields with a default value have to.
    [(column.name, json_type(column)) for column in request_columns() if not column.optional]
    + [(column.name, json_type(column), None) for column in request_columns() if column.optional],
    frozen=True,
    forbid_unknown_fields=True,
    gc=False,
)

_NUMBERS = [column.name for column in request_columns() if column.is_numeric]
_OTHERS = [(column.name, np.dtype(column.forms.numpy)) for column in request_columns() if column.name not in _NUMBERS]


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that returns attributes of a row as a tuple, of whatever number."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda row: tuple(getattr(row, name) for name in names)


_NUMBERS_OF, _OTHERS_OF = _getter(_NUMBERS), _getter([name for name, _ in _OTHERS])


def rows_to_columns(rows: Sequence[Any]) -> Columns:
    """Convert the rows of a request to NumPy columns, the form that features.py takes."""
    # One array for all numbers takes half of the time of one array for each column, for a single row.
    numbers = np.array([_NUMBERS_OF(row) for row in rows], dtype=np.float64)
    columns: Columns = dict(zip(_NUMBERS, numbers.T, strict=True))
    others = zip(*map(_OTHERS_OF, rows), strict=True)
    for (name, dtype), values in zip(_OTHERS, others, strict=True):
        columns[name] = np.array(values, dtype=dtype)
    return columns


def rule(column: Column) -> str:
    """Describe the valid values of a column in words."""
    text = column.forms.words
    if column.categories:
        text = f"one of {', '.join(column.categories)}"
    elif column.pattern:
        text += f" that matches {column.pattern}"
    elif column.type == "timestamp":
        text += " without a zone as YYYY-MM-DDThh:mm:ss"
    if column.minimum is not None:
        text += f" from {column.minimum:g}"
    if column.maximum is not None:
        text += f" up to {column.maximum:g}"
    if column.unit:
        text += f" ({column.unit})"
    return f"{text}, or null" if column.nullable else text


_BY_NAME = {column.name: column for column in request_columns()}
_PATH = re.compile(r"(?P<error>.*) - at `\$(?:\[(?P<row>\d+)\])?(?:\.(?P<field>\w+))?`", re.DOTALL)
_NAMED = re.compile(r"(?P<error>Object .* field )`(?P<field>.*)`", re.DOTALL)
_MAX_NAME_LENGTH = 100


def one_or_more(item: Any, most: int) -> Any:
    """Return the type of a body with one item or a list of items."""
    return item | Annotated[list[item], Meta(min_length=1, max_length=most)]


def explain_error(message: str, *, is_list: bool) -> dict[str, Any]:
    """Split msgspec's message about an invalid body into error, row, field and rule.

    Args:
        message: Message of msgspec. It quotes the names of unknown fields, which a client can make look like a path.
        is_list: Whether the body is a list.
    """
    path = _PATH.fullmatch(message)
    named = _NAMED.fullmatch(path["error"] if path and is_list else message)
    if named:
        name = named["field"][:_MAX_NAME_LENGTH]
        error = f"{named['error']}`{name}`"
    else:
        error, name = (path["error"], path["field"]) if path else (message, None)
    column = _BY_NAME.get(name or "")
    explained: dict[str, Any] = {"error": error}
    if column:
        explained["rule"] = rule(column)
        if not named:
            explained["error"] = f"{name} must be {rule(column)}"
    if path and is_list and path["row"]:
        explained["row"] = int(path["row"])
    if name is not None:
        explained["field"] = name
    return explained
