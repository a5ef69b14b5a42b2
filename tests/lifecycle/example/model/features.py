"""The features: one function turns the contract's columns into numbers, in training and in the service.

YOURS TO EDIT. It works on NumPy columns, so that the serving image needs no pandas. The features of a row depend on
nothing but that row: a row that is scored alone gets the same features as in a month of data.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared.columns import Codes, Columns

# Columns of the contract that are features as they are.
_AS_THEY_ARE = (
    "distance",
    "temperature",
    "dew_point",
    "humidity",
    "wind_direction",
    "wind_speed",
    "wind_gust",
    "precipitation",
    "pressure",
    "visibility",
    "plane_engines",
    "plane_seats",
)
# Columns of the contract whose feature is the code of the category.
CODED = ("carrier", "origin", "destination")

# The features, in the order of the matrix. The first ones are categories, whose codes have no order.
CATEGORICAL = (*CODED, "weekday")
NAMES = (*CATEGORICAL, "departure_minute", "arrival_minute", "plane_age", *_AS_THEY_ARE)

UNSEEN = -1.0  # the code of a category that is not in the training data


def features(columns: Columns, codes: Codes) -> NDArray[np.float32]:
    """Compute the feature matrix.

    Args:
        columns: The contract's inputs by name, each of shape (rows,); see `Columns`.
        codes: For each column of `CODED`, the code of each category in the training data.

    Returns:
        Matrix of shape (rows, len(NAMES)), NaN where a value is missing.
    """
    departure = columns["scheduled_departure"].astype("datetime64[s]")
    year = departure.astype("datetime64[Y]").astype(np.int64) + 1970
    minute = departure.astype(np.int64) // 60
    derived: dict[str, Any] = {
        "weekday": (minute // 1440 + 3) % 7,  # 1970-01-01 was a Thursday, Monday is 0
        "departure_minute": minute % 1440,
        "arrival_minute": columns["scheduled_arrival_minute"],
        "plane_age": year - columns["plane_year"].astype(np.float64),
        **{name: [codes[name].get(value, UNSEEN) for value in columns[name]] for name in CODED},
    }
    return np.array([derived[name] if name in derived else columns[name] for name in NAMES], dtype=np.float32).T
