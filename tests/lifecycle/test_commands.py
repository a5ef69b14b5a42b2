"""Each command of README and docs/ is run, here as a newcomer would or in another test, or has a reason why it is not."""

import csv
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.lifecycle.repository import ROOT, Repository, copied_project
from tests.lifecycle.serving.conftest import EXAMPLE, free_port
from tests.lifecycle.test_docs import IS_TEMPLATE, PAGES, README

RUNBOOK = ROOT / "deploy/runbook.md"
PROGRAM = re.compile(r"(make|git|docker|dvc|ssh|ssh-keygen|ssh-keyscan|source|python3?|\.venv/bin/\w+)( |$)")

# As the page has it, and as it is run in a clone, in this order. A value {in braces} is the test's.
HERE = {
    "make setup": "make setup",
    "make": "make",
    "make help": "make help",
    "make -C benchmarks help": "make -C benchmarks help",
    "git config core.hooksPath .githooks": "git config core.hooksPath .githooks",
    "source .venv/bin/activate": "bash -c 'source .venv/bin/activate && dvc --version'",
    ".venv/bin/dvc metrics diff": ".venv/bin/dvc metrics diff",
    ".venv/bin/dvc metrics diff COMMIT": ".venv/bin/dvc metrics diff HEAD",
    ".venv/bin/dvc plots show --open": ".venv/bin/dvc plots show",
    "dvc pull": ".venv/bin/dvc pull",
    "dvc repro": ".venv/bin/dvc repro",
    "make propose": "make propose",
    "make lint": "make lint",
    "make check": "make check",
    "make predict IN=rows.csv OUT=scored.csv": "make predict IN=rows.csv OUT=scored.csv",
    "python -m lifecycle.pipeline.predict IN OUT": ".venv/bin/python -m lifecycle.pipeline.predict rows.csv again.csv",
    "python -m lifecycle.pipeline.latency ROWS": ".venv/bin/python -m lifecycle.pipeline.latency artifacts/prepared/rows",
    "python -m lifecycle.release.register": ".venv/bin/python -m lifecycle.release.register",
    "make registry": "make registry",
    "make history": "make history",
    "make lock": "make lock && git diff --exit-code requirements",
    "python -m tests.map": ".venv/bin/python -m tests.map && git diff --exit-code docs",
    "make ingest MONTH=2013-01": "make ingest MONTH=2013-01",
    "make ingest MONTH=2013-08": "make ingest MONTH=2013-08",
    "python -m lifecycle.pipeline.ingest MONTH": ".venv/bin/python -m lifecycle.pipeline.ingest 2013-09",
    ".venv/bin/dvc add data": ".venv/bin/dvc add data",
    "git commit": "git commit --all --quiet --message 'More data'",
    "git reset --hard": "git reset --hard --quiet",
    "make gates": "make gates",
    ".venv/bin/python -m lifecycle.retraining renew": ".venv/bin/python -m lifecycle.retraining renew",
}
# Run while the service answers.
SERVED = {
    ".venv/bin/python -m lifecycle.serving.feedback FILE": ".venv/bin/python -m lifecycle.serving.feedback outcomes.csv",
    "python -m lifecycle.serving.newest 500": ".venv/bin/python -m lifecycle.serving.newest 500",
    "make explain ID=…": "make explain ID={prediction}",
    "make monitor": "make monitor",
    "make monitor UNTIL=2013-09-01": "make monitor UNTIL=2013-09-01",
    "python -m lifecycle.monitoring check": ".venv/bin/python -m lifecycle.monitoring check",
}
RELEASE = "workflows/test_release.py::test_story"
ELSEWHERE = {
    "make serve": "test_commands.py::test_commands",  # below, in the background
    "make upgrade": "shared/test_upgrade.py::test_make",
    "make rollback": RELEASE,
    "make rollback VERSION=3 WHY='too many alarms'": RELEASE,
}
CANNOT = {
    "make test": "this test is one of those that it runs, and .ci/run calls it",
    "make test-long": "this test is one of those that it runs",
    "make rehearse": "tests/lifecycle/workflows/test_release.py plays the same story, and the test of `make help` names it",
    "make ui": "opens a browser; tests/lifecycle/pipeline/test_track.py asks the server behind it",
}


def commands(page: Path) -> Iterator[str]:
    """The commands of a page: the lines of its console blocks, and what it has in backticks."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            yield re.sub(r"\s+", " ", line.partition(" # ")[0]).strip()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (code for code in re.findall(r"`([^`\n]+)`", prose) if PROGRAM.match(code))


def test_every_command_is_run_or_has_a_reason() -> None:
    written = {command for page in [*PAGES, RUNBOOK] for command in commands(page)}
    listed = [*HERE, *SERVED, *ELSEWHERE, *CANNOT]
    assert len(listed) == len(set(listed))
    assert sorted(written - set(listed)) == []
    assert not IS_TEMPLATE or sorted(set(listed) - written) == []


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_others_are_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"\ndef {name}(" in (ROOT / "tests/lifecycle" / file).read_text(encoding="utf-8")


@contextmanager
def served(clone: Repository, port: int) -> Iterator[str]:
    """`make serve` in a clone: the URL, once it answers."""
    url = f"http://127.0.0.1:{port}"
    command = ["make", "serve", f"PORT={port}"]
    with subprocess.Popen(command, cwd=clone.folder, env=clone.environment, start_new_session=True) as process:
        try:
            until = time.monotonic() + 60
            while not answers(url):
                assert time.monotonic() < until
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.HTTPError:
        return False


# It trains on the full data several times.
@pytest.mark.long
@pytest.mark.skipif(not IS_TEMPLATE, reason="the commands are those of the template's README and data")
def test_commands(tmp_path: Path) -> None:
    """What a newcomer does, in a clone of the working tree: every command succeeds, and prints what the README shows."""
    project = copied_project(tmp_path / "project")
    subprocess.run(["git", "clone", "--quiet", project.folder, tmp_path / "clone"], check=True)
    clone = Repository(tmp_path / "clone")
    (clone.folder / ".venv").symlink_to(ROOT / ".venv")
    with (clone.folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, EXAMPLE)
        rows.writeheader()
        rows.writerow(EXAMPLE)
    printed = {}
    for command, line in HERE.items():
        printed[command] = clone.must("bash", "-c", line)
    for line in output_in_readme():
        assert line in printed["make"]
    clone.must("git", "reset", "--hard", "--quiet", "origin/main")
    clone.must("make")
    with served(clone, free_port()) as url:
        answer = httpx.post(f"{url}/predict", json=EXAMPLE).raise_for_status().json()
        prediction = answer["predictions"][0]["id"]
        outcomes = f"prediction_id,outcome\n{prediction},true\n"
        (clone.folder / "outcomes.csv").write_text(outcomes, encoding="utf-8")
        for line in SERVED.values():
            clone.must("bash", "-c", line.format(prediction=prediction))


def output_in_readme() -> list[str]:
    """The lines of output that the README shows."""
    (block,) = re.findall(r"^```text\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for line in block.splitlines() if line]
