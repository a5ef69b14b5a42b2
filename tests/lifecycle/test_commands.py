"""Each command in README and docs/ is run, here or in another test, or the reason why it cannot be is given."""

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

# By command on a page, as `normalised` returns it, the line that runs in a clone. They run in this order.
HERE = {
    "make setup": "make setup",
    "make": "make",
    "make help": "make help",
    "git config core.hooksPath .githooks": "git config core.hooksPath .githooks",
    "source .venv/bin/activate": "bash -c 'source .venv/bin/activate && dvc --version'",
    "dvc metrics diff": "dvc metrics diff",
    "dvc metrics diff COMMIT": "dvc metrics diff HEAD",
    "dvc plots show --open": "dvc plots show",
    "dvc pull data.dvc": "dvc pull data.dvc",
    "dvc repro": "dvc repro",
    "dvc checkout data.dvc": "dvc checkout data.dvc",
    "dvc gc --workspace": "dvc gc --workspace --force",
    "git fetch origin main": "git fetch origin main",
    "make propose": "make propose",
    "make rehearse": "make rehearse ONLY_PROPOSAL=1",
    "make lint": "make lint",
    "make check": "make check",
    "make predict IN OUT": "make predict IN=rows.csv OUT=scored.csv",
    "python -m lifecycle.pipeline.predict IN OUT": "python -m lifecycle.pipeline.predict rows.csv again.csv",
    "python -m lifecycle.pipeline.latency ROWS": "python -m lifecycle.pipeline.latency data/2013-07.parquet",
    "python -m lifecycle.pipeline.verify_cache": "python -m lifecycle.pipeline.verify_cache",
    "python -m lifecycle.release.plan": "python -m lifecycle.release.plan",
    "python -m lifecycle.release.register": "python -m lifecycle.release.register",
    "make registry": "make registry",
    "make history": "make history",
    "make lock": "make lock && git diff --exit-code requirements",
    "python -m tests.map": "python -m tests.map && git diff --exit-code docs",
    "make ingest PART": "make ingest PART=2013-08",
    "python -m lifecycle.pipeline.ingest [PART]": "python -m lifecycle.pipeline.ingest 2013-09",
    "make ingest": "make ingest",
    "dvc add data": "dvc add data",
    "git commit": "git commit --all --quiet --message 'More data'",
    "git reset --hard": "git reset --hard --quiet origin/main && make",
    "make gates": "make gates",
}
# Run while the service is up.
SERVED = {
    "python -m lifecycle.prediction_log.feedback FILE": "python -m lifecycle.prediction_log.feedback outcomes.csv",
    "python -m lifecycle.prediction_log.newest 500": "python -m lifecycle.prediction_log.newest 500",
    "make explain": "make explain ID={prediction}",
    "make explain ID": "make explain ID={prediction}",
    "make monitor": "make monitor",
    # There are no predictions before that date, which is a warning.
    "make monitor UNTIL": "make monitor UNTIL=2013-09-01 || test $? = 2",
    "python -m lifecycle.monitoring check": "python -m lifecycle.monitoring check",
}
# Run last, because they change the recipe and remove files.
LAST = {
    "python -m lifecycle.retraining renew": "python -m lifecycle.retraining renew",
    "make clean": "make clean",
}
RELEASE = "workflows/test_release.py::test_release_proposal_merge_and_rollbacks"
HOST = "release/test_deploy.py runs `docker compose` on a host of its own; this command inspects yours"
ADOPTION = "adoption/test_adopt.py::test_story"
ELSEWHERE = {
    "make adopt": ADOPTION,
    "make adopt DATA TARGET": ADOPTION,
    "python -m lifecycle.adoption DATA TARGET": ADOPTION,
    "python -m lifecycle.adoption.finish": ADOPTION,
    "make score": "scoring/test_scoring.py::test_new_files_are_scored_once",
    "make score FROM TO": "scoring/test_scoring.py::test_new_files_are_scored_once",
    "python -m lifecycle.scoring FROM TO": "scoring/test_scoring.py::test_new_files_are_scored_once",
    "make serve": "test_commands.py::test_commands",
    "make upgrade": "shared/test_upgrade.py::test_a_copy_of_this_repository",
    "make upgrade FROM": "shared/test_upgrade.py::test_a_copy_of_this_repository",
    "make upgrade FROM APPLY": "shared/test_upgrade.py::test_a_copy_of_this_repository",
    "make rollback": RELEASE,
    "make rollback VERSION WHY": RELEASE,
    "make image": RELEASE,
    "python -m lifecycle.release.prove IMAGE": RELEASE,
    "python -m lifecycle.release.publish IMAGE": RELEASE,
    "python -m lifecycle.release.deploy NUMBER": RELEASE,
    "python -m lifecycle.release.announce NUMBER": RELEASE,
    "python -m lifecycle.release.record": RELEASE,
    "python -m lifecycle.proposal.machinery": "workflows/test_code.py::test_everything_at_once",
    "python -m lifecycle.retraining propose": "workflows/test_retrain.py::test_pull_request_then_no_news_then_bad_data",
    "docker compose exec alertmanager amtool --alertmanager.url http://localhost:9093 alert add Test "
    "--annotation summary='A test.'": "release/test_deploy.py::test_alerts_reach_a_person_and_become_an_issue",
    "make remote": "pipeline/test_make.py::test_moving_the_data_to_another_remote",
    "make remote URL": "pipeline/test_make.py::test_moving_the_data_to_another_remote",
}
CANNOT = {
    "make test": "this test is one of those that it runs, and .ci/run calls it",
    "make test-long": "this test is one of those that it runs",
    "make ui": "opens a browser; pipeline/test_track.py asks the server behind it",
    "make -C benchmarks trust": "takes half an hour",
    "dvc remote add backup s3://bucket/path": "needs a bucket",
    "dvc push --remote backup data.dvc": "needs a bucket",
    "ssh-keyscan host": "needs a host",
    "ssh -L 9093:localhost:9093 user@host": "needs a host",
    "ssh-keygen -t ed25519 -f deploy_key": "asks for a passphrase",
    "docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges "
    "--volume predictions:/state --publish 3000:3000 flight-delay:VERSION": "release/test_image.py runs it with podman",
    "docker compose exec -T postgres pg_dump --username service predictions > predictions.sql": HOST,
    "docker compose": HOST,
    "docker compose ps": HOST,
    "docker compose logs": HOST,
    "docker compose logs --since 10m blue green": HOST,
    "docker compose logs --tail 50 blue green": HOST,
    "docker compose logs --tail 50 alertmanager": HOST,
    "docker compose logs --tail 50 postgres": HOST,
    "docker compose logs --tail 50 prometheus": HOST,
    "docker compose up --detach": HOST,
    "docker compose up --detach blue": HOST,
    "docker compose up --detach postgres": HOST,
    "docker image prune --all --filter until=720h": HOST,
    "docker stats": HOST,
}


