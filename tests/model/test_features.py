"""The features meet what training and the service assume of them."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns
from model.features import CATEGORICAL, CODED, NAMES


def test_names() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert NAMES[: len(CATEGORICAL)] == CATEGORICAL, "the categories come first"
    assert set(CODED) <= set(CATEGORICAL)


def test_a_row_alone_has_the_features_that_it_has_among_others(prepared: Path, predictor: Predictor) -> None:
    columns = to_columns(pq.read_table(prepared / "holdout.parquet"))
    together = predictor.features(columns)
    assert together.dtype == np.float32
    rows = len(next(iter(columns.values())))
    assert together.shape == (rows, len(NAMES))
    for row in np.linspace(0, rows - 1, 20).astype(int):
        alone = predictor.features({name: values[row : row + 1] for name, values in columns.items()})
        np.testing.assert_array_equal(alone[0], together[row])
