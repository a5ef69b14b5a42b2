"""Measure how training, `make` and `make test` bear a busy machine, by how OpenMP's threads wait.

`make -C benchmarks busy` writes benchmarks/busy.md. `make -C benchmarks busy-test` measures the tests, for an hour,
and writes benchmarks/busy_test.md.
"""

import argparse
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

import lifecycle
from benchmarks.pipeline import run

ROOT = Path(__file__).parent.parent
BUSY = 4  # processes
ROUNDS = 3
STAGES = ("train", "evaluate")
CHOSEN = f"`GOMP_SPINCOUNT={os.environ['GOMP_SPINCOUNT']}`"
# libgomp spins 300,000 times before a thread sleeps, unless it is told otherwise.
BEFORE = "as it comes"
SETTINGS: dict[str, dict[str, str]] = {
    BEFORE: {"GOMP_SPINCOUNT": "300000"},
    "`OMP_WAIT_POLICY=PASSIVE`": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "`GOMP_SPINCOUNT=100`": {"GOMP_SPINCOUNT": "100"},
    CHOSEN: {},
    "`GOMP_SPINCOUNT=10000`": {"GOMP_SPINCOUNT": "10000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
# What `make test` sets beside, and what it would have without. One run of it takes no longer than this, in seconds.
TESTS = {
    f"{CHOSEN}, one thread for each process": [],
    BEFORE: ["GOMP_SPINCOUNT=300000", f"OMP_NUM_THREADS={os.cpu_count()}"],
}
LONGEST = 3_000

TEMPLATE = """\
# On a busy machine

Written by `make -C benchmarks busy` on {cores} cores, Python {python}; medians of {rounds} rounds, settings in turn.

A training has one thread per core, and the threads wait for one another by spinning. If {busy} other processes keep the
machine busy, a thread spins for others that do not run. `{where}` sets {chosen} for
make, for the workflows and for the service; a value in the environment takes precedence.

Seconds of the stages, idle and beside {busy} busy processes:

{stages}

Seconds of `make` from a clone without a cache:

{make}
"""

TEST_TEMPLATE = """\
# `make test` on a busy machine

Written by `make -C benchmarks busy-test` on {cores} cores, Python {python}; one run each, beside {busy} busy processes;
it is ended after {longest} minutes.

{table}
"""


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Have processes that compute without end beside."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def seconds(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """How long a command takes."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=_environment(environment), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _test(folder: Path, openmp: Sequence[str]) -> str:
    """Run `make test` with variables of make: its minutes and pytest's summaries, as two cells of a table."""
    started = time.perf_counter()
    command = ["make", "test", *openmp]
    # A test that does not wait long enough for a busy machine fails, and that is a result, too.
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            output, _ = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate()
    print(output[-5_000:], file=sys.stderr)
    summaries = re.findall(r"=+ ((?:\d+ \w+(?:, )?)+) in ", output)
    return f"{(time.perf_counter() - started) / 60:.0f} | {'; '.join(summaries)}"


def _environment(openmp: Mapping[str, str]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    return {**inherited, **openmp}


def stages(busy: int) -> dict[tuple[str, str], float]:
    """The median of each stage under each setting, the settings in turn."""
    taken: dict[tuple[str, str], list[float]] = {}
    with busy_processes(busy):
        for _ in tqdm(range(ROUNDS), f"stages beside {busy} busy processes"):
            for stage in STAGES:
                for name, environment in SETTINGS.items():
                    command = [sys.executable, "-m", f"lifecycle.pipeline.{stage}"]
                    taken.setdefault((stage, name), []).append(seconds(command, ROOT, environment))
    return {key: statistics.median(values) for key, values in taken.items()}


def make(busy: int) -> dict[str, float]:
    """The median of `make` from a clone, before and after."""
    taken: dict[str, list[float]] = {}
    with busy_processes(busy), tempfile.TemporaryDirectory() as name:
        for number in tqdm(range(ROUNDS), f"make beside {busy} busy processes"):
            for setting in (BEFORE, CHOSEN):
                folder = _clone(Path(name) / f"{number}-{len(setting)}")
                taken.setdefault(setting, []).append(seconds(["make", "UNTRACKED=1"], folder, SETTINGS[setting]))
                shutil.rmtree(folder)
    return {setting: statistics.median(values) for setting, values in taken.items()}


def _clone(folder: Path) -> Path:
    run(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    (folder / ".venv").symlink_to(ROOT / ".venv", target_is_directory=True)
    for path in (folder / "requirements").iterdir():
        os.utime(path, (0, 0))  # what is there is up to date
    return folder


def measure() -> None:
    """Measure stages and `make`, and write the page."""
    run(ROOT, sys.executable, "-m", "lifecycle.pipeline", "--untracked")
    idle, beside = stages(0), stages(BUSY)
    lines = [f"| | {' | '.join(f'{stage}, idle | {stage}, busy' for stage in STAGES)} |", "| --- |" + " ---: |" * 4]
    for name in SETTINGS:
        values = [f"{found[stage, name]:.1f}" for stage in STAGES for found in (idle, beside)]
        lines.append(f"| {name} | {' | '.join(values)} |")
    made = [make(0), make(BUSY)]
    rows = [f"| {setting} | {' | '.join(f'{found[setting]:.0f}' for found in made)} |" for setting in made[0]]
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        rounds=ROUNDS,
        busy=BUSY,
        where=f"{lifecycle.__name__}/__init__.py",
        chosen=CHOSEN,
        stages="\n".join(lines),
        make="\n".join(["| | idle | busy |", "| --- | ---: | ---: |", *rows]),
    )
    _write(ROOT / "benchmarks/busy.md", text)


def measure_tests() -> None:
    """Measure `make test`, before and after, and write the page."""
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as name, busy_processes(BUSY):
        for setting, openmp in TESTS.items():
            rows.append(f"| {setting} | {_test(_clone(Path(name) / f'{len(rows)}'), openmp)} |")
    table = "\n".join(["| | minutes | tests |", "| --- | ---: | --- |", *rows])
    text = TEST_TEMPLATE.format(
        cores=os.cpu_count(), python=platform.python_version(), busy=BUSY, table=table, longest=LONGEST // 60
    )
    _write(ROOT / "benchmarks/busy_test.md", text)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", action="store_true", help="measure `make test`")
    if parser.parse_args().tests:
        measure_tests()
    else:
        measure()
