"""How long a model takes for a row: a script that is run in the checkout of a commit, with the code of that commit.

`python latency.py ROWS` prints the median in milliseconds, of the first row of a file of rows, without HTTP.
"""

import statistics
import sys
import time

import pyarrow.parquet as pq

from model.months import to_columns
from model.pipeline.stage import MODEL
from model.predictor import Predictor

_CALLS = 300

predictor = Predictor.load(MODEL)
row = to_columns(pq.read_table(sys.argv[1]).slice(0, 1))
taken = []
for _ in range(_CALLS):
    start = time.perf_counter()
    predictor.probabilities(row)
    taken.append(time.perf_counter() - start)
print(statistics.median(taken) * 1000)
