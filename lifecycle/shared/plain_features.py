"""Features that follow from the contract alone, for a model/features.py that has none of its own.

A category becomes the code of the category; a number and a boolean stay as they are. The time of the row becomes its
weekday and its minute of the day; any other timestamp becomes the number of days before that time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared.columns import Codes, Columns
from lifecycle.shared.inputs import feature_columns
from model import contract

UNSEEN = -1.0  # the code of a category that is not in the training data

_TIMES = tuple(column.name for column in feature_columns() if column.type == "timestamp")
_WEEKDAYS = tuple(f"{name} weekday" for name in _TIMES if name == contract.TIME)
# Columns of the contract whose feature is the code of the category.
CODED = tuple(column.name for column in feature_columns() if column.type == "category")
# The features, in the order of the matrix. The first ones are categories, whose codes have no order.
CATEGORICAL = (*CODED, *_WEEKDAYS)
NAMES = (
    *CATEGORICAL,
    *(f"{name} minute" if name == contract.TIME else f"days since {name}" for name in _TIMES),
    *(column.name for column in feature_columns() if column.is_numeric),
)


def features(columns: Columns, codes: Codes) -> NDArray[np.float32]:
    """Compute the feature matrix.

    Args:
        columns: The contract's inputs by name, each of shape (rows,); see `Columns`.
        codes: For each column of `CODED`, the code of each category in the training data.

    Returns:
        Matrix of shape (rows, len(NAMES)), NaN where a value is missing.
    """
    derived: dict[str, Any] = {name: [codes[name].get(value, UNSEEN) for value in columns[name]] for name in CODED}
    for name in _TIMES:
        minutes = _minutes(columns[name])
        if name == contract.TIME:
            # 1970-01-01 was a Thursday, Monday is 0.
            derived |= {f"{name} weekday": (minutes // 1440 + 3) % 7, f"{name} minute": minutes % 1440}
        else:
            until = _minutes(columns[contract.TIME]) if contract.TIME else 0.0
            derived[f"days since {name}"] = (until - minutes) / 1440
    return np.array([derived[name] if name in derived else columns[name] for name in NAMES], dtype=np.float32).T


def _minutes(times: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the minutes since 1970, NaN where a time is missing."""
    minutes = times.astype("datetime64[m]").astype(np.float64)
    return np.where(np.isnat(times), np.nan, minutes)
