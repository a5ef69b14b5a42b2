"""`make -C benchmarks crash-release`: kill releases at random moments, and run two at once; not in `make test`.

The crash rule: neither the champion nor what answers in production is ever a version that is not registered, judged and
seen to answer; and however a release was broken off, running it again makes one version of it, and no more.
"""

import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest
from tqdm import tqdm

from tests.github.server import GitHub
from tests.lifecycle.containers import find_engine
from tests.lifecycle.registry.commands import table
from tests.lifecycle.repository import Repository, change_params, with_estimator
from tests.lifecycle.traffic import traffic
from tests.lifecycle.workflows.act import Rehearsal
from tests.lifecycle.workflows.fork import Fork, fork_of

MOMENTS = int(os.environ.get("MOMENTS", "100"))
SEED = int(os.environ.get("SEED", str(int(time.time()))))


@pytest.fixture
def fork(proposing: Repository, github: GitHub, tmp_path: Path) -> Iterator[Fork]:
    with fork_of(proposing, github, tmp_path) as found:
        yield found


def merge(fork: Fork, number: int) -> str:
    """A model that is another one, and about as good."""
    fork.main.must("git", "checkout", "--quiet", "--detach", "main")
    change_params(fork.main, **with_estimator(fork.main, max_iter=40 + number, learning_rate=0.05))
    return fork.merge(f"Merge {number}")


def processes_of(parent: int) -> list[int]:
    """A process and all that it has started, and they."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [parent]
    for one in found:
        found += [child for child, of in parents.items() if of == one]
    return found


def killed_after(fork: Fork, seconds: float) -> bool:
    """Run a release and kill it, as the end of its machine would; whether it had not ended before."""
    release = get_context("fork").Process(target=fork.release)
    release.start()
    release.join(seconds)
    was_running = release.is_alive()
    while release.is_alive():
        for process in processes_of(int(release.pid or 0)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        release.join(0.1)
    # The machine is gone, and so is what was proved on it, and what was built.
    fork.host.run("docker ps --all --quiet --filter name=proof | xargs --no-run-if-empty docker rm --force")
    shutil.rmtree(fork.folder / "run", ignore_errors=True)
    remove_half_images()
    return was_running


def remove_half_images() -> None:
    """An image that was just being written keeps podman from listing any. The next runner would not have it."""
    engine = find_engine()
    while (listed := engine.run("images")).returncode:
        half = re.search(r'image with ID "([0-9a-f]{64})"', listed.stderr)
        assert half, listed.stderr
        engine.run("rmi", "--force", half[1])


def holds(fork: Fork, before: tuple[str, str], merged: str) -> tuple[str, ...]:
    """See that the crash rule holds; the champion and what runs."""
    version, commit = fork.running()
    versions = {line[0]: line for line in fork.versions()}
    champions = [number for number, line in versions.items() if line[1] == "champion"]
    assert (version, commit) == before or (commit == merged and merged[:12] in versions[version])
    assert len(champions) == 1
    # It is promoted when it is seen in production.
    assert champions[0] in {before[0], version}
    commits = [word for line in versions.values() for word in line if word in {before[1][:12], merged[:12]}]
    assert len(commits) == len(set(commits))
    return version, *champions


def is_done(fork: Fork, done: Rehearsal, merged: str) -> None:
    """See that a release is complete."""
    assert done.passed, done.output
    version, commit = fork.running()
    assert commit == merged
    versions = fork.versions()
    assert [line[0] for line in versions if line[1] == "champion"] == [version]
    assert sum(merged[:12] in line for line in versions) == 1
    tags = [release["tag_name"] for release in fork.github.releases]
    assert tags.count(f"v{version}") == 1
    assert len(tags) == len(set(tags))
    assert [line.split()[0] for line in table(fork.main, "history")[1:]].count(version) == 1
    slots = fork.host.run("docker ps --format '{{.Names}}'").split()
    project = fork.host.setting("COMPOSE_PROJECT_NAME")
    assert sum(name in {f"{project}_blue_1", f"{project}_green_1"} for name in slots) == 1


def test_killed_at_any_moment(fork: Fork) -> None:
    chance = random.Random(SEED)  # noqa: S311 - moments, no secrets
    print(f"\nSEED={SEED}")
    is_done(fork, fork.release(), fork.head())
    merged, started = merge(fork, 0), time.monotonic()
    is_done(fork, fork.release(merged), merged)
    takes = time.monotonic() - started
    went = {"before it ended": 0, "the version before answered": 0, "the new one answered": 0}
    with traffic(fork.host.url) as asked:
        for number in tqdm(range(1, MOMENTS + 1), "killed"):
            before, merged = fork.running(), merge(fork, number)
            # Half of them towards the end, where production changes; by then this one may have ended.
            moment = chance.uniform(*((0, takes) if number % 2 else (takes * 0.7, takes * 1.2)))
            went["before it ended"] += killed_after(fork, moment)
            running, _ = holds(fork, before, merged)
            went["the version before answered" if running == before[0] else "the new one answered"] += 1
            is_done(fork, fork.release(merged), merged)
    print(f"a release takes {takes:.0f} s; killed {went}; {asked.requests} requests, {len(asked.failed)} failed")
    assert asked.failed == []


def test_two_merges_at_once(fork: Fork) -> None:
    """As if GitHub did not have one wait for the other."""
    is_done(fork, fork.release(), fork.head())
    first = merge(fork, 1)
    results: list[Rehearsal] = []
    one = threading.Thread(target=lambda: results.append(fork.release(first, "one")))
    one.start()
    second = merge(fork, 2)
    results.append(fork.release(second, "other"))
    one.join()
    version, commit = fork.running()
    assert commit in {first, second}
    assert {line[1] for line in fork.versions() if line[0] == version} <= {"champion", version}
    for done in results:
        assert done.passed or "somebody else" in done.output or "of a later commit" in done.output, done.output
    is_done(fork, fork.release(second), second)
    assert len(fork.versions()) <= 3
