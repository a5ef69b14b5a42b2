"""The columns of the contract by their use."""

from lifecycle.shared.columns import Column, Target
from model import contract


def file_columns() -> tuple[Column | Target, ...]:
    """Return the columns of data files: all inputs and the target."""
    return (*contract.INPUTS, contract.TARGET)


def request_columns() -> tuple[Column, ...]:
    """Return the columns that a request has."""
    return tuple(column for column in contract.INPUTS if column.role != "ignored")


def event_time() -> str | None:
    """Return the column with the time of the event that a row describes; None if requests have none."""
    return next((column.name for column in request_columns() if column.name == contract.TIME), None)


def feature_columns() -> tuple[Column, ...]:
    """Return the columns that the model may learn from, and whose distributions monitoring watches."""
    return tuple(column for column in contract.INPUTS if column.role == "feature")
