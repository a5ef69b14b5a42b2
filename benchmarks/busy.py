"""Measure training and evaluation beside busy processes, by how threads of OpenMP wait; writes benchmarks/busy.md."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

import lifecycle
from benchmarks.pipeline import run

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "benchmarks/busy.md"
BUSY = 4  # processes
ROUNDS = 3
STAGES = ("train", "evaluate")
# libgomp spins 300,000 times before a thread sleeps, if nobody says otherwise.
AS_IT_COMES = {"GOMP_SPINCOUNT": "300000"}
SETTINGS: dict[str, dict[str, str]] = {
    "as it comes": AS_IT_COMES,
    "`OMP_WAIT_POLICY=PASSIVE`": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "`GOMP_SPINCOUNT=1000`": {"GOMP_SPINCOUNT": "1000"},
    "`GOMP_SPINCOUNT=100`": {"GOMP_SPINCOUNT": "100"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}

TEMPLATE = """\
# On a busy machine

Written by `make -C benchmarks busy` on {cores} cores, Python {python}; medians of {rounds} rounds, settings in turn.

A training has as many threads as cores, and they wait for one another by spinning. Beside {busy} processes that never
rest, a thread spins for others that do not run. `lifecycle/__init__.py` sets `GOMP_SPINCOUNT={chosen}`, for make, for
workflows and for the service; whoever sets it in the environment has the last word.

Seconds, idle and beside {busy} busy processes:

{table}
"""


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Have processes that compute without end beside."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def seconds(stage: str, **environment: str) -> float:
    """How long a stage takes."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", f"lifecycle.pipeline.{stage}"],
        cwd=ROOT,
        env=inherited | environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


def measure(busy: int) -> dict[tuple[str, str], float]:
    """The median of each stage under each setting, the settings in turn."""
    found: dict[tuple[str, str], list[float]] = {}
    with busy_processes(busy):
        for _ in tqdm(range(ROUNDS), f"beside {busy} busy processes"):
            for stage in STAGES:
                for name, environment in SETTINGS.items():
                    found.setdefault((stage, name), []).append(seconds(stage, **environment))
    return {key: statistics.median(values) for key, values in found.items()}


def main() -> None:
    """Measure, and write the report."""
    run(ROOT, sys.executable, "-m", "lifecycle.pipeline", "--untracked")
    idle, beside = measure(0), measure(BUSY)
    lines = [f"| | {' | '.join(f'{stage}, idle | {stage}, busy' for stage in STAGES)} |", "| --- |" + " ---: |" * 4]
    for name in SETTINGS:
        values = [f"{found[stage, name]:.1f}" for stage in STAGES for found in (idle, beside)]
        lines.append(f"| {name} | {' | '.join(values)} |")
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        rounds=ROUNDS,
        busy=BUSY,
        chosen=os.environ["GOMP_SPINCOUNT"],
        table="\n".join(lines),
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    print(f"{lifecycle.__name__}: GOMP_SPINCOUNT is {os.environ['GOMP_SPINCOUNT']}")
    main()
