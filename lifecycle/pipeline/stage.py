"""The paths that the stages share, and the function that runs a stage as a command."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lifecycle import pipeline
from lifecycle.shared import console
from lifecycle.shared.files import write_json

PREPARED = Path("artifacts/prepared")
MODEL = Path("artifacts/model")
REPORTS = Path("reports")
# Not an output of the pipeline: how long a stage took differs from run to run.
TIMINGS = Path("artifacts/timings")

STAGES = ("prepare", "train", "evaluate")


def run_stage(name: str, stage: Callable[[], str]) -> None:
    """Run a stage as a command: print its summary, and record its time and memory."""

    def command() -> None:
        result = stage()
        seconds = time.perf_counter() - pipeline.STARTED
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mebibytes = peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes on macOS, kibibytes on Linux
        write_json(TIMINGS / f"{name}.json", {"seconds": round(seconds, 2), "peak_mebibytes": round(mebibytes)})
        print(f"{name}: {result} ({seconds:.1f} s)")

    console.run_main(command)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds_taken(name: str, folder: Path = Path()) -> float | None:
    """Return the seconds of a stage's last run in this checkout or another; None if it never ran there."""
    path = folder / TIMINGS / f"{name}.json"
    return float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.exists() else None
