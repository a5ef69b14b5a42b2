"""`make -C benchmarks crash-release`: kill releases at random moments, and run two concurrently; not in `make test`.

The crash rule: the champion and the version in production have always been registered, judged and smoke-tested; and
wherever a release was interrupted, running it again completes it with exactly one version.
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
    with fork_of(proposing, github, tmp_path) as started:
        yield started


def merge(fork: Fork, number: int) -> str:
    """Merge a different model that is about as good, and return the commit."""
    fork.main.must("git", "checkout", "--quiet", "--detach", "main")
    change_params(fork.main, **with_estimator(fork.main, max_iter=40 + number, learning_rate=0.05))
    return fork.merge(f"Merge {number}")


def processes_of(parent: int) -> list[int]:
    """Return a process and all of its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    processes = [parent]
    for process in processes:
        processes += [child for child, its_parent in parents.items() if its_parent == process]
    return processes


def killed_after(fork: Fork, seconds: float) -> bool:
    """Run a release and kill it as a crash of its machine would. Return whether it was still running."""
    release = get_context("fork").Process(target=fork.release)
    release.start()
    release.join(seconds)
    was_running = release.is_alive()
    while release.is_alive():
        for process in processes_of(int(release.pid or 0)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        release.join(0.1)
    # The next runner is a fresh machine: remove the container of `prove` and the build.
    fork.host.run("docker ps --all --quiet --filter name=proof | xargs --no-run-if-empty docker rm --force")
    shutil.rmtree(fork.folder / "run", ignore_errors=True)
    remove_half_images()
    return was_running


def remove_half_images() -> None:
    """Remove partially written images, which keep podman from listing any. A fresh runner would not have them."""
    engine = find_engine()
    while (listed := engine.run("images")).returncode:
        half = re.search(r'image with ID "([0-9a-f]{64})"', listed.stderr)
        assert half, listed.stderr
        engine.run("rmi", "--force", half[1])


def assert_crash_rule(fork: Fork, before: tuple[str, str], merged: str) -> str:
    """Assert that the crash rule holds, and return the version in production."""
    version, commit = fork.running()
    versions = {line[0]: line for line in fork.versions()}
    champions = [number for number, line in versions.items() if line[1] == "champion"]
    assert (version, commit) == before or (commit == merged and merged[:12] in versions[version])
    assert len(champions) == 1
    # A version is promoted after its deployment.
    assert champions[0] in {before[0], version}
    commits = [word for line in versions.values() for word in line if word in {before[1][:12], merged[:12]}]
    assert len(commits) == len(set(commits))
    return version


def assert_complete(fork: Fork, release: Rehearsal, merged: str) -> None:
    """Assert that a release is complete."""
    assert release.passed, release.output
    version, commit = fork.running()
    assert commit == merged
    versions = fork.versions()
    assert [line[0] for line in versions if line[1] == "champion"] == [version]
    assert sum(merged[:12] in line for line in versions) == 1
    tags = [announced["tag_name"] for announced in fork.github.releases]
    assert tags.count(f"v{version}") == 1
    assert len(tags) == len(set(tags))
    assert [line.split()[0] for line in table(fork.main, "history")[1:]].count(version) == 1
    slots = fork.host.run("docker ps --format '{{.Names}}'").split()
    project = fork.host.setting("COMPOSE_PROJECT_NAME")
    assert sum(name in {f"{project}_blue_1", f"{project}_green_1"} for name in slots) == 1


def test_killed_at_any_moment(fork: Fork) -> None:
    generator = random.Random(SEED)  # noqa: S311 - moments, no secrets
    print(f"\nSEED={SEED}")
    assert_complete(fork, fork.release(), fork.head())
    merged, started = merge(fork, 0), time.monotonic()
    assert_complete(fork, fork.release(merged), merged)
    duration = time.monotonic() - started
    counts = {"before its end": 0, "with the previous version in production": 0, "with the new one": 0}
    with traffic(fork.host.url) as load:
        for number in tqdm(range(1, MOMENTS + 1), "killed"):
            before, merged = fork.running(), merge(fork, number)
            # Half of them towards the end, where production changes; the release may have ended by then.
            moment = generator.uniform(*((0, duration) if number % 2 else (duration * 0.7, duration * 1.2)))
            counts["before its end"] += killed_after(fork, moment)
            running = assert_crash_rule(fork, before, merged)
            counts["with the previous version in production" if running == before[0] else "with the new one"] += 1
            assert_complete(fork, fork.release(merged), merged)
    print(f"a release takes {duration:.0f} s; killed {counts}; {load.requests} requests, {len(load.failed)} failed")
    assert load.failed == []


def test_two_concurrent_merges(fork: Fork) -> None:
    """As if GitHub did not run one release after the other."""
    assert_complete(fork, fork.release(), fork.head())
    first = merge(fork, 1)
    results: list[Rehearsal] = []
    other_release = threading.Thread(target=lambda: results.append(fork.release(first, "one")))
    other_release.start()
    second = merge(fork, 2)
    results.append(fork.release(second, "other"))
    other_release.join()
    version, commit = fork.running()
    assert commit in {first, second}
    assert {line[1] for line in fork.versions() if line[0] == version} <= {"champion", version}
    for release in results:
        messages = ("another deployment to", "from a later commit")
        assert release.passed or any(message in release.output for message in messages), release.output
    assert_complete(fork, fork.release(second), second)
    assert len(fork.versions()) <= 3
