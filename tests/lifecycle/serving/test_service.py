"""The service with real requests: answers, metrics, access log, limits, keys, shutdown and start."""

import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from lifecycle.pipeline.predict import predict
from lifecycle.serving.telemetry import INTERVAL
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import contract_version, json_schema
from lifecycle.shared.tables import to_columns
from model import contract
from tests.lifecycle.repository import run_with_example
from tests.lifecycle.serving.conftest import EXAMPLE, Service, eventually, running


def as_json(table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.drop_columns(contract.TARGET.name).to_pylist()
    return [row | {"scheduled_departure": row["scheduled_departure"].isoformat()} for row in rows]


def test_answers_one_row_and_a_list_of_rows(service: Service) -> None:
    response = service.post(json=EXAMPLE)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer["model_version"] == "test-1"
    assert answer["commit"] == "c0ffee"
    assert answer["contract_version"] == contract_version()
    (prediction,) = answer["predictions"]
    assert prediction["label"] == (prediction["probability"] >= 0.5)
    other = EXAMPLE | {"destination": "LAX", "wind_gust": None}
    predictions = service.predict(EXAMPLE, other)
    assert predictions[0]["probability"] == prediction["probability"]
    assert predictions[1]["probability"] != prediction["probability"]
    assert len({prediction["id"], predictions[0]["id"], predictions[1]["id"]}) == 3


def test_same_probabilities_everywhere(service: Service, trained: Path, tmp_path: Path) -> None:
    """HTTP, the batch command and the predictor give the whole holdout the same probabilities to 1e-6."""
    holdout = trained / "artifacts/prepared/holdout.parquet"
    table = pq.read_table(holdout)
    predictor = Predictor.load(trained / "artifacts/model")
    expected = predictor.predict(to_columns(table))
    rows = as_json(table)
    predictions = []
    for start in range(0, len(rows), 500):
        predictions += service.predict(*rows[start : start + 500])
    probabilities = [prediction["probability"] for prediction in predictions]
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)
    assert [prediction["label"] for prediction in predictions] == (expected >= 0.5).tolist()
    for ending in ("parquet", "csv"):
        predict(holdout, tmp_path / f"scored.{ending}", predictor)
    scored = pq.read_table(tmp_path / "scored.parquet")
    np.testing.assert_allclose(scored.column("probability").to_numpy(), expected, rtol=0, atol=1e-6)
    # Integers as pandas writes them in a column with missing values.
    floats = EXAMPLE | {"plane_year": 2001.0, "flight_number": 1545.0}
    assert service.predict(floats)[0]["probability"] == service.predict(EXAMPLE)[0]["probability"]


def test_describes_the_running_model(service: Service) -> None:
    model = service.get("/model").json()
    assert model["version"] == "test-1"
    assert model["window"] == {"first": "2013-01", "last": "2013-02"}
    assert model["contract"] == json_schema()
    assert {"metrics", "commit", "estimator", "threshold", "rows"} <= set(model)


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz", "/metrics", "/static_content/swagger-ui-bundle.js"])
def test_paths_that_bentoml_answers(service: Service, path: str) -> None:
    assert service.get(path).status_code == 200


def test_openapi_states_the_contract(service: Service) -> None:
    document = service.get("/docs.json").json()
    row = document["components"]["schemas"]["Row"]
    assert row["properties"] == json_schema()["properties"]
    assert row["required"] == [column.name for column in contract.INPUTS]
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert service.post(json=body["example"]).status_code == 200
    page = service.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "googletagmanager" not in page.text


def test_metrics_and_access_log_without_input_values(service: Service) -> None:
    unseen = 'model_feature_total{bin="unseen",feature="destination"}'
    time.sleep(2 * INTERVAL)  # until the rows of other tests are counted
    before = service.metric(unseen)
    row = EXAMPLE | {"destination": "QQQ"}
    answer = service.post(json=[row] * 7, headers={"X-Request-ID": "from-the-client"})
    assert answer.headers["x-request-id"] == "from-the-client"
    eventually(lambda: service.metric(unseen) == before + 7)
    rows = service.metric("model_rows_total")
    assert rows >= 7
    assert service.metric('model_requests_total{method="POST",route="/predict",status="200"}') >= 1
    assert service.metric("model_prediction_count") == rows
    assert service.metric('model_request_seconds_count{route="/predict"}') >= 1
    assert service.metric('model_info{commit="c0ffee",version="test-1"}') == 1
    lines = service.output.read_text(encoding="utf-8").splitlines()
    (line,) = [json.loads(line) for line in lines if "from-the-client" in line]
    assert line.items() >= {"route": "/predict", "status": 200, "rows": 7, "client": "127.0.0.1"}.items()
    assert "QQQ" not in "".join(lines)


