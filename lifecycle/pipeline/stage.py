"""What the three stages have in common: their files, and how one is run."""

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
    """Run a stage as a command: print what it says it did, and note its time and memory for the summary."""

    def command() -> None:
        said = stage()
        seconds = time.perf_counter() - pipeline.STARTED
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mebibytes = peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, kibibytes elsewhere
        write_json(TIMINGS / f"{name}.json", {"seconds": round(seconds, 2), "peak_mebibytes": round(mebibytes)})
        print(f"{name}: {said} ({seconds:.1f} s)")

    console.run_main(command)


def cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds_taken(name: str, folder: Path = Path()) -> float | None:
    """How long a stage took when it last ran here, or in another checkout."""
    path = folder / TIMINGS / f"{name}.json"
    return float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.exists() else None
