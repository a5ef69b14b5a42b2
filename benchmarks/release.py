"""Measure a release, a rollback and the registry, and write benchmarks/release.md.

Release and rollback run the real workflow and the real command on the full data, against the stand-ins of the tests for
GitHub's API, an image registry and a host, all on this machine.
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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from tqdm import tqdm

from lifecycle.registry.store import change, existing
from lifecycle.registry.versions import Registry
from model import contract
from tests.github.server import github
from tests.lifecycle import in_process
from tests.lifecycle.containers import find_engine
from tests.lifecycle.registry.commands import promote
from tests.lifecycle.repository import ROOT, Repository, change_params, copied_project, with_estimator
from tests.lifecycle.traffic import traffic
from tests.lifecycle.workflows.fork import Fork, fork_of

REPORT = ROOT / "benchmarks/release.md"
RELEASES, ROLLBACKS, ROUNDS = 3, 7, 7
FEW, MANY = 10, 1_000

TEMPLATE = """\
# A release, measured

Written by `make -C benchmarks release` on {cores} cores, Python {python}, with {engine}. Everything runs on this
machine: the runner, the image registry and the host. The data has all months; all caches are warm, including the layers
of the image.

| | median | slowest | target |
| --- | ---: | ---: | ---: |
| from a merge to the champion, image included, s ({releases} merges) | {release:.0f} | {release_slowest:.0f} | 180 |
| from `make rollback` to that version's first answer, s ({rollbacks}) | {rollback:.1f} | {rollback_slowest:.1f} | 10 |

Meanwhile production got {requests:,} requests, 50 per second; {failed} failed (target 0).

The image is {size:.0f} MB, {over:.0f} MB over its base (target 200).

The embedded registry with {few:,} and with {many:,} versions; each operation is a separate process. Medians of {rounds}
rounds; the ratio is the median over the rounds.

