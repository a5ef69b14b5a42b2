"""The image: built with the command of `make image`, and run in a container."""

import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lifecycle.release import image as under_test
from lifecycle.release.prove import prove as prove_image
from lifecycle.shared.console import UserError
from lifecycle.shared.predictor import Predictor, model_hash
from lifecycle.shared.tables import to_columns
from model import contract
from tests.lifecycle.containers import Container, Engine, container, find_engine
from tests.lifecycle.repository import GATES, ROOT, Repository, change_params, with_estimator
from tests.lifecycle.serving.conftest import EXAMPLE, eventually, free_port

LIMIT = 200_000_000  # bytes on top of the base image
# Periods of the shared model.
WINDOW, HOLDOUT = {"first": "2013-01", "last": "2013-02"}, {"first": "2013-03", "last": "2013-03"}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return find_engine()


@pytest.fixture(scope="module")
def repository(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone with a trained model."""
    copy = shutil.copytree(finished.folder, tmp_path_factory.mktemp("image") / "clone", symlinks=True)
    return Repository(copy)


@pytest.fixture(scope="module")
def image(engine: Engine, repository: Repository) -> Iterator[str]:
    """Build the image, yield its name, and remove it afterwards."""
    environment = engine.environment | {"BENTOML_HOME": str(repository.folder.parent / "bentoml")}
    command = ("python", "-m", "lifecycle.release.image", "--engine", engine.command, "--base", engine.base)
    output = repository.must(*command, **environment)
    name = output.splitlines()[-1].split()[1]
    yield name
    engine.must("rmi", name)


@pytest.fixture(scope="module")
def started(engine: Engine, image: str) -> Iterator[Container]:
    """A hardened container that tests share."""
    with container(engine, image, free_port()) as service:
        service.wait_until_ready()
        yield service


@pytest.fixture
def volume(engine: Engine) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}"
    yield name
    engine.must("volume", "rm", name)


def predict(service: Container) -> str:
    """Request a prediction, and return its id."""
    answer = service.post(json=EXAMPLE)
    assert answer.status_code == 200, answer.text
    identifier: str = answer.json()["predictions"][0]["id"]
    return identifier


def stored(service: Container) -> set[str]:
    """Return the ids in the service's database; none while it has no table."""
    code = "import sqlite3; print(*sqlite3.connect('/state/predictions.db').execute('select id from predictions'))"
    return {word.strip("(',)") for word in service.execute("python3", "-c", code).stdout.split()}


def test_answers_as_the_model_does_in_process(started: Container, trained: Path, repository: Repository) -> None:
    table = pq.read_table(trained / "artifacts/prepared/holdout.parquet").slice(0, 100)
    rows = table.drop_columns(contract.TARGET.name).to_pylist()
    body = [row | {"scheduled_departure": row["scheduled_departure"].isoformat()} for row in rows]
    answer = started.post(json=body).json()
    probabilities = [prediction["probability"] for prediction in answer["predictions"]]
    expected = Predictor.load(trained / "artifacts/model").predict(to_columns(table))
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)
    assert answer["commit"] == repository.must("git", "rev-parse", "HEAD").strip()


def test_keeps_its_predictions_through_a_restart(engine: Engine, image: str, volume: str) -> None:
    port = free_port()
    with container(engine, image, port, "--volume", f"{volume}:/state") as first:
        assert first.wait_until_ready() < 10  # 3 on a machine of its own: benchmarks/image.md
        early = predict(first)
        eventually(lambda: early in stored(first))
        late = predict(first)
        assert first.stop() == 0
        # SIGTERM has reached the service, not only a shell that started it.
        assert "cleanup hook" in first.output()
    with container(engine, image, port, "--volume", f"{volume}:/state") as second:
        second.wait_until_ready()
        assert {early, late} == stored(second)
        predict(second)
        eventually(lambda: len(stored(second)) == 3)


def test_can_only_write_to_its_state(started: Container) -> None:
    status = dict(line.split(":\t", 1) for line in started.python("print(open('/proc/1/status').read())").splitlines())
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"10001"}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    for folder in ("/", "/app", "/app/src", "/etc", "/home", "/usr/local"):
        assert started.execute("touch", f"{folder}/file").returncode != 0, folder
    assert started.execute("touch", "/state/file").returncode == 0


