"""A model from versioned data to production: see README.md for the map."""

import os

# Before NumPy is imported. With more threads, sums depend on the number of cores, and small products take ten times as
# long: results are to be the same on any machine, and what is worth several threads has its own here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
