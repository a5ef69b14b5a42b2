"""Static checks of the files in .github."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lifecycle.repository import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
# A local action, or a commit with its version.
USES = re.compile(r"uses: (\./\.github/actions/[\w-]+\b|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$)")
STAND_INS = ROOT / "tests/github/actions"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / ".github"))


def steps(path: Path) -> list[dict[str, Any]]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    jobs = content["jobs"].values() if "jobs" in content else [content["runs"]]
    return [step for job in jobs for step in job["steps"]]


def passes(*command: str | Path) -> None:
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_files_exist() -> None:
    assert WORKFLOWS
    assert ACTIONS


def test_schema() -> None:
    passes("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    passes("check-jsonschema", "--builtin-schema", "vendor.github-actions", *ACTIONS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_act_accepts_the_workflows(path: Path) -> None:
    passes("act", "--validate", "--strict", "-W", path)


def test_zizmor_finds_nothing() -> None:
    passes("zizmor", "--offline", "--no-progress", "--persona", "auditor", ".github")


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if "uses:" in line:
            assert USES.search(line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_each_permission_has_a_reason(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["permissions"] == {}
    grants = re.findall(r"^ +[a-z-]+: (?:read|write)\b.*$", text, re.MULTILINE)
    assert grants
    assert [grant for grant in grants if not re.search(r" # \w+", grant)] == []


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=name)
def test_a_step_is_one_command_without_expressions(path: Path) -> None:
    for step in steps(path):
        command = step.get("run", "")
        assert len(command.strip().splitlines()) <= 1, command
        assert "${{" not in command


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=name)
def test_inputs_are_known_to_the_action(path: Path) -> None:
    for step in steps(path):
        used = step.get("uses", "")
        if used and not used.startswith("./"):
            stand_in = STAND_INS / used.partition("@")[0] / "action.yml"
            known = yaml.safe_load(stand_in.read_text(encoding="utf-8"))["inputs"]
            assert set(step.get("with", {})) <= set(known), used


def test_propose_has_no_secrets_and_no_write_permissions() -> None:
    """The workflow runs untrusted code, which may only read what is public."""
    text = (ROOT / ".github/workflows/propose.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert not re.search(r"^ +[a-z-]+: write\b", text, re.MULTILINE)
    assert "pull_request_target" not in text


def test_comment_runs_no_code_of_the_proposal() -> None:
    """On workflow_run, a checkout without `ref` is main's. It does not store the token either."""
    path = ROOT / ".github/workflows/comment.yml"
    checkouts = [step for step in steps(path) if "actions/checkout@" in step.get("uses", "")]
    assert [step["with"] for step in checkouts] == [{"persist-credentials": False}]
    assert not any("head" in str(step) for step in steps(path))


def test_a_newer_push_cancels_the_run_of_an_older_one() -> None:
    propose, comment = (
        yaml.safe_load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))["concurrency"]
        for name in ("propose.yml", "comment.yml")
    )
    group = "propose-${{ github.event.pull_request.number || github.ref }}"
    assert propose == {"group": group, "cancel-in-progress": True}
    assert "head_branch" in comment["group"]
    assert not comment.get("cancel-in-progress")


def test_releases_are_serialized_and_a_rollback_only_waits_for_a_deployment() -> None:
    release, rollback = (
        yaml.safe_load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))
        for name in ("release.yml", "rollback.yml")
    )
    assert release["concurrency"] == {"group": "release", "cancel-in-progress": False}
    deploy = release["jobs"]["deploy"]
    assert deploy["concurrency"] == rollback["concurrency"] == {"group": "production", "cancel-in-progress": False}
    assert deploy["environment"] == rollback["jobs"]["rollback"]["environment"] == "production"


def test_the_deployment_key_is_guarded_by_an_environment() -> None:
    """Changes of production use an environment that may require a reviewer; monitoring uses another one."""
    for path in WORKFLOWS:
        guarded = "monitoring" if path.name == "monitor.yml" else "production"
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            assert ("secrets.DEPLOY_KEY" in str(job)) == (job.get("environment") == guarded), path


@pytest.mark.parametrize("workflow", ["release.yml", "rollback.yml", "monitor.yml", "retrain.yml"])
def test_only_steps_that_use_the_registry_can_log_in_there(workflow: str) -> None:
    uses_registry = re.compile(
        r"make (?:propose|rollback)"
        r"|lifecycle\.(?:release\.(?:plan|register|deploy|announce)|monitoring|retraining propose)\b"
    )
    for job in yaml.safe_load((ROOT / ".github/workflows" / workflow).read_text(encoding="utf-8"))["jobs"].values():
        for step in job["steps"]:
            environment = {**job.get("env", {}), **step.get("env", {})}
            if uses_registry.search(step.get("run", "")):
                assert environment["MLFLOW_TRACKING_URI"] == "${{ vars.MLFLOW_TRACKING_URI }}"
                for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
                    assert environment[name] == f"${{{{ secrets.{name} }}}}", step
            else:
                assert "secrets." not in str(step), step
