"""Columns of the contract: what is declared of each, and the one table of their types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Rows by column, in training and in the service: text as objects, None where it is missing; numbers as float64, NaN
# where they are missing; timestamps as datetime64[s].
Columns = dict[str, NDArray[np.generic]]
# The number that stands for each category that training has seen, by column.
Codes = Mapping[str, Mapping[str, int]]

ColumnType = Literal["category", "integer", "number", "timestamp"]


@dataclass(frozen=True, slots=True)
class TypeForms:
    """The forms that the values of a column type take on their way from a file or a request to the features.

    Attributes:
        json: JSON Schema type of a value in a request.
        arrow: pyarrow alias of the type in data files.
        pandas: dtype in the frames that are validated.
        numpy: dtype of the arrays that ``features`` gets.
        duckdb: SQL type in which the prediction log is read.
        mlflow: Name of the type in the signature of a tracked model.
        words: What a value is called in messages.
    """

    json: str
    arrow: str
    pandas: str
    numpy: str
    duckdb: str
    mlflow: str
    words: str


TYPES: dict[ColumnType, TypeForms] = {
    "category": TypeForms("string", "string", "str", "object", "VARCHAR", "string", "a text"),
    "integer": TypeForms("integer", "int32", "Int32", "float64", "DOUBLE", "long", "a whole number"),
    "number": TypeForms("number", "double", "float64", "float64", "DOUBLE", "double", "a number"),
    "timestamp": TypeForms(
        "string", "timestamp[ms]", "datetime64[ms]", "datetime64[s]", "TIMESTAMP", "datetime", "a date and time"
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One input column.

    Attributes:
        name: Name in the data, in requests and in reports.
        type: ``category`` is text; ``timestamp`` is a date and time without a zone, in JSON ``YYYY-MM-DDThh:mm:ss``.
        description: Meaning of the column, shown on the API page and in the model card.
        example: A valid value.
        unit: Unit of measurement.
        minimum: Smallest valid value.
        maximum: Largest valid value.
        categories: The only valid categories. If empty, every text that matches ``pattern`` is valid, whether or not
            training has seen it.
        pattern: Regular expression that the whole of a category must match.
        nullable: Whether the value may be missing.
    """

    name: str
    type: ColumnType
    description: str
    example: str | float
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    pattern: str | None = None
    nullable: bool = False

    @property
    def forms(self) -> TypeForms:
        """The forms of the column's type."""
        return TYPES[self.type]

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.type in {"integer", "number"}