| | {few:,} versions, s | {many:,} versions, s | ratio | target |
| --- | ---: | ---: | ---: | ---: |
{operations}
"""


@dataclass(frozen=True)
class Operation:
    """An operation on the registry: its name and the arguments of Python that run it."""

    name: str
    arguments: tuple[str, ...]


PROMOTE = (
    "import sys; from lifecycle.release import deploy; deploy.promote(int(sys.argv[1]), 'measured', deployed=False)"
)
OPERATIONS = (
    Operation("list the versions", ("-m", "lifecycle.registry")),
    Operation("list the champions", ("-m", "lifecycle.registry", "history")),
    Operation("plan a release", ("-m", "lifecycle.release.plan")),
    Operation("find the champion", ("-c", "from lifecycle.proposal.champion import find; find('none')")),
    Operation("promote a version", ("-c", PROMOTE)),
)


def merge_and_release(fork: Fork, number: int) -> float:
    """Merge a change, and return the seconds until its model is the champion."""
    fork.main.must("git", "checkout", "--quiet", "--detach", "main")
    change_params(fork.main, **with_estimator(fork.main, max_iter=150 + number))
    merged = fork.merge(f"Merge {number}")
    started = time.perf_counter()
    workflow = fork.release()
    seconds = time.perf_counter() - started
    if not workflow.passed or fork.running()[1] != merged:
        raise SystemExit(workflow.output)
    return seconds


def roll_back(fork: Fork, number: int) -> float:
    """Roll back to a version, and return the seconds until it answers first."""
    command = [sys.executable, "-m", "lifecycle.release.rollback", str(number), "--why", "measured"]
    environment = {**os.environ, **fork.host.environment, "GITHUB_ACTOR": "somebody"}
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=fork.main.folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while fork.running()[0] != str(number):
            if process.poll():
                raise SystemExit(f"the rollback failed with exit status {process.returncode}")
            time.sleep(0.02)
        return time.perf_counter() - started


def with_versions(fork: Fork, count: int, folder: Path) -> Repository:
    """Make a clone whose registry has `count` versions, each with a run like one of `make`."""
    fork.main.must("git", "clone", "--quiet", "--bare", str(fork.main.folder), str(folder / f"{count}.git"))
    fork.main.must("git", "clone", "--quiet", str(folder / f"{count}.git"), str(folder / str(count)))
    clone = Repository(folder / str(count))
    shutil.copytree(fork.main.folder / "artifacts", clone.folder / "artifacts")
    with in_process.inside(clone), existing() as registry:
        first = registry.version(1)

    def fill(registry: Registry) -> None:
        client = MlflowClient(registry.uri, registry.uri)
        run = client.get_run(first.run)
        metrics = [Metric(name, value, 0, 0) for name, value in run.data.metrics.items()]
        params = [Param(name, value) for name, value in run.data.params.items()]
        for number in range(len(registry.newest(count)), count):
            run_id = client.create_run(run.info.experiment_id).info.run_id
            client.log_batch(run_id, metrics, params)
            tags = dict(first.tags) | {"commit": f"{number:040x}"}
            client.create_model_version(contract.NAME, "file:///nowhere", run_id, tags)
        # Each has been champion once. These are the tags of `promote`, which itself would take a minute.
        for number in range(1, count + 1):
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
            promotion = json.dumps({"number": number, "who": "somebody", "why": "released"})
            client.set_registered_model_tag(contract.NAME, f"promoted.{at:%Y-%m-%dT%H:%M:%S.%fZ}", promotion)

    with in_process.inside(clone):
        change(fill, "Fill")
    promote(clone, "1 somebody measured")
    return clone


def measure(clones: list[Repository], operation: Operation, number: int) -> list[float]:
    """Return the seconds that an operation takes in each of the clones."""
    seconds = []
    for clone in clones:
        version = (str(1 + number % 2),) if operation.name.startswith("promote") else ()
        started = time.perf_counter()
        clone.must(sys.executable, *operation.arguments, *version)
        seconds.append(time.perf_counter() - started)
    return seconds


def registry_table(fork: Fork, folder: Path) -> str:
    """Measure the registry's operations with few and many versions; return the lines of a table."""
    clones = [with_versions(fork, count, folder) for count in (FEW, MANY)]
    lines = []
    for operation in OPERATIONS:
        rounds = [measure(clones, operation, number) for number in tqdm(range(ROUNDS + 1), operation.name)][1:]
        few, many = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
        ratio = statistics.median(many / few for few, many in rounds)
        lines.append(f"| {operation.name} | {few:.2f} | {many:.2f} | {ratio:.2f} | 1.5 |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the report."""
    engine = find_engine()
    with tempfile.TemporaryDirectory() as name, github() as server:
        main = copied_project(Path(name) / "main")
        main.must("git", "commit", "--quiet", "--allow-empty", "--message", "Merged")
        with fork_of(main, server, Path(name)) as fork:
            first = fork.release()
            if not first.passed:
                raise SystemExit(first.output)
            with traffic(fork.host.url) as clients:
                releases = [merge_and_release(fork, number) for number in tqdm(range(1, RELEASES + 1), "merge")]
                rollbacks = [roll_back(fork, 1 + number % 2) for number in tqdm(range(ROLLBACKS), "rollback")]
            size = engine.size(f"localhost/{contract.NAME}:{fork.running()[1][:12]}") / 1e6
            base = engine.size(engine.base) / 1e6
            main.must("cp", "-r", str(ROOT / "artifacts"), str(main.folder))
            operations = registry_table(fork, Path(name))
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        engine=engine.command,
        releases=RELEASES,
        release=statistics.median(releases),
        release_slowest=max(releases),
        rollbacks=ROLLBACKS,
        rollback=statistics.median(rollbacks),
        rollback_slowest=max(rollbacks),
        requests=clients.requests,
        failed=len(clients.failed),
        size=size,
        over=size - base,
        few=FEW,
        many=MANY,
        rounds=ROUNDS,
        operations=operations,
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
