"""The stages of dvc.yaml (prepare, train, evaluate), and what `make` does around them."""

import time

# A package is imported before its modules and all that they import, which is a good part of a stage's time.
STARTED = time.perf_counter()