def test_unknown_paths_create_no_metrics(service: Service) -> None:
    for number in range(20):
        answer = service.get(f"/strange-{number}")
        assert answer.status_code == 404
        assert "/predict" in answer.json()["error"]
    assert service.get("/predict").status_code == 405
    assert service.get("/predict").headers["allow"] == "POST"
    time.sleep(0.5)
    assert "strange" not in service.get("/metrics").text
    assert service.metric('model_requests_total{method="GET",route="unknown",status="404"}') >= 20


def test_a_dry_run_is_neither_logged_nor_counted(service: Service) -> None:
    rows = service.metric("model_rows_total")
    dry = service.post(json=[EXAMPLE] * 60, headers={"X-Dry-Run": "true", "X-Request-ID": "dry"})
    assert dry.json()["predictions"][0]["probability"] == service.predict(EXAMPLE)[0]["probability"]
    assert service.post(json=EXAMPLE, headers={"X-Dry-Run": "false", "X-Request-ID": "wet"}).status_code == 200
    assert service.post(json=EXAMPLE, headers={"X-Dry-Run": "yes"}).status_code == 400
    eventually(lambda: service.log("select id from predictions where request_id = 'wet'"))
    assert service.log("select id from predictions where request_id = 'dry'") == []
    time.sleep(2 * INTERVAL)
    assert service.metric("model_rows_total") < rows + 60


def test_logs_predictions_and_outcomes(service: Service) -> None:
    answer = service.post(json=EXAMPLE, headers={"X-Request-ID": "logged"}).json()
    (prediction,) = answer["predictions"]
    query = "select id, model_version, contract_version, probability, inputs, time from predictions"
    (row,) = eventually(lambda: service.log(f"{query} where request_id = 'logged'"))
    assert row[:4] == (prediction["id"], "test-1", contract_version(), prediction["probability"])
    assert json.loads(row[4]) == EXAMPLE
    assert abs(row[5] - time.time()) < 60
    for outcome in (0, 1):
        response = service.post("/feedback", json={"prediction_id": prediction["id"], "outcome": bool(outcome)})
        assert (response.status_code, response.json()) == (202, {"accepted": 1})
        eventually(partial(is_logged, service, prediction["id"], outcome))


def is_logged(service: Service, prediction_id: str, outcome: int) -> bool:
    return (prediction_id, outcome) in service.log("select prediction_id, outcome from feedback")


def test_does_not_import_packages_that_only_training_needs() -> None:
    code = "import sys, lifecycle.serving.service, lifecycle.prediction_log.drain; print(*sys.modules)"
    completed = run_with_example(sys.executable, "-c", code)
    assert completed.returncode == 0, completed.stderr
    assert not {"pyarrow", "pandas", "sklearn", "scipy", "mlflow", "dvc"} & set(completed.stdout.split())


def test_api_keys(trained: Path, tmp_path: Path) -> None:
    with running(trained, tmp_path, API_KEYS="old-key,new-key") as service:
        assert service.post(json=EXAMPLE).status_code == 401
        assert service.post(json=EXAMPLE, headers={"X-API-Key": "wrong"}).status_code == 401
        assert service.post("/feedback", json={}).status_code == 401
        assert service.get("/model").status_code == 401
        for key in ("old-key", "new-key"):
            assert service.post(json=EXAMPLE, headers={"X-API-Key": key}).status_code == 200
        assert service.get("/docs.json").json()["security"] == [{"key": []}]
        assert service.get("/readyz").status_code == 200
        assert "old-key" not in service.output.read_text(encoding="utf-8")


