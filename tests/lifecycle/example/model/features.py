"""From the contract's columns to the numbers the estimator is given: one function, for training and for the service.

YOURS TO EDIT. Works on NumPy columns, so that the serving image needs no pandas. Each row is computed from itself
alone: a row scored by itself gets the same features as within a month of data.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared.columns import Codes, Columns

# Columns of the contract that go in as they are.
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
# Columns of the contract that go in as the code of their category.
CODED = ("carrier", "origin", "destination")

# The features, in the order of the matrix; the first ones are categories and have no order in themselves.
CATEGORICAL = (*CODED, "weekday")
NAMES = (*CATEGORICAL, "departure_minute", "arrival_minute", "plane_age", *_AS_THEY_ARE)

UNSEEN = -1.0  # the code of a category that training has not seen


def features(columns: Columns, codes: Codes) -> NDArray[np.float32]:
    """Compute the feature matrix.

    Args:
        columns: The contract's inputs by name, each of shape (rows,); see `Columns`.
        codes: For each column of `CODED`, the code of each category that training has seen.

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
