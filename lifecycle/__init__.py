"""A model from versioned data to production: see README.md for the map."""

import os

# Before NumPy is imported. With more threads, sums depend on the number of cores, and small products take ten times as
# long: results are to be the same on any machine, and what is worth several threads has its own here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Threads of OpenMP wait for one another by spinning. On a machine that is busy with something else, they spin for
# threads that do not run: a training of 1 s took up to 219 s. With few spins they sleep instead.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# MLflow: one try more and no waiting for minutes, nothing that reports home, no bars and no chatter.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
