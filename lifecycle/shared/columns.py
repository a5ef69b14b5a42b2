"""Columns of the contract: the declaration of a column, and the one table of column types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

# Rows as one array per column, in training and in the service: text as objects, with None for a missing value; numbers
# and booleans as float64, with NaN for a missing value; timestamps as datetime64[s], with NaT for a missing value.
Columns = dict[str, NDArray[np.generic]]
# By column, the code of each category that occurs in the training data.
Codes = Mapping[str, Mapping[str, int]]

# The least and the largest whole number of a column, which has 32 bits in data files.
INTEGERS = (-(2**31), 2**31 - 1)

ColumnType = Literal["boolean", "category", "integer", "number", "timestamp"]


@dataclass(frozen=True, slots=True)
class TypeForms:
    """The representations of a column type's values on their way from a file or a request to the features.

    Attributes:
        json: JSON Schema type of a value in a request.
        arrow: pyarrow alias of the type in data files.
        pandas: dtype in the frames that validation checks.
        numpy: dtype of the arrays passed to ``features``.
        duckdb: SQL type used to read the prediction log.
        mlflow: Name of the type in the signature of an MLflow model.
        log: SQLAlchemy type of an outcome in the prediction log.
        words: Name of a value in error messages.
    """

    json: str
    arrow: str
    pandas: str
    numpy: str
    duckdb: str
    mlflow: str
    log: str
    words: str


TYPES: dict[ColumnType, TypeForms] = {
    "boolean": TypeForms("boolean", "bool", "boolean", "float64", "BOOLEAN", "boolean", "Boolean", "true or false"),
    "category": TypeForms("string", "string", "str", "object", "VARCHAR", "string", "Text", "a string"),
    "integer": TypeForms("integer", "int32", "Int32", "float64", "DOUBLE", "long", "Integer", "a whole number"),
    "number": TypeForms("number", "double", "float64", "float64", "DOUBLE", "double", "Float", "a number"),
    "timestamp": TypeForms(
        "string", "timestamp[ms]", "datetime64[ms]", "datetime64[s]", "TIMESTAMP", "datetime", "Text", "a date and time"
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """An input column of the model.

    Attributes:
        name: Name in the data, in requests and in reports.
        type: ``category`` is text; ``timestamp`` is a date and time without a zone, in JSON ``YYYY-MM-DDThh:mm:ss``;
            ``integer`` and ``number`` measure something, and ``boolean`` is true or false.
        description: Meaning of the column, shown on the API page and in the model card.
        example: A valid value.
        unit: Unit of measurement.
        minimum: Smallest valid value.
        maximum: Largest valid value.
        categories: The only valid categories. If empty, every text that matches ``pattern`` is valid, whether or not
            training has seen it.
        pattern: Regular expression that must match the whole category.
        nullable: Whether the value may be missing.
        optional: Whether a request may leave out the column; its value is then missing. A new column starts as an
            optional one, so that clients do not have to change at the moment of the release.
        role: ``feature`` for a column that the model may learn from, and that is watched; ``identity`` for one that
            only tells rows apart: it is part of a request and of the prediction log, but not watched; ``ignored`` for
            one that is only in the data, such as for slices: it is neither part of a request nor watched.
    """

    name: str
    type: ColumnType
    description: str
    example: str | float | bool
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    pattern: str | None = None
    nullable: bool = False
    optional: bool = False
    role: Literal["feature", "identity", "ignored"] = "feature"

    @property
    def forms(self) -> TypeForms:
        """The representations of values of the column's type."""
        return TYPES[self.type]

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers on their way to the features, as booleans are too."""
        return self.type in {"boolean", "integer", "number"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The column that the model predicts.

    Attributes:
        name: Name in the data and in reports.
        type: ``boolean`` for true or false, ``category`` for one of several classes, ``number`` for a quantity.
        description: Meaning of the column, shown on the API page and in the model card.
        unit: Unit of measurement of a number.
        minimum: Smallest valid number.
        maximum: Largest valid number.
        categories: Classes of a category.
    """

    name: str
    type: Literal["boolean", "category", "number"]
    description: str
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    # What a target has in common with all columns.
    pattern: ClassVar[None] = None
    nullable: ClassVar[bool] = False
    example: ClassVar[None] = None

    @property
    def forms(self) -> TypeForms:
        """The representations of values of the target's type."""
        return TYPES[self.type]
