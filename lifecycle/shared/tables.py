"""Tables with the columns of the contract and the target, and their conversion to NumPy."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.columns import Columns
from lifecycle.shared.inputs import file_columns, request_columns
from lifecycle.shared.tasks.task import Targets
from model import contract


def arrow_schema() -> pa.Schema:
    """Return the schema of data files."""
    return pa.schema(
        [
            pa.field(column.name, pa.type_for_alias(column.forms.arrow), nullable=column.nullable)
            for column in file_columns()
        ]
    )


ARROW_SCHEMA = arrow_schema()


def to_columns(table: pa.Table) -> Columns:
    """Convert the inputs of a table that fits the contract to NumPy arrays of shape (rows,)."""
    return {c.name: _to_numpy(table.column(c.name), c.type) for c in request_columns()}


def to_target(table: pa.Table) -> Targets:
    """Convert the target of a table that fits the contract to an array of shape (rows,); see `Task.encode`."""
    return TASK.encode(_to_numpy(table.column(contract.TARGET.name), contract.TARGET.type))


def to_texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Convert a column of strings to objects, None where one is missing. Equal strings are the same object."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    indices = _buffer(encoded.indices, np.int32)
    return texts[np.where(_missing(encoded.indices), len(texts) - 1, indices)]


def to_codes(column: pa.ChunkedArray) -> NDArray[np.intp]:
    """Number the distinct values of a column in the order of their first rows; a missing value is -1."""
    indices = column.combine_chunks().dictionary_encode().indices
    return np.where(_missing(indices), -1, _buffer(indices, np.int32)).astype(np.intp)


def to_timestamps(column: pa.ChunkedArray) -> NDArray[np.datetime64]:
    """Convert a column of timestamps to ``datetime64[s]``, NaT where one is missing."""
    milliseconds = column.cast(pa.int64()).combine_chunks()
    times = _buffer(milliseconds, np.int64).view("datetime64[ms]").astype("datetime64[s]")
    return np.where(_missing(milliseconds), np.datetime64("NaT", "s"), times)


def _to_numpy(column: pa.ChunkedArray, kind: str) -> NDArray[np.generic]:
    if kind == "category":
        return to_texts(column)
    if kind == "timestamp":
        return to_timestamps(column)
    if kind == "boolean":
        column = column.cast(pa.uint8())  # there is no cast from booleans to double precision
    numbers = column.cast(pa.float64()).combine_chunks()
    return np.where(_missing(numbers), np.nan, _buffer(numbers, np.float64))


# pyarrow's own conversions to NumPy import pandas, which takes longer than the evaluation of a whole month.
def _buffer(array: pa.Array, dtype: type) -> NDArray[np.generic]:
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def _missing(array: pa.Array) -> NDArray[np.bool_]:
    return _buffer(array.is_null().cast(pa.uint8()), np.uint8).view(np.bool_)