def normalised(command: str) -> str:
    """Return a command without the path of .venv and without the values of make's variables."""
    command = command.removeprefix(".venv/bin/")
    return re.sub(r"=('[^']*'|\S+)", "", command) if command.startswith("make ") else command


def commands(page: Path) -> Iterator[str]:
    """Yield the commands of a page: the lines of its console blocks, and commands in backticks."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            yield normalised(re.sub(r"\s+", " ", line.partition(" # ")[0]).strip())
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (normalised(" ".join(code.split())) for code in re.findall(r"`([^`]+)`", prose) if PROGRAM.match(code))


def test_every_command_is_run_or_has_a_reason() -> None:
    written = {command for page in [*PAGES, RUNBOOK] for command in commands(page)}
    listed = [*HERE, *SERVED, *LAST, *ELSEWHERE, *CANNOT]
    assert len(listed) == len(set(listed))
    assert sorted(written - set(listed)) == []
    assert not IS_TEMPLATE or sorted(set(listed) - written) == []


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_tests_of_other_commands_exist(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"\ndef {name}(" in (ROOT / "tests/lifecycle" / file).read_text(encoding="utf-8")


@contextmanager
def served(clone: Repository, port: int) -> Iterator[str]:
    """Run `make serve` in a clone, and yield the URL once it answers."""
    url = f"http://127.0.0.1:{port}"
    command = ["make", "serve", f"PORT={port}"]
    with subprocess.Popen(command, cwd=clone.folder, env=clone.environment, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not answers(url):
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.HTTPError:
        return False


# Long, because it trains on the full data several times.
@pytest.mark.long
@pytest.mark.skipif(not IS_TEMPLATE, reason="the commands are those of the template's README and data")
def test_commands(tmp_path: Path) -> None:
    """In a clone of the working tree, every command succeeds, and `make` prints what the README shows."""
    project = copied_project(tmp_path / "project")
    subprocess.run(["git", "clone", "--quiet", project.folder, tmp_path / "clone"], check=True)
    clone = Repository(tmp_path / "clone")
    (clone.folder / ".venv").symlink_to(ROOT / ".venv")
    with (clone.folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, EXAMPLE)
        rows.writeheader()
        rows.writerow(EXAMPLE)
    clone.environment["PATH"] = f"{clone.folder}/.venv/bin:{clone.environment['PATH']}"
    printed = {command: clone.must("bash", "-c", line) for command, line in HERE.items()}
    assert [line for line in output_in_readme() if line not in printed["make"]] == []
    with served(clone, free_port()) as url:
        response = httpx.post(f"{url}/predict", json=EXAMPLE).raise_for_status().json()
        prediction = response["predictions"][0]["id"]
        outcomes = f"prediction_id,outcome\n{prediction},true\n"
        (clone.folder / "outcomes.csv").write_text(outcomes, encoding="utf-8")
        for line in SERVED.values():
            clone.must("bash", "-c", line.format(prediction=prediction))
    for line in LAST.values():
        clone.must("bash", "-c", line)


def output_in_readme() -> list[str]:
    """Return the lines of output that the README shows."""
    (block,) = re.findall(r"^```text\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for line in block.splitlines() if line]