def slow_request(service: Service, start: bytes) -> socket.socket:
    """Send the start of a request, and return its connection."""
    host, port = service.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(start)
    return connection


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def test_limits(trained: Path, tmp_path: Path) -> None:
    limits = {"MAX_ROWS": "3", "MAX_BYTES": "4000", "MAX_CONCURRENCY": "2", "REQUEST_TIMEOUT": "1.5"}
    with running(trained, tmp_path, **limits) as service:
        assert len(service.predict(*[EXAMPLE] * 3)) == 3
        assert service.post(json=[EXAMPLE] * 4).status_code == 400
        # A finite body that is too large gets an answer, even if it is larger than all buffers.
        assert service.post(json=[EXAMPLE] * 40).status_code == 413
        assert service.post(content=b" " * 60_000, headers={"Content-Type": "application/json"}).status_code == 413
        # The connection of an endless body is closed.
        endless = slow_request(service, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                endless.sendall(b"3e8\r\n" + b" " * 1000 + b"\r\n")
        endless.close()
        # A body that does not arrive times out. While two such requests are running, a third one is refused.
        first = slow_request(service, HEAD + b"Content-Length: 100\r\n\r\n{")
        second = slow_request(service, HEAD + b"Content-Length: 100\r\n\r\n{")
        busy = eventually(lambda: (a := service.post(json=EXAMPLE)).status_code == 503 and a, 1)
        assert busy.headers["retry-after"] == "1"
        assert "error" in busy.json()
        for connection in (first, second):
            assert connection.recv(100).startswith(b"HTTP/1.1 408")
            connection.close()
        assert service.post(json=EXAMPLE).status_code == 200


def test_no_accepted_request_is_dropped(trained: Path, tmp_path: Path) -> None:
    """On SIGTERM under load, each request is either answered and logged, or was not accepted."""
    with running(trained, tmp_path) as service:
        answered: list[str] = []
        failed: list[Exception] = []

        def send_requests() -> None:
            with httpx.Client() as client:
                while True:
                    try:
                        answer = client.post(service.url + "/predict", json=EXAMPLE, timeout=10)
                    except httpx.ConnectError:
                        return
                    except httpx.TransportError as error:
                        failed.append(error)
                        return
                    assert answer.status_code == 200
                    answered.append(answer.json()["predictions"][0]["id"])

        # A request that has been accepted, but has not completely arrived when the signal comes.
        body = json.dumps(EXAMPLE).encode()
        late = slow_request(service, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:50])
        clients = [threading.Thread(target=send_requests) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(1)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        late.sendall(body[50:])
        assert late.recv(1000).startswith(b"HTTP/1.1 200")
        late.close()
        for client in clients:
            client.join()
        assert service.process.wait(timeout=30) == 0
        logged = {row[0] for row in service.log("select id from predictions")}
        assert len(answered) > 100
        assert set(answered) <= logged
        # The server may close an idle connection while its next request is under way; it has not accepted that request.
        assert all(isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) for error in failed)
        assert list((service.state / "spool").glob("*.jsonl")) == []


def test_killed_worker_loses_nothing_and_is_replaced(trained: Path, tmp_path: Path) -> None:
    with running(trained, tmp_path, WORKERS="2") as service:
        answered = []
        with httpx.Client() as client:
            for number in range(400):
                if number == 200:
                    for worker in service.workers():
                        os.kill(worker, signal.SIGKILL)
                try:
                    answer = client.post(service.url + "/predict", json=EXAMPLE, timeout=20)
                    answered.append(answer.json()["predictions"][0]["id"])
                except httpx.TransportError:
                    time.sleep(0.05)
        assert len(answered) > 200
        eventually(lambda: set(answered) <= {row[0] for row in service.log("select id from predictions")}, seconds=40)


def without_histograms(metadata: Path) -> None:
    content = json.loads(metadata.read_text(encoding="utf-8"))
    del content["histograms"]
    metadata.write_text(json.dumps(content), encoding="utf-8")


# Each start takes seconds, so `make test` has one case of a model that cannot be loaded.
long = partial(pytest.param, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        long(lambda folder: (folder / "artifacts/model/model.onnx").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "artifacts/model/model.onnx").write_bytes(b"no model"), "cannot be loaded"),
        (lambda folder: (folder / "artifacts/model/contract.json").write_text("{}"), "another contract"),
        (lambda folder: (folder / "artifacts/lineage.json").unlink(), "lineage"),
        (lambda folder: without_histograms(folder / "artifacts/model/metadata.json"), "another commit wrote it"),
        long(lambda folder: (folder / "artifacts/model/metadata.json").write_text("{"), "cannot be loaded"),
    ],
)
def test_does_not_start_without_a_valid_model(trained: Path, tmp_path: Path, damage: Any, message: str) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(trained, folder)
    damage(folder)
    completed = run_with_example(
        *(sys.executable, "-m", "bentoml", "serve", "lifecycle.serving.service:ModelService", "--port", "0"),
        MODEL_FOLDER=str(folder / "artifacts/model"),
        LINEAGE=str(folder / "artifacts/lineage.json"),
        STATE_FOLDER=str(tmp_path / "state"),
    )
    assert completed.returncode != 0
    (line,) = [line for line in completed.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Traceback" not in completed.stdout + completed.stderr
