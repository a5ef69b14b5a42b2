import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from lifecycle.pipeline import track as under_test
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns
from model import contract
from tests.lifecycle import in_process
from tests.lifecycle.repository import EXAMPLE_PROJECT, Repository, with_example


def runs(repository: Repository, uri: str | None = None) -> list[dict[str, Any]]:
    """Return the runs in the repository's store, or on a server, as an MLflow client sees them."""
    with in_process.inside(repository):
        client = MlflowClient(uri or store(repository))
        experiments = client.search_experiments()
        logged = [run for experiment in experiments for run in client.search_runs([experiment.experiment_id])]
        return [
            described(run) | {"artifacts": [a.path for a in client.list_artifacts(run.info.run_id)]} for run in logged
        ]


def described(run: Run) -> dict[str, Any]:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return {
        "id": run.info.run_id,
        "status": run.info.status,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": run.data.tags,
        "inputs": [(entry.dataset.digest, {tag.key: tag.value for tag in entry.tags}) for entry in inputs],
        "models": [model.model_id for model in run.outputs.model_outputs] if run.outputs else [],
    }


def store(repository: Repository) -> str:
    return f"sqlite:///{repository.folder}/.mlflow/mlflow.db"


def track(repository: Repository, **environment: str) -> str:
    """Track the repository and return the id of the run."""
    with in_process.inside(repository, **environment):
        return under_test.track()


def track_apart(repository: Repository, **environment: str) -> subprocess.CompletedProcess[str]:
    """Track the repository with the command, in a separate process."""
    return repository.run("python", "-m", "lifecycle.pipeline.track", **environment)


