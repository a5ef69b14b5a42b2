"""The stages of dvc.yaml (prepare, train, evaluate), and the commands around them."""

import time

# Python runs this before it imports a stage and its libraries. Importing them takes a good part of a stage's time.
STARTED = time.perf_counter()
