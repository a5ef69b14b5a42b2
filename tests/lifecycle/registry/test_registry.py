"""The registry, embedded and on a server, used through its commands."""

import json
import os
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from lifecycle.monitoring.watched import model_of
from lifecycle.proposal.champion import find
from lifecycle.registry.store import change, existing
from lifecycle.registry.versions import Registry
from lifecycle.shared.params import load_params
from lifecycle.shared.predictor import model_hash
from lifecycle.shared.schema import json_schema
from model import contract
from tests.lifecycle import in_process
from tests.lifecycle.registry.commands import clone_of, commit, promote, register, table
from tests.lifecycle.repository import Repository, edit
from tests.lifecycle.serving.conftest import free_port


@pytest.fixture
def unregistered(released: Repository, tmp_path: Path) -> Repository:
    """A clone without a registry, with data and artifacts; its `origin` is a bare repository."""
    return clone_of(released, tmp_path)


@pytest.fixture(scope="module")
def registered(released: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone with two versions, the first of which is the champion again; tests share it and must not change it."""
    clone = clone_of(released, tmp_path_factory.mktemp("registry"))
    assert register(clone, "--image", f"ghcr.io/acme/flights@sha256:{'d' * 64}").startswith("version 1 of")
    assert register(clone).startswith("version 1 of")  # each commit has a single version
    commit(clone, "Another")
    assert register(clone).startswith("version 2 of")
    assert "champion" not in "".join(table(clone))
    promote(clone, "1 a-bot the first", "1 a-bot the first", "2 a-bot better", "1 somebody too many alarms")
    return clone


def champion(repository: Repository) -> str:
    """Return the commit and the description of a proposal's champion."""
    with in_process.inside(repository):
        return " ".join(find("the base"))


def test_before_the_first_version(unregistered: Repository) -> None:
    status, output = in_process.status(unregistered, "lifecycle.registry.__main__")
    assert status == 1
    assert output.startswith("error: there is no registry yet")
    assert champion(unregistered) == "the base the model of the base commit; no registry has a champion"


def test_versions(registered: Repository) -> None:
    second, first = registered.must("git", "rev-parse", "HEAD", "HEAD~1").split()
    lines = table(registered)
    assert [line.split()[0] for line in lines] == ["version", "2", "1"]
    assert ["champion" in line for line in lines] == [False, False, True]
    assert second[:12] in lines[1]
    assert re.search(rf"{first[:12]} .* 2013-01 to 2013-02 +0\.\d{{4}} .* sha256:d{{12}}$", lines[2])
    # The branch has no history, and the working repository has no such branch.
    assert registered.must("git", "-C", "../origin.git", "rev-list", "--count", "mlflow").strip() == "1"
    assert "mlflow" not in registered.must("git", "branch", "--all")


def test_history(registered: Repository) -> None:
    lines = table(registered, "history")
    assert [line.split()[0] for line in lines] == ["version", "1", "2", "1"]
    assert re.fullmatch(r"1 .* now +somebody +too many alarms", lines[-1])
    first = registered.must("git", "rev-parse", "HEAD~1").strip()
    assert champion(registered) == f"{first} version 1 of the registry"


def test_a_version_has_its_complete_lineage(registered: Repository) -> None:
    with in_process.inside(registered), existing() as registry:
        version = registry.version(1)
        names = ("card.md", "contract.json", "lineage.json", "slices.json", "reference.json")
        tags = version.tags
        card, schema, lineage, slices, reference = (registry.document(version, name) for name in names)
    assert tags["commit"] == json.loads(lineage)["commit"]
    assert json.loads(schema) == json_schema()
    metrics = json.loads((registered.folder / "reports/metrics.json").read_text(encoding="utf-8"))
    assert json.loads(tags["metrics"]) == metrics["model"]
    assert set(json.loads(slices)) == {"origin", "carrier"}
    assert set(json.loads(reference)["periods"]) == {"2013-01", "2013-02", "2013-03"}
    assert card.startswith(f"# {contract.NAME}\n")
    assert tags["author"] == "Test"
    for name in ("data", "dvc_lock", "model", "contract", "requirements"):
        assert re.fullmatch(r"[0-9a-f]{32,64}(\.dir)?", tags[name]), name
        assert tags[name] in card


def test_the_champion_is_monitored(registered: Repository, tmp_path: Path) -> None:
    """The documents of the version are enough for it; the data is not needed."""
    clone = Repository(tmp_path / "clone")
    registered.must("git", "clone", "--quiet", str(registered.folder.parent / "origin.git"), str(clone.folder))
    log = {"PREDICTION_LOG_URL": f"sqlite:///{tmp_path / 'log.db'}"}
    (tmp_path / "log.db").touch()
    for arguments, start in (
        ((), "version 1, "),
        (("--version", "2"), "version 2, "),
        (("--version", "9"), "error: there is no version 9 of"),
    ):
        _, output = in_process.status(clone, "lifecycle.monitoring.__main__", "check", *arguments, **log)
        assert output.startswith(start)
    (tmp_path / "model").mkdir()
    with in_process.inside(clone):
        model, reference, lineage = model_of("1", tmp_path / "model", load_params())
    assert model_hash(model) == model_hash(registered.folder / "artifacts/model")
    assert lineage["commit"] == registered.must("git", "rev-parse", "HEAD~1").strip()
    assert list(reference.periods) == ["2013-01", "2013-02", "2013-03"]
    # Main has another contract by now than the model in production.
    edit(clone, "model/contract.py", 'name="plane_seats"', 'name="seats"')
    completed = clone.run("python", "-m", "lifecycle.monitoring", "check", **log)
    assert completed.stdout == (
        "error: version 1 was trained under another contract than that of this working tree. It differs in "
        f"plane_seats, seats. Check it from its own commit: git switch --detach {lineage['commit'][:12]}\n"
    )


def test_mlflow_itself_loads_the_champion(registered: Repository, tmp_path: Path) -> None:
    code = (
        "import mlflow; from pathlib import Path; from lifecycle.registry.store import export\n"
        f"uri = export(Path({str(tmp_path / 'pages')!r}))\n"
        "mlflow.set_tracking_uri(uri); mlflow.set_registry_uri(uri)\n"
        f"model = mlflow.pyfunc.load_model('models:/{contract.NAME}@champion')\n"
        "print('probability', *model.predict(model.input_example))"
    )
    assert re.search(r"^probability 0\.\d+$", registered.must("python", "-c", code), re.MULTILINE)


# The fast tests cover this, too: the next one the retry of a late writer, test_branch.py concurrent writers.
@pytest.mark.long
def test_two_at_once(unregistered: Repository, tmp_path: Path) -> None:
    """Two registrations at the same time give two versions; neither overwrites the other."""
    clones = []
    for name in ("one", "two"):
        unregistered.must("cp", "-r", str(unregistered.folder), str(tmp_path / name))
        clones.append(Repository(tmp_path / name))
    commits = {commit(clone, clone.folder.name)[:12] for clone in clones}
    running = [
        subprocess.Popen(
            ["python", "-m", "lifecycle.release.register"],
            cwd=clone.folder,
            env=clone.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for clone in clones
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    lines = table(unregistered)
    assert len(lines) == 3
    assert {line.split()[3] for line in lines[1:3]} == commits


def test_late_writer_repeats_its_change_to_an_existing_run(unregistered: Repository, tmp_path: Path) -> None:
    """The change is repeated on the other writer's registry, including its documents."""
    register(unregistered)
    other = Repository(tmp_path / "other")
    unregistered.must("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(other.folder))
    texts: list[str] = []

    def add(registry: Registry) -> None:
        version = registry.version(1)
        registry.add_document(version.run, version.commit, "note.md", "kept")
        if not texts:
            promote(other, "1 somebody was faster")
        texts.append(registry.document(version, "note.md"))

    with in_process.inside(unregistered):
        change(add, "Add a document")
        with existing() as registry:
            assert registry.document(registry.version(1), "note.md") == "kept"
            assert registry.champion() == registry.version(1)
    assert texts == ["kept", "kept"]


@pytest.mark.long
def test_on_a_server(unregistered: Repository, tmp_path: Path) -> None:
    """MLFLOW_TRACKING_URI alone moves the registry to a server."""
    port = free_port()
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    uri = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(300):
            with suppress(httpx.TransportError):
                if httpx.get(f"{uri}/health").text == "OK":
                    break
            time.sleep(0.1)
        assert register(unregistered, MLFLOW_TRACKING_URI=uri).startswith("version 1 of")
        assert register(unregistered, MLFLOW_TRACKING_URI=uri).startswith("version 1 of")
        promote(unregistered, "1 a-bot the first", MLFLOW_TRACKING_URI=uri)
        assert "champion" in table(unregistered, MLFLOW_TRACKING_URI=uri)[1]
        assert table(unregistered, "history", MLFLOW_TRACKING_URI=uri)[1].endswith("a-bot  the first")
    finally:
        server.terminate()
        server.wait(20)
    # In a separate process, to see all the output that a user would see.
    completed = unregistered.run("python", "-m", "lifecycle.registry", MLFLOW_TRACKING_URI=uri)
    assert completed.returncode == 1
    assert f"the registry at {uri} failed: " in completed.stdout
    assert "Traceback" not in completed.stdout