def test_one_run_with_everything(finished: Repository) -> None:
    (run,) = runs(finished)
    assert run["status"] == "FINISHED"
    assert run["params"]["estimator"] == "hist_gradient_boosting"
    assert run["params"]["learning_rate"] == "0.05"
    assert run["params"]["window.first"] == "2013-01"
    assert "max_features.lightgbm" not in run["params"]
    metrics = json.loads((finished.folder / "reports/metrics.json").read_text(encoding="utf-8"))
    assert run["metrics"]["roc_auc"] == metrics["model"]["roc_auc"]["value"]
    assert run["metrics"]["roc_auc_low"] == metrics["model"]["roc_auc"]["low"]
    assert run["metrics"]["baseline_log_loss"] == metrics["baseline"]["log_loss"]
    assert set(run["artifacts"]) == {"params.yaml", "dvc.lock", "reports", "plots.html"}
    (plots,) = (finished.folder / ".mlflow/artifacts").rglob("plots.html")
    page = plots.read_text(encoding="utf-8")
    assert page.count("<svg") == len(
        yaml.safe_load((EXAMPLE_PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    )
    assert ">this run<" in page
    assert len(run["models"]) == 1
    data = (finished.folder / "data.dvc").read_text(encoding="utf-8")
    (training, evaluation) = run["inputs"]
    assert training[0] in data
    assert training[1] == {"mlflow.data.context": "training", "first": "2013-01", "last": "2013-02"}
    assert evaluation[1] == {"mlflow.data.context": "evaluation", "first": "2013-03", "last": "2013-03"}
    assert run["tags"]["mlflow.source.git.commit"] == finished.must("git", "rev-parse", "HEAD").strip()


def test_tracking_again_adds_nothing(finished: Repository) -> None:
    (before,) = runs(finished)
    assert track_apart(finished).stdout == f"tracked as run {before['id']}\n"
    # Also without the record of the last tracked run.
    (finished.folder / ".mlflow/last.json").unlink()
    assert track(finished) == before["id"]
    assert [run["id"] for run in runs(finished)] == [before["id"]]


def test_record_of_a_deleted_store_is_ignored(finished: Repository) -> None:
    folder = finished.folder / ".mlflow"
    (folder / "mlflow.db").rename(folder / "away.db")
    # In a separate process, because this one has the other file open.
    assert track_apart(finished).returncode == 0
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        assert connection.execute("select count(*) from runs").fetchone() == (1,)
    (folder / "mlflow.db").unlink()
    (folder / "away.db").rename(folder / "mlflow.db")
    (folder / "last.json").unlink()
    track(finished)


def test_interrupted_run_is_replaced(finished: Repository) -> None:
    (before,) = runs(finished)
    with in_process.inside(finished):
        MlflowClient(store(finished)).update_run(before["id"], status="RUNNING")
    (finished.folder / ".mlflow/last.json").unlink()
    track(finished)
    (after,) = runs(finished)
    assert after["id"] != before["id"]
    assert after["status"] == "FINISHED"


@contextmanager
def serving(repository: Repository, port: int, *command: str, **environment: str) -> Iterator[str]:
    """Start an MLflow server and wait until it answers."""
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command,
        cwd=repository.folder,
        env=repository.environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            deadline = time.monotonic() + 90
            while True:
                try:
                    with urllib.request.urlopen(url, timeout=5) as answer:
                        assert "MLflow" in answer.read().decode()
                    break
                except OSError:
                    assert server.poll() is None, "the server has exited"
                    assert time.monotonic() < deadline, "the server does not answer"
                    time.sleep(0.2)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The fast tests cover this, too: tests/lifecycle/registry tracks a run on a server.
@pytest.mark.long
def test_server_by_environment(finished: Repository, tmp_path: Path) -> None:
    """Tracking twice on a real server logs one run, with its model and artifacts."""
    port = free_port()
    database = f"sqlite:///{tmp_path}/server.db"
    command = ["mlflow", "server", "--backend-store-uri", database]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with serving(finished, port, *command, "--port", str(port), "--workers", "1") as url:
        for _ in range(2):
            track(finished, MLFLOW_TRACKING_URI=url)
            (finished.folder / ".mlflow/last.json").unlink()
        (run,) = runs(finished, url)
    assert run["status"] == "FINISHED"
    assert len(run["models"]) == 1
    assert list((tmp_path / "artifacts").rglob("model.onnx"))
    track(finished)


def test_ui(finished: Repository) -> None:
    port = free_port()
    with serving(finished, port, "python", "-m", "lifecycle.pipeline.track", "ui", PORT=str(port)):
        pass


def test_server_that_does_not_answer(finished: Repository) -> None:
    completed = track_apart(finished, MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert completed.returncode == 1
    assert "error: the run could not be tracked at http://127.0.0.1:9" in completed.stdout
    assert "Traceback" not in completed.stdout


@pytest.fixture
def copy(finished: Repository, tmp_path: Path) -> Repository:
    """A copy with its own store, which a test may damage."""
    return Repository(Path(shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)))


def test_store_that_cannot_be_used(copy: Repository) -> None:
    database, last = (copy.folder / ".mlflow" / name for name in ("mlflow.db", "last.json"))
    track(copy)
    last.unlink()
    with closing(sqlite3.connect(database)) as busy:
        busy.execute("begin exclusive")
        locked = track_apart(copy, MLFLOW_SQLALCHEMYSTORE_MAX_RETRIES="0")
    content = database.read_bytes()
    database.write_bytes(b"no database" * 1000)
    garbage = track_apart(copy)
    for completed in (locked, garbage):
        assert completed.returncode == 1
        assert "error: the run could not be tracked at sqlite:///" in completed.stdout
        assert "The model itself is finished. Run `make` to retry." in completed.stdout
        assert "Traceback" not in completed.stdout
    database.write_bytes(content)
    assert track_apart(copy).returncode == 0


@pytest.mark.parametrize("text", ["", "{", '{"uri": 1}', "[]", "\0"])
def test_record_of_the_last_run_that_is_damaged(copy: Repository, text: str) -> None:
    run = track(copy)
    (copy.folder / ".mlflow/last.json").write_text(text, encoding="utf-8")
    assert track(copy) == run


def test_experiment_that_somebody_deleted(copy: Repository) -> None:
    track(copy)
    with in_process.inside(copy):
        client = MlflowClient(store(copy))
        (experiment,) = client.search_experiments(filter_string=f"name = '{contract.NAME}'")
        client.delete_experiment(experiment.experiment_id)
    (copy.folder / ".mlflow/last.json").unlink()
    track(copy)
    (run,) = [run for run in runs(copy) if run["status"] == "FINISHED"]
    assert run["models"]


@pytest.mark.parametrize("name", ["e%20f", *(pytest.param(odd, marks=pytest.mark.long) for odd in ("g?h", "c#d é'"))])
def test_everything_lies_in_the_clone(finished: Repository, tmp_path: Path, name: str) -> None:
    """Whatever the name of its directory means in a URL."""
    clone = Repository(Path(shutil.copytree(finished.folder, tmp_path / name / "clone", symlinks=True)))
    shutil.rmtree(clone.folder / ".mlflow", ignore_errors=True)
    completed = track_apart(clone)
    assert completed.returncode == 0, completed.stdout
    assert (clone.folder / ".mlflow/mlflow.db").stat().st_size
    assert list((clone.folder / ".mlflow/artifacts").rglob("params.yaml"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [path.name for path in (tmp_path / name).iterdir()] == ["clone"]


def test_tracked_model_predicts_what_the_model_folder_predicts(finished: Repository, tmp_path: Path) -> None:
    (run,) = runs(finished)
    script = """
import mlflow, pandas, sys
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(f"models:/{sys.argv[2]}")
assert len(model.predict(model.input_example)) == 1
signature = model.metadata.signature
assert [column.name for column in signature.inputs] == sys.argv[5].split(",")
rows = pandas.read_parquet(sys.argv[3])
model.predict(rows.drop(columns="late")).tofile(sys.argv[4])
"""
    holdout = finished.folder / "artifacts/prepared/holdout.parquet"
    predicted, names = tmp_path / "predicted", ",".join(c.name for c in contract.INPUTS)
    arguments = (store(finished), run["models"][0], str(holdout), str(predicted), names)
    finished.must(sys.executable, "-W", "ignore", "-c", script, *arguments)
    expected = Predictor.load(finished.folder / "artifacts/model").predict(to_columns(pq.read_table(holdout)))
    np.testing.assert_allclose(np.fromfile(predicted, dtype=np.float32), expected, atol=1e-6)


def test_nothing_to_track(tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "lifecycle.pipeline.track"],
        cwd=tmp_path,
        env=with_example(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 1
    assert completed.stderr.startswith("error: there is no dvc.lock")


def test_stages_never_import_mlflow() -> None:
    for name in ("prepare", "train", "evaluate"):
        script = f"import sys, lifecycle.pipeline.{name}; sys.exit('mlflow' in sys.modules)"
        completed = subprocess.run([sys.executable, "-c", script], cwd=EXAMPLE_PROJECT, env=with_example(), check=False)
        assert completed.returncode == 0