def test_has_only_packages_with_hashes(started: Container) -> None:
    lines = (ROOT / "requirements/serving.txt").read_text(encoding="utf-8").splitlines()
    pinned = {tuple(line.split()[0].split("==")) for line in lines if "==" in line and line[0].isalpha()}
    code = (
        "import importlib.metadata as m, re, sys\n"
        "for d in m.distributions(path=[p for p in sys.path if '/venv/' in p]):\n"
        "    print(re.sub('[-_.]+', '-', d.name).lower(), d.version)"
    )
    installed = {tuple(line.split()) for line in started.python(code).splitlines()}
    assert installed <= pinned
    assert {"bentoml", "onnxruntime", "numpy", "psycopg"} <= {name for name, _ in installed}
    assert not {"scikit-learn", "pandas", "scipy", "pyarrow", "mlflow", "dvc", "pip"} & {name for name, _ in installed}


@pytest.mark.parametrize("program", ["cc", "gcc", "g++", "c++", "clang", "as", "ld", "strip", "make", "git", "curl"])
def test_has_no_compiler_and_no_tools(started: Container, program: str) -> None:
    assert started.execute("sh", "-c", f"command -v {program}").returncode != 0


@pytest.mark.parametrize("module", ["sklearn", "pandas", "scipy"])
def test_has_no_packages_of_the_training(started: Container, module: str) -> None:
    assert "No module named" in started.execute("python3", "-c", f"import {module}").stderr


def test_labels_and_configuration(engine: Engine, image: str, repository: Repository) -> None:
    configuration = engine.inspect(image)["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in configuration["Labels"].items()}
    assert labels["title"] == contract.NAME
    assert labels["version"] == image.rpartition(":")[2]
    assert labels["revision"] == repository.must("git", "rev-parse", "HEAD").strip()
    assert labels["created"].endswith("+00:00")
    assert contract.NAME in labels["description"]
    assert configuration["User"] == "10001:10001"
    assert configuration["Volumes"] == {"/state": {}}
    assert configuration["ExposedPorts"] == {"3000/tcp": {}}


def test_health_check(engine: Engine, image: str, started: Container) -> None:
    configuration = engine.inspect(image)
    health = configuration.get("Healthcheck") or configuration["Config"]["Healthcheck"]
    assert health["Test"][0] == "CMD"
    assert started.execute(*health["Test"][1:]).returncode == 0
    # Nothing listens on this port.
    completed = engine.run("exec", "--env", f"BENTOML_PORT={free_port()}", started.name, *health["Test"][1:])
    assert completed.returncode == 1, completed.stderr


def test_contains_no_trace_of_the_build_machine(started: Container, repository: Repository) -> None:
    # The exit status of `grep` is 1 if nothing matches, and 2 after an error.
    for path in (repository.folder.parent, ROOT):
        completed = started.execute("grep", "-rlF", str(path), "/app")
        assert completed.returncode == 1, completed.stdout + completed.stderr
    completed = started.execute("grep", "-rlE", "^ *(--)?(extra[-_])?index[-_]url:? [^n]|--find-links", "/app/src")
    assert completed.returncode == 1, completed.stdout + completed.stderr
    assert started.execute("find", "/app", "-name", "pip.conf", "-o", "-name", "direct_url.json").stdout == ""


def test_starts_from_byte_code(started: Container) -> None:
    """Every imported module has byte code, because the service could not write it at run time."""
    code = (
        "import sys, pathlib, lifecycle.serving.service\n"
        "specs = [m.__spec__ for m in sys.modules.values() if getattr(m, '__spec__', None)]\n"
        "cached = [s.cached for s in specs if s.cached and s.cached.startswith('/app')]\n"
        "print(len(cached), *[path for path in cached if not pathlib.Path(path).exists()])"
    )
    number, *missing = started.python(code).splitlines()[-1].split()
    assert int(number) > 500
    assert missing == []


def test_is_small(engine: Engine, image: str) -> None:
    assert engine.size(image) - engine.size(engine.base) < LIMIT


def prove(repository: Repository, engine: Engine, image: str) -> subprocess.CompletedProcess[str]:
    command = ("python", "-m", "lifecycle.release.prove", image, "--engine", engine.command)
    return repository.run(*command, **engine.environment)


def test_prove_accepts_a_good_image(engine: Engine, image: str, repository: Repository) -> None:
    completed = prove(repository, engine, image)
    assert completed.returncode == 0, completed.stdout
    for part in ("ready after", "200 holdout rows as the model does", "rejects 5 kinds", "stops at SIGTERM"):
        assert part in completed.stdout
    # The container is removed.
    assert "proof" not in engine.must("ps", "--all", "--format", "{{.Names}}")


def test_prove_rejects_an_image_with_another_model(
    engine: Engine, image: str, repository: Repository, tmp_path: Path
) -> None:
    copy = Repository(Path(shutil.copytree(repository.folder, tmp_path / "clone")))
    change_params(copy, **with_estimator(copy, max_iter=3), window=WINDOW, holdout=HOLDOUT)
    copy.must("python", "-m", "lifecycle.pipeline.train")
    lineage = json.loads((repository.folder / "artifacts/lineage.json").read_text(encoding="utf-8"))
    lineage["model"] = model_hash(copy.folder / "artifacts/model")
    (copy.folder / "artifacts/lineage.json").write_text(json.dumps(lineage), encoding="utf-8")
    completed = prove(copy, engine, image)
    assert completed.returncode == 1
    message = r"the image cannot be released: its predictions differ from the model's by up to 0\.\d+"
    assert re.search(message, completed.stdout)
    lineage["commit"] = "another"
    (copy.folder / "artifacts/lineage.json").write_text(json.dumps(lineage), encoding="utf-8")
    completed = prove(copy, engine, image)
    assert "instead of another" in completed.stdout


@pytest.mark.long
def test_prove_rejects_a_slow_image(engine: Engine, image: str, repository: Repository, tmp_path: Path) -> None:
    copy = Repository(Path(shutil.copytree(repository.folder, tmp_path / "clone")))
    change_params(copy, gates=GATES | {"answer_milliseconds": 0.001}, window=WINDOW, holdout=HOLDOUT)
    completed = prove(copy, engine, image)
    assert completed.returncode == 1
    assert "at most 0.001 ms is allowed (gates.answer_milliseconds in params.yaml)" in completed.stdout


def test_prove_rejects_an_image_that_does_not_start(engine: Engine, started: Container, repository: Repository) -> None:
    completed = prove(repository, engine, "127.0.0.1:1/none:1")
    assert completed.returncode == 1
    assert "error: the image 127.0.0.1:1/none:1 does not start" in completed.stdout
    broken, entry = "localhost/broken:1", 'ENTRYPOINT ["python3", "-c", "raise SystemExit(\'no such model\')"]'
    engine.must("commit", "--change", entry, started.name, broken)
    completed = prove(repository, engine, broken)
    engine.must("rmi", broken)
    assert completed.returncode == 1
    message = "the image cannot be released: the service exited. The end of its log:\nno such model"
    assert message in completed.stdout


def test_prove_rejects_an_image_that_starts_too_slowly(
    engine: Engine, image: str, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.folder)
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"the service was not ready within 0\.05 s"):
        list(prove_image(image, engine.command, seconds_to_start=0.05))


