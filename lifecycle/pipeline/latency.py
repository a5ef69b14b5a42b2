"""`python -m lifecycle.pipeline.latency ROWS`: print the median time, in milliseconds, that the model takes for a row.

The row is the first one of a Parquet file; the time is without HTTP.
"""

import statistics
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from lifecycle.pipeline.stage import MODEL
from lifecycle.shared.months import to_columns
from lifecycle.shared.predictor import Predictor

_CALLS = 300


def latency(rows: Path, model: Path = MODEL) -> float:
    """Measure the median time that a model takes for the first row of a file, in milliseconds."""
    predictor = Predictor.load(model)
    row = to_columns(pq.read_table(rows).slice(0, 1))
    taken = []
    for _ in range(_CALLS):
        start = time.perf_counter()
        predictor.probabilities(row)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


if __name__ == "__main__":
    print(latency(Path(sys.argv[1])))
