"""`python -m lifecycle.pipeline.latency ROWS`: print the median time in milliseconds to predict a single row.

ROWS is a Parquet file, whose first row is used. The time excludes HTTP.
"""

import statistics
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from lifecycle.pipeline.stage import MODEL
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns

_CALLS = 300


def latency(rows: Path, model: Path = MODEL) -> float:
    """Measure the median time in milliseconds that a model takes to predict the first row of a file."""
    predictor = Predictor.load(model)
    row = to_columns(pq.read_table(rows).slice(0, 1))
    seconds = []
    for _ in range(_CALLS):
        start = time.perf_counter()
        predictor.predict(row)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) * 1000


if __name__ == "__main__":
    print(latency(Path(sys.argv[1])))