@pytest.mark.long
def test_error_of_a_failed_build(engine: Engine, image: str, repository: Repository) -> None:
    """The base image is in a registry on this machine that does not exist, so that the test needs no network."""
    del image
    environment = engine.environment | {"BENTOML_HOME": str(repository.folder.parent / "bentoml")}
    command = ("python", "-m", "lifecycle.release.image", "--engine", engine.command, "--base", "127.0.0.1:1/none:1")
    completed = repository.run(*command, **environment)
    assert completed.returncode == 1
    assert "error: `bentoml containerize` failed:" in completed.stdout
    assert "127.0.0.1:1" in completed.stdout
    assert "Traceback" not in completed.stdout


def test_error_without_a_container_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\necho cannot connect >&2\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no container engine answers.*docker, podman"):
        under_test.find_engine()


def test_error_of_a_model_that_the_image_cannot_load(repository: Repository, tmp_path: Path) -> None:
    copy = Repository(Path(shutil.copytree(repository.folder, tmp_path / "clone")))
    metadata = copy.folder / "artifacts/model/metadata.json"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace('"onnx"', '"skops"'), encoding="utf-8")
    completed = copy.run("python", "-m", "lifecycle.release.image", "--bento", BENTOML_HOME=str(tmp_path / "bentoml"))
    assert completed.returncode == 1
    assert "skops, which the packages in requirements/serving.txt cannot load. Add skops" in completed.stdout
