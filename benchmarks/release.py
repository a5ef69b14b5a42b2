"""Measure a release, a rollback and the registry, and write benchmarks/release.md.

The release and the rollback are the real workflow and the real command, on the full data, against the stand-ins of the
tests: GitHub's API, a registry of images and a host, all on this machine.
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

Written by `make -C benchmarks release` on {cores} cores, Python {python}, with {engine}. Everything is on this
machine: the runner, the registry of images, the host. The data are all the months; caches are warm, the layers of the
image among them.

| | median | slowest | target |
| --- | ---: | ---: | ---: |
| from a merge to the champion, image included, s ({releases} merges) | {release:.0f} | {release_slowest:.0f} | 180 |
| from `make rollback` to the answers of that version, s ({rollbacks}) | {rollback:.1f} | {rollback_slowest:.1f} | 10 |

Meanwhile production was asked {requests:,} times, 50 times a second: {failed} requests failed (target 0).

The image is {size:.0f} MB, {over:.0f} MB over its base (target 200).

The registry on its branch, with {few:,} versions and with {many:,}; each line is a process of its own. Medians of
{rounds} rounds, and of the rounds' ratios.

| | {few:,} versions, s | {many:,} versions, s | ratio | target |
| --- | ---: | ---: | ---: | ---: |
{operations}
"""


@dataclass(frozen=True)
class Operation:
    """What is done with the registry, and how Python is called for it."""

    name: str
    arguments: tuple[str, ...]


PROMOTE = (
    "import sys; from lifecycle.release import deploy; deploy.promote(int(sys.argv[1]), 'measured', deployed=False)"
)
OPERATIONS = (
    Operation("the table of versions", ("-m", "lifecycle.registry")),
    Operation("who was champion when", ("-m", "lifecycle.registry", "history")),
    Operation("what there is to release", ("-m", "lifecycle.release.plan")),
    Operation("which is the champion", ("-c", "from lifecycle.proposal.champion import find; find('none')")),
    Operation("promote a version", ("-c", PROMOTE)),
)


def merge_and_release(fork: Fork, number: int) -> float:
    """Seconds from a merge to its champion."""
    fork.main.must("git", "checkout", "--quiet", "--detach", "main")
    change_params(fork.main, **with_estimator(fork.main, max_iter=150 + number))
    merged = fork.merge(f"Merge {number}")
    started = time.perf_counter()
    done = fork.release()
    seconds = time.perf_counter() - started
    if not done.passed or fork.running()[1] != merged:
        raise SystemExit(done.output)
    return seconds


def roll_back(fork: Fork, number: int) -> float:
    """Seconds from the command to the first answer of a version."""
    command = [sys.executable, "-m", "lifecycle.release.rollback", str(number), "--why", "measured"]
    environment = {**os.environ, **fork.host.environment, "GITHUB_ACTOR": "somebody"}
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=fork.main.folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while fork.running()[0] != str(number):
            if process.poll():
                raise SystemExit(f"rollback ended with {process.returncode}")
            time.sleep(0.02)
        return time.perf_counter() - started


def with_versions(fork: Fork, count: int, folder: Path) -> Repository:
    """A clone whose registry has so many versions, each with a run as `make` makes it."""
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
            made = client.create_run(run.info.experiment_id).info.run_id
            client.log_batch(made, metrics, params)
            tags = dict(first.tags) | {"commit": f"{number:040x}"}
            client.create_model_version(contract.NAME, "file:///nowhere", made, tags)
        # All have been champion in turn. As `promote` writes it, which would take a minute.
        for number in range(1, count + 1):
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
            said = json.dumps({"number": number, "who": "somebody", "why": "released"})
            client.set_registered_model_tag(contract.NAME, f"promoted.{at:%Y-%m-%dT%H:%M:%S.%fZ}", said)

    with in_process.inside(clone):
        change(fill, "Fill")
    promote(clone, "1 somebody measured")
    return clone


def measure(clones: list[Repository], operation: Operation, number: int) -> list[float]:
    """Seconds that it takes in each of the clones, in turn."""
    found = []
    for clone in clones:
        added = (str(1 + number % 2),) if operation.name.startswith("promote") else ()
        started = time.perf_counter()
        clone.must(sys.executable, *operation.arguments, *added)
        found.append(time.perf_counter() - started)
    return found


def registry_table(fork: Fork, folder: Path) -> str:
    """How the registry's operations grow."""
    clones = [with_versions(fork, count, folder) for count in (FEW, MANY)]
    lines = []
    for operation in OPERATIONS:
        rounds = [measure(clones, operation, number) for number in tqdm(range(ROUNDS + 1), operation.name)][1:]
        few, many = (statistics.median(found) for found in zip(*rounds, strict=True))
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
            with traffic(fork.host.url) as seen:
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
        requests=seen.requests,
        failed=len(seen.failed),
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
