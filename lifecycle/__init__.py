"""The machinery that takes a model from versioned data to production; docs/map.md lists its modules."""

import os

# Set before NumPy is imported. With more threads, sums depend on the number of cores, so that results differ between
# machines, and small products take ten times as long. Code that benefits from several threads has threads of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# OpenMP threads wait for one another by spinning. On a machine that is busy with something else, they spin for threads
# that are not running: a training of 1 s took up to 219 s. With a low spin count they go to sleep instead.
os.environ.setdefault("GOMP_SPINCOUNT", "100")
# MLflow: few retries instead of minutes of waiting, no telemetry, no progress bars, and only warnings in the log.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
