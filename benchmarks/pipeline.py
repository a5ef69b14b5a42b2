"""Measure the pipeline in a clone of the last commit, and write benchmarks/pipeline.md.

Compared commands take turns in each round, so that a change in the machine's speed affects both. The page shows
medians, and for two commands the median of the ratios of each round.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from lifecycle.pipeline.stage import STAGES
from lifecycle.shared.tables import ARROW_SCHEMA
from model import contract

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "benchmarks/pipeline.md"
ROUNDS = 7
GROWTH = (1, 10, 30)

ONE_PROCESS = """
from lifecycle.shared.params import load_params
from lifecycle.pipeline.prepare import prepare
from lifecycle.pipeline.train import train
from lifecycle.pipeline.evaluate import evaluate
params = load_params()
prepare(params)
train(params)
evaluate(params)
"""

TEMPLATE = """\
# The pipeline, measured

Written by `make -C benchmarks pipeline` on {cores} cores, Python {python}. Medians of at least {rounds}
rounds in which the compared commands took turns. The ratio is the median over the rounds, the target its upper limit.

| | seconds | compared with | seconds | ratio | target |
| --- | ---: | --- | ---: | ---: | ---: |
{compared}

Holdout ROC AUC of the default: {value:.4f} [{low:.4f}, {high:.4f}]; target 0.75.

## Growth

The rows of each month are repeated 1, 10 and 30 times, with jitter. The figures include the interpreter and the imports
(some 200 MiB and half a second per stage). `prepare` holds one month at a time, so its memory depends on the largest
month.

{grown}
"""


def run(folder: Path, *command: str) -> float:
    """Run a command that has to succeed; return its seconds."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def make_cold(folder: Path) -> None:
    """Remove all outputs of a pipeline run."""
    for name in ("artifacts", "reports", ".dvc/tmp", ".dvc/cache/runs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "dvc.lock").unlink(missing_ok=True)


def in_turn(
    description: str, first: Callable[[], float], second: Callable[[], float], rounds: int = ROUNDS
) -> tuple[float, float, float]:
    """Return the medians of two commands' seconds and of their ratio, after a warm-up round."""
    pairs = [(first(), second()) for _ in tqdm(range(rounds + 1), description)][1:]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def bench_cold(folder: Path) -> list[str]:
    def repro() -> float:
        make_cold(folder)
        return run(folder, "dvc", "repro")

    def one_process() -> float:
        make_cold(folder)
        return run(folder, sys.executable, "-c", ONE_PROCESS)

    a, b, ratio = in_turn("cold dvc repro", repro, one_process)
    return [f"| cold `dvc repro` | {a:.2f} | the three stages in one Python process | {b:.2f} | {ratio:.2f} | 1.3 |"]


def bench_nothing_to_do(folder: Path) -> list[str]:
    (folder / ".venv").symlink_to(ROOT / ".venv", target_is_directory=True)
    for name in ("bootstrap", "development"):
        os.utime(folder / f"requirements/{name}.txt", (0, 0))
    run(folder, "make")
    a, b, ratio = in_turn("make", lambda: run(folder, "make"), lambda: run(folder, "dvc", "status"), 2 * ROUNDS)
    return [f"| `make`, nothing to do | {a:.2f} | `dvc status` | {b:.2f} | {ratio:.2f} | 1.5 |"]


def replicate(month: Path, times: int) -> None:
    """Repeat the rows of a month with shifted departure times and jittered measurements."""
    rows = pq.read_table(month).to_pandas()
    random = np.random.default_rng(times)
    numbers = [c for c in contract.INPUTS if c.type == "number"]
    copies = []
    for copy in range(times):
        jittered = rows.copy()
        jittered["scheduled_departure"] += pd.Timedelta(seconds=copy)
        for column in numbers if copy else ():
            noise = random.normal(0, 0.01 * rows[column.name].std(), len(rows))
            jittered[column.name] = (rows[column.name] + noise).clip(column.minimum, column.maximum)
        copies.append(jittered)
    pq.write_table(pa.Table.from_pandas(pd.concat(copies), ARROW_SCHEMA, preserve_index=False), month)


def bench_growth(folder: Path) -> list[str]:
    lines = [
        "| rows | stage | seconds | µs per row | peak MiB | bytes per row |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    original = folder.parent / "months"
    shutil.copytree(folder / "data", original)
    for times in tqdm(GROWTH, "growth"):
        shutil.rmtree(folder / "data")
        shutil.copytree(original, folder / "data")
        for month in sorted((folder / "data").iterdir()):
            replicate(month, times)
        total = sum(pq.read_metadata(month).num_rows for month in (folder / "data").iterdir())
        holdout = pq.read_metadata(folder / "data/2013-07.parquet").num_rows
        for stage, rows in zip(STAGES, (total, total - holdout, holdout), strict=True):
            timings = []
            for _ in range(3):
                run(folder, sys.executable, "-m", f"lifecycle.pipeline.{stage}")
                timings.append(json.loads((folder / f"artifacts/timings/{stage}.json").read_text(encoding="utf-8")))
            seconds = statistics.median(timing["seconds"] for timing in timings)
            peak = statistics.median(timing["peak_mebibytes"] for timing in timings)
            lines.append(
                f"| {rows:,} | {stage} | {seconds:.1f} | {seconds / rows * 1e6:.1f} | {peak:,.0f} "
                f"| {peak * 2**20 / rows:,.0f} |"
            )
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "clone"
        run(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
        run(folder, "dvc", "pull", "data.dvc")
        compared = bench_cold(folder) + bench_nothing_to_do(folder)
        metrics = json.loads((folder / "reports/metrics.json").read_text(encoding="utf-8"))["model"]["roc_auc"]
        grown = bench_growth(folder)
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        rounds=ROUNDS,
        compared="\n".join(compared),
        grown="\n".join(grown),
        **metrics,
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
