"""Run the real workflow files with `act` on this machine, against stand-ins for GitHub and its actions."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.github.server import NAME, GitHub
from tests.lifecycle.repository import ROOT

STAND_INS = ROOT / "tests/github"
SECRETS = {"DEPLOY_KEY", "PREDICTION_LOG_URL"}
TOKEN = "not-a-real-token"  # noqa: S105 - not a real one
# Environment variables that a job needs; the others are hidden from it.
_PASSED_ON = re.compile(
    r"PATH|LANG|.*_CERT|.*_CA_.*|SSL_.*|PIP_.*|UV_.*|.*_PROXY|.*_proxy|CONTAINERS_CONF|IMAGE_BASE|OMP_.*"
)


@dataclass
class Rehearsal:
    """The result of a run.

    Attributes:
        passed: Whether all jobs passed.
        output: Output of the steps.
        artifacts: Directory of the uploaded artifacts, by name.
        summary: Job summary in Markdown.
    """

    passed: bool
    output: str
    artifacts: Path
    summary: str


def rehearse(
    job: str, event: dict[str, Any], origin: Path, github: GitHub, folder: Path, *path: Path, **settings: str
) -> Rehearsal:
    """Run a job of a workflow.

    Args:
        job: File of the workflow and name of the job, separated by a colon.
        event: Payload of the event; the key `event` has its kind.
        origin: Working tree that stands in for the repository on GitHub. A pull request comes from its branch
            `proposal`, and the workflow's caches are restored from it.
        github: Stand-in for GitHub's API.
        folder: Directory for the files that the run writes.
        path: Directories that are prepended to PATH.
        settings: Variables of the repository, and its secrets (`SECRETS`).
    """
    artifacts = folder / "artifacts"
    for directory in (artifacts, folder / "home"):
        directory.mkdir(parents=True, exist_ok=True)
    if not (origin / ".venv").exists():
        (origin / ".venv").symlink_to(ROOT / ".venv")
    (folder / "event.json").write_text(json.dumps(event), encoding="utf-8")
    workflow, _, name = job.partition(":")
    file = origin / ".github/workflows" / workflow
    rehearsed = {
        "GITHUB_API_URL": github.api,
        "GITHUB_GRAPHQL_URL": f"{github.url}/api/graphql",
        "GITHUB_SERVER_URL": github.url,
        "GITHUB_REPOSITORY": NAME,
        "REHEARSED_STAND_INS": str(STAND_INS),
        "REHEARSED_ORIGIN": str(origin),
        "REHEARSED_BRANCH": "proposal" if event["event"] == "pull_request" else "main",
        "REHEARSED_COMMIT": event.get("after", "origin/main"),
        "REHEARSED_CACHE": str(origin),
        "REHEARSED_ARTIFACTS": str(artifacts),
    }
    secrets = {key: value for key, value in settings.items() if key in SECRETS}
    variables = {key: value for key, value in settings.items() if key not in SECRETS}
    texts = [
        file.read_text(encoding="utf-8"),
        *(p.read_text(encoding="utf-8") for p in file.parents[1].rglob("action.yml")),
    ]
    used = sorted(set(re.findall(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40})", "\n".join(texts))))
    command = [
        *("act", event["event"], "--job", name, "--workflows", str(file), "--eventpath", str(folder / "event.json")),
        *("--platform", "ubuntu-latest=-self-hosted", "--action-cache-path", str(folder / "act")),
        *("--no-cache-server", "--no-skip-checkout", "--rm", "--json", "--secret", f"GITHUB_TOKEN={TOKEN}"),
        *(f"--local-repository={action}@{commit}={STAND_INS / 'actions' / action}" for action, commit in used),
        *(word for key, value in rehearsed.items() for word in ("--env", f"{key}={value}")),
        *(word for key, value in variables.items() for word in ("--var", f"{key}={value}")),
        *(word for key in secrets for word in ("--secret", key)),
    ]
    environment = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    environment["PATH"] = os.pathsep.join([*map(str, path), environment["PATH"]])
    completed = subprocess.run(
        command,
        cwd=origin,
        env=environment | secrets | {"HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    lines = [json.loads(line) for line in completed.stdout.splitlines() if line.startswith("{")]
    output = "\n".join(str(line.get("msg", "")).rstrip("\n") for line in lines)
    summaries = [str(line.get("content", "")) for line in lines if line.get("command") == "summary"]
    shutil.rmtree(folder / "act", ignore_errors=True)
    return Rehearsal(completed.returncode == 0, output, artifacts, "\n".join(summaries))
