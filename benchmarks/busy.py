"""Measure training, `make` and `make test` on a busy machine, with several settings for how OpenMP threads wait.

`make -C benchmarks busy` writes benchmarks/busy.md. `make -C benchmarks busy-test` measures the tests, which takes
an hour, and writes benchmarks/busy_test.md.
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
# By default, a thread of libgomp spins 300,000 times before it sleeps.
DEFAULT = "libgomp's default"
SETTINGS: dict[str, dict[str, str]] = {
    DEFAULT: {"GOMP_SPINCOUNT": "300000"},
    "`OMP_WAIT_POLICY=PASSIVE`": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "`GOMP_SPINCOUNT=100`": {"GOMP_SPINCOUNT": "100"},
    CHOSEN: {},
    "`GOMP_SPINCOUNT=10000`": {"GOMP_SPINCOUNT": "10000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
# Variables for `make test`: with its own settings, and with the defaults.
TESTS = {
    f"{CHOSEN}, one thread for each process": [],
    DEFAULT: ["GOMP_SPINCOUNT=300000", f"OMP_NUM_THREADS={os.cpu_count()}"],
}
TIMEOUT = 3_000  # seconds for one run of `make test`

TEMPLATE = """\
# On a busy machine

Written by `make -C benchmarks busy` on {cores} cores, Python {python}; medians of {rounds} rounds, in which the
settings take turns.

Training uses as many threads as cores, and a thread that waits for others spins. With {busy} busy processes on the same
cores it spins while the threads that it waits for do not run. `{where}` sets {chosen} for make, the workflows
and the service; a value in the environment takes precedence.

Seconds of each stage, on an idle machine and with {busy} busy processes:

{stages}

Seconds of `make` from a clone without a cache:

{make}
"""

TEST_TEMPLATE = """\
# `make test` on a busy machine

Written by `make -C benchmarks busy-test` on {cores} cores, Python {python}; one run each, with {busy} busy processes;
a run is stopped after {timeout} minutes.

{table}
"""


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Run processes that keep the cores busy."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def seconds(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """Run a command and return its seconds."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=_environment(environment), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _test(folder: Path, openmp: Sequence[str]) -> str:
    """Run `make test` with make variables; return minutes and pytest's summaries as two table cells."""
    started = time.perf_counter()
    command = ["make", "test", *openmp]
    # Tests may fail because they do not wait long enough on a busy machine. The page shows that, too.
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
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
    """Return the median seconds of each stage under each setting; the settings take turns."""
    measured: dict[tuple[str, str], list[float]] = {}
    with busy_processes(busy):
        for _ in tqdm(range(ROUNDS), f"stages with {busy} busy processes"):
            for stage in STAGES:
                for name, environment in SETTINGS.items():
                    command = [sys.executable, "-m", f"lifecycle.pipeline.{stage}"]
                    measured.setdefault((stage, name), []).append(seconds(command, ROOT, environment))
    return {key: statistics.median(values) for key, values in measured.items()}


def make(busy: int) -> dict[str, float]:
    """Return the median seconds of `make` in a clone, with libgomp's default and with the chosen setting."""
    measured: dict[str, list[float]] = {}
    with busy_processes(busy), tempfile.TemporaryDirectory() as name:
        for number in tqdm(range(ROUNDS), f"make with {busy} busy processes"):
            for setting in (DEFAULT, CHOSEN):
                folder = _clone(Path(name) / f"{number}-{len(setting)}")
                measured.setdefault(setting, []).append(seconds(["make", "UNTRACKED=1"], folder, SETTINGS[setting]))
                shutil.rmtree(folder)
    return {setting: statistics.median(values) for setting, values in measured.items()}


def _clone(folder: Path) -> Path:
    run(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    (folder / ".venv").symlink_to(ROOT / ".venv", target_is_directory=True)
    for path in (folder / "requirements").iterdir():
        os.utime(path, (0, 0))  # so that make takes the environment for up to date
    return folder


def measure() -> None:
    """Measure stages and `make`, and write the page."""
    run(ROOT, sys.executable, "-m", "lifecycle.pipeline", "--untracked")
    idle, busy = stages(0), stages(BUSY)
    lines = [f"| | {' | '.join(f'{stage}, idle | {stage}, busy' for stage in STAGES)} |", "| --- |" + " ---: |" * 4]
    for name in SETTINGS:
        values = [f"{medians[stage, name]:.1f}" for stage in STAGES for medians in (idle, busy)]
        lines.append(f"| {name} | {' | '.join(values)} |")
    runs = [make(0), make(BUSY)]
    rows = [f"| {setting} | {' | '.join(f'{medians[setting]:.0f}' for medians in runs)} |" for setting in runs[0]]
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
    """Measure `make test` with its own settings and with the defaults, and write the page."""
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as name, busy_processes(BUSY):
        for setting, openmp in TESTS.items():
            rows.append(f"| {setting} | {_test(_clone(Path(name) / f'{len(rows)}'), openmp)} |")
    table = "\n".join(["| | minutes | tests |", "| --- | ---: | --- |", *rows])
    text = TEST_TEMPLATE.format(
        cores=os.cpu_count(), python=platform.python_version(), busy=BUSY, table=table, timeout=TIMEOUT // 60
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
