"""Measure a proposal in clones of the last commit, and write benchmarks/propose.md."""

import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import yaml
from tqdm import tqdm

from benchmarks.pipeline import replicate, run
from lifecycle.pipeline.evaluate import score
from lifecycle.proposal.compare import Rows, compare
from lifecycle.shared.params import PARAMS, Params, load_params
from lifecycle.shared.predictor import Predictor

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "benchmarks/propose.md"
ROUNDS = 5
GROWTH = (1, 10, 34)
HOLDOUT = "data/2013-07.parquet"

TEMPLATE = """\
# A proposal, measured

Written by `make -C benchmarks propose` on {cores} cores, Python {python}; medians and maxima of {rounds} rounds.

From `git clone` to the report, on the full data, with the caches that CI restores:

| | seconds | slowest | target |
| --- | ---: | ---: | ---: |
| no change to the model's data, code or parameters | {nothing:.1f} | {nothing_slowest:.1f} | 15 |
| a changed hyperparameter | {changed:.1f} | {changed_slowest:.1f} | 60 |

A changed hyperparameter is trained and compared at {origins} origins.

The comparison alone, of two models by all metrics with intervals by day, on {slices} slices. The rows of the holdout
are repeated 1, 10 and 34 times, with jitter; the memory is that of the whole `make propose` after the stages.

| rows | seconds | µs per row | target | peak MiB | target |
| ---: | ---: | ---: | ---: | ---: | ---: |
{grown}
"""


@dataclass(frozen=True)
class Compared:
    """The measurements of a comparison."""

    rows: int
    slices: int
    seconds: float
    mebibytes: float


def clone(folder: Path, cache: Path) -> None:
    """Clone the last commit, with the caches of an earlier run."""
    run(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    shutil.copytree(cache, folder / ".dvc/cache", symlinks=True)


def change(folder: Path, **hyperparameters: float) -> None:
    """Change hyperparameters in params.yaml."""
    path = folder / PARAMS
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["hyperparameters"][values["estimator"]] |= hyperparameters
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def propose(folder: Path) -> None:
    """Run a proposal against the last commit, whether the gate passes or not."""
    command = [sys.executable, "-m", "lifecycle.proposal", "--base", "HEAD"]
    completed = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if not (folder / "artifacts/proposal/report.md").exists():
        raise SystemExit(completed.stdout)


def rounds(description: str, temporary: Path, cache: Path, prepare: Callable[[Path, int], None]) -> list[float]:
    """Measure the seconds from checkout to report, each time in a new clone, after a warm-up round."""
    seconds = []
    for number in tqdm(range(ROUNDS + 1), description):
        folder = temporary / f"clone-{number}"
        started = time.perf_counter()
        clone(folder, cache)
        prepare(folder, number)
        propose(folder)
        seconds.append(time.perf_counter() - started)
        shutil.rmtree(folder)
    return seconds[1:]


def grown(folder: Path, params: Params) -> list[Compared]:
    """Measure comparisons of a growing number of rows."""
    comparisons = []
    original = (folder / HOLDOUT).read_bytes()
    for times in tqdm(GROWTH, "rows"):
        (folder / HOLDOUT).unlink()
        (folder / HOLDOUT).write_bytes(original)
        replicate(folder / HOLDOUT, times)
        run(folder, "dvc", "add", "--quiet", "data")
        run(folder, "git", "commit", "--quiet", "--all", "--message", f"{times} times the rows")
        change(folder, max_iter=150 + times)
        # The first proposal runs the pipeline, so that the second one, which is measured, only compares.
        propose(folder)
        command = [sys.executable, "-m", "benchmarks.propose", "--peak", str(folder)]
        peak = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
        holdout = folder / "artifacts/prepared/holdout.parquet"
        scored = score(Predictor.load(folder / "artifacts/model"), holdout, params.slices)
        champion = pq.read_table(folder / "artifacts/proposal/scored.parquet", columns=["probability"])[0].to_numpy()
        rows = Rows(scored.targets, champion, scored.predictions, scored.clusters, scored.slices)
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            compare(rows, params)
            seconds.append(time.perf_counter() - started)
        comparisons.append(Compared(len(scored.targets), len(scored.slices), statistics.median(seconds), peak))
    return comparisons


def peak(folder: str) -> None:
    """Run a proposal, and print the peak memory in MiB of its largest process."""
    propose(Path(folder))
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10)


def main() -> None:
    params = load_params()
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        first = temporary / "first"
        run(ROOT, "git", "clone", "--quiet", str(ROOT), str(first))
        run(first, sys.executable, "-m", "lifecycle.pipeline")
        cache = first / ".dvc/cache"
        nothing = rounds("nothing changes", temporary, cache, lambda *_: None)
        changed = rounds(
            "a hyperparameter changes", temporary, cache, lambda folder, number: change(folder, max_iter=150 + number)
        )
        compared = grown(first, params)
    lines = []
    for size in compared:
        small, large = (3 if size == compared[0] else ""), (2048 if size == compared[-1] else "")
        cells = (f"{size.rows:,}", f"{size.seconds:.2f}", f"{size.seconds / size.rows * 1e6:.0f}", small)
        lines.append(f"| {' | '.join(map(str, cells))} | {size.mebibytes:,.0f} | {large} |")
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        rounds=ROUNDS,
        nothing=statistics.median(nothing),
        nothing_slowest=max(nothing),
        changed=statistics.median(changed),
        changed_slowest=max(changed),
        origins=params.comparison.origins,
        slices=compared[0].slices,
        grown="\n".join(lines),
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak(sys.argv[2])
    else:
        main()
