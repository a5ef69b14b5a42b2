import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lifecycle.shared.columns import Columns
from lifecycle.shared.parts import part_files
from lifecycle.shared.tables import to_columns
from model.features import CATEGORICAL, CODED, NAMES, UNSEEN, features
from tests.lifecycle.repository import run_with_example

CODES = {
    "carrier": {"B6": 0, "UA": 1},
    "origin": {"EWR": 0, "JFK": 1, "LGA": 2},
    "destination": {"BOS": 0, "IAH": 1},
}


def columns(**changes: object) -> Columns:
    row: dict[str, object] = {
        "scheduled_departure": np.datetime64("2013-07-04T17:30:00", "s"),
        "carrier": "UA",
        "flight_number": 1545.0,
        "origin": "LGA",
        "destination": "IAH",
        "scheduled_arrival_minute": 1215.0,
        "distance": 1416.0,
        "temperature": 84.2,
        "dew_point": 71.6,
        "humidity": 66.3,
        "wind_direction": 190.0,
        "wind_speed": 9.2,
        "wind_gust": np.nan,
        "precipitation": 0.02,
        "pressure": 1012.4,
        "visibility": 10.0,
        "plane_year": 2001.0,
        "plane_engines": 2.0,
        "plane_seats": 149.0,
    } | changes
    return {name: np.array([v], dtype=object if name in CODED else None) for name, v in row.items()}


def test_one_row_by_hand() -> None:
    (row,) = features(columns(), CODES)
    values = dict(zip(NAMES, row.tolist(), strict=True))
    assert np.isnan(values.pop("wind_gust"))
    assert values == {
        "carrier": 1,
        "origin": 2,
        "destination": 1,
        "weekday": 3,  # a Thursday
        "departure_minute": 17 * 60 + 30,
        "arrival_minute": 1215,
        "plane_age": 12,
        **{
            name: np.float32(columns()[name][0])
            for name in NAMES
            if name in columns() and name not in {*CATEGORICAL, "wind_gust"}
        },
    }
    assert values["distance"] == 1416
    assert row.dtype == np.float32


def test_category_unseen_in_training() -> None:
    (row,) = features(columns(destination="XYZ", carrier=None), CODES)
    assert row[NAMES.index("destination")] == UNSEEN
    assert row[NAMES.index("carrier")] == UNSEEN


def test_weekdays_of_a_week() -> None:
    days = np.arange("2013-07-01", "2013-07-08", dtype="datetime64[D]").astype("datetime64[s]")
    rows = {name: np.repeat(values, 7) for name, values in columns().items()} | {"scheduled_departure": days}
    assert features(rows, CODES)[:, NAMES.index("weekday")].tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_features_of_a_single_row_equal_those_in_its_month(small: Path) -> None:
    month = to_columns(pq.read_table(part_files("2013-01", small)[0]))
    together = features(month, CODES)
    for row in (0, 17, 2_999):
        alone = features({name: values[row : row + 1] for name, values in month.items()}, CODES)
        np.testing.assert_array_equal(alone[0], together[row])


def test_serving_needs_neither_pandas_nor_scikit_learn() -> None:
    """The service imports the predictor, which imports features and contract."""
    script = (
        "import sys; import lifecycle.shared.predictor, onnxruntime; "
        "print([m for m in ('pandas', 'sklearn', 'scipy', 'pyarrow', 'mlflow', 'dvc') if m in sys.modules])"
    )
    completed = run_with_example(sys.executable, "-c", script)
    assert (completed.stdout.strip(), completed.returncode) == ("[]", 0)
