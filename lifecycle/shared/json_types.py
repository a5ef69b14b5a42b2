"""Types of values in JSON, derived from the contract: what a client may send for an input or an outcome."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from lifecycle.shared.columns import INTEGERS, Column, Target
from lifecycle.shared.schema import value_schema


def json_type(column: Column | Target) -> Any:
    """Return the type of a column's values, for msgspec."""
    schema = value_schema(column)
    values: Any
    if "enum" in schema:
        values = Literal[tuple(schema["enum"])]
    elif "pattern" in schema:
        # `$` would accept a trailing newline.
        values = Annotated[str, Meta(pattern=rf"\A(?:{schema['pattern'].removeprefix('^').removesuffix('$')})\Z")]
    elif column.type == "category":
        values = str
    elif column.type == "boolean":
        values = bool
    else:
        least, most, whole = column.minimum, column.maximum, None
        if column.type == "integer":
            # It may arrive as 2001.0, because pandas turns integers into floats in a column with missing values.
            whole = 1
            least, most = INTEGERS[0] if least is None else least, INTEGERS[1] if most is None else most
        values = Annotated[float, Meta(ge=least, le=most, multiple_of=whole)]
    return values | None if column.nullable else values
