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
from lifecycle.shared.months import to_columns
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import contract_version, json_schema
from model import contract
from tests.lifecycle.repository import run_with_example
from tests.lifecycle.serving.conftest import EXAMPLE, Service, eventually, running


def as_json(table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.drop_columns(contract.TARGET).to_pylist()
    return [row | {"scheduled_departure": row["scheduled_departure"].isoformat()} for row in rows]


def test_answers_one_row_and_a_list_of_rows(service: Service) -> None:
    one = service.post(json=EXAMPLE)
    assert one.status_code == 200
    assert one.headers["content-type"] == "application/json"
    answer = one.json()
    assert answer["model_version"] == "test-1"
    assert answer["commit"] == "c0ffee"
    assert answer["contract_version"] == contract_version()
    (prediction,) = answer["predictions"]
    assert prediction["label"] == (prediction["probability"] >= 0.5)
    other = EXAMPLE | {"destination": "LAX", "wind_gust": None}
    several = service.predict(EXAMPLE, other)
    assert several[0]["probability"] == prediction["probability"]
    assert several[1]["probability"] != prediction["probability"]
    assert len({prediction["id"], several[0]["id"], several[1]["id"]}) == 3


def test_same_probabilities_everywhere(service: Service, trained: Path, tmp_path: Path) -> None:
    """The whole holdout through HTTP, through the batch command and in training, to 1e-6."""
    holdout = trained / "artifacts/prepared/holdout.parquet"
    table = pq.read_table(holdout)
    predictor = Predictor.load(trained / "artifacts/model")
    expected = predictor.probabilities(to_columns(table))
    rows = as_json(table)
    found = [one for start in range(0, len(rows), 500) for one in service.predict(*rows[start : start + 500])]
    np.testing.assert_allclose([one["probability"] for one in found], expected, rtol=0, atol=1e-6)
    assert [one["label"] for one in found] == (expected >= 0.5).tolist()
    for ending in ("parquet", "csv"):
        predict(holdout, tmp_path / f"scored.{ending}", predictor)
    scored = pq.read_table(tmp_path / "scored.parquet")
    np.testing.assert_allclose(scored.column("probability").to_numpy(), expected, rtol=0, atol=1e-6)
    # Whole numbers as pandas writes them where some are missing.
    floats = EXAMPLE | {"plane_year": 2001.0, "flight_number": 1545.0}
    assert service.predict(floats)[0]["probability"] == service.predict(EXAMPLE)[0]["probability"]


def test_tells_what_is_running(service: Service) -> None:
    model = service.get("/model").json()
    assert model["version"] == "test-1"
    assert model["window"] == {"first": "2013-01", "last": "2013-02"}
    assert model["contract"] == json_schema()
    assert {"metrics", "commit", "estimator", "threshold", "rows"} <= set(model)


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz", "/metrics", "/static_content/swagger-ui-bundle.js"])
def test_what_bentoml_answers(service: Service, path: str) -> None:
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


def test_counts_and_logs_without_values(service: Service) -> None:
    unseen = 'model_feature_total{bin="unseen",feature="destination"}'
    time.sleep(2 * INTERVAL)  # until other tests' rows are counted
    before = service.metric(unseen)
    row = EXAMPLE | {"destination": "QQQ"}
    answer = service.post(json=[row] * 7, headers={"X-Request-ID": "from-the-client"})
    assert answer.headers["x-request-id"] == "from-the-client"
    eventually(lambda: service.metric(unseen) == before + 7)
    rows = service.metric("model_rows_total")
    assert rows >= 7
    assert service.metric('model_requests_total{method="POST",route="/predict",status="200"}') >= 1
    assert service.metric("model_probability_count") == rows
    assert service.metric('model_request_seconds_count{route="/predict"}') >= 1
    assert service.metric('model_info{commit="c0ffee",version="test-1"}') == 1
    lines = service.output.read_text(encoding="utf-8").splitlines()
    (line,) = [json.loads(line) for line in lines if "from-the-client" in line]
    assert line.items() >= {"route": "/predict", "status": 200, "rows": 7, "client": "127.0.0.1"}.items()
    assert "QQQ" not in "".join(lines)


def test_path_of_a_stranger_is_no_metric(service: Service) -> None:
    for number in range(20):
        answer = service.get(f"/strange-{number}")
        assert answer.status_code == 404
        assert "/predict" in answer.json()["error"]
    assert service.get("/predict").status_code == 405
    assert service.get("/predict").headers["allow"] == "POST"
    time.sleep(0.5)
    assert "strange" not in service.get("/metrics").text
    assert service.metric('model_requests_total{method="GET",route="unknown",status="404"}') >= 20


def test_a_dry_run_leaves_no_trace(service: Service) -> None:
    rows = service.metric("model_rows_total")
    dry = service.post(json=[EXAMPLE] * 60, headers={"X-Dry-Run": "true", "X-Request-ID": "dry"})
    assert dry.json()["predictions"][0]["probability"] == service.predict(EXAMPLE)[0]["probability"]
    assert service.post(json=EXAMPLE, headers={"X-Dry-Run": "false", "X-Request-ID": "wet"}).status_code == 200
    assert service.post(json=EXAMPLE, headers={"X-Dry-Run": "yes"}).status_code == 400
    eventually(lambda: service.log("select id from predictions where request_id = 'wet'"))
    assert service.log("select id from predictions where request_id = 'dry'") == []
    time.sleep(2 * INTERVAL)
    assert service.metric("model_rows_total") < rows + 60


def test_remembers_predictions_and_outcomes(service: Service) -> None:
    answer = service.post(json=EXAMPLE, headers={"X-Request-ID": "remember"}).json()
    (prediction,) = answer["predictions"]
    query = "select id, model_version, contract_version, probability, inputs, time from predictions"
    (row,) = eventually(lambda: service.log(f"{query} where request_id = 'remember'"))
    assert row[:4] == (prediction["id"], "test-1", contract_version(), prediction["probability"])
    assert json.loads(row[4]) == EXAMPLE
    assert abs(row[5] - time.time()) < 60
    for outcome in (0, 1):
        done = service.post("/feedback", json={"prediction_id": prediction["id"], "outcome": bool(outcome)})
        assert (done.status_code, done.json()) == (202, {"accepted": 1})
        eventually(partial(reported, service, prediction["id"], outcome))


def reported(service: Service, prediction_id: str, outcome: int) -> bool:
    return (prediction_id, outcome) in service.log("select prediction_id, outcome from feedback")


def test_imports_nothing_that_only_training_needs() -> None:
    code = "import sys, lifecycle.serving.service, lifecycle.serving.drain; print(*sys.modules)"
    done = run_with_example(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert not {"pyarrow", "pandas", "sklearn", "scipy", "mlflow", "dvc"} & set(done.stdout.split())


def test_keys(trained: Path, tmp_path: Path) -> None:
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
        # What is too large and has an end gets an answer, even if it would fill all buffers on the way.
        assert service.post(json=[EXAMPLE] * 40).status_code == 413
        assert service.post(content=b" " * 60_000, headers={"Content-Type": "application/json"}).status_code == 413
        # A body that never ends is cut off, …
        endless = slow_request(service, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                endless.sendall(b"3e8\r\n" + b" " * 1000 + b"\r\n")
        endless.close()
        # … and one that does not come, when its time is over. Meanwhile there is room for one more and not for two.
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
    """SIGTERM under load: each request is either answered and in the log, or was not taken at all."""
    with running(trained, tmp_path) as service:
        answered: list[str] = []
        failed: list[Exception] = []

        def ask() -> None:
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

        # One that has been accepted and has not been read to its end when the signal comes.
        body = json.dumps(EXAMPLE).encode()
        late = slow_request(service, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:50])
        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        time.sleep(1)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        late.sendall(body[50:])
        assert late.recv(1000).startswith(b"HTTP/1.1 200")
        late.close()
        for asker in askers:
            asker.join()
        assert service.process.wait(timeout=30) == 0
        logged = {row[0] for row in service.log("select id from predictions")}
        assert len(answered) > 100
        assert set(answered) <= logged
        # A connection that was idle between two requests may be closed under a new one; nothing of it was accepted.
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
    found = json.loads(metadata.read_text(encoding="utf-8"))
    del found["histograms"]
    metadata.write_text(json.dumps(found), encoding="utf-8")


# Each start takes seconds: of what cannot be loaded, one case is enough for each day.
long = partial(pytest.param, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        long(lambda folder: (folder / "artifacts/model/model.onnx").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "artifacts/model/model.onnx").write_bytes(b"no model"), "cannot be loaded"),
        (lambda folder: (folder / "artifacts/model/contract.json").write_text("{}"), "another contract"),
        (lambda folder: (folder / "artifacts/lineage.json").unlink(), "lineage"),
        (lambda folder: without_histograms(folder / "artifacts/model/metadata.json"), "another commit wrote it"),
        long(lambda folder: (folder / "artifacts/model/metadata.json").write_text("{"), "cannot be loaded"),
    ],
)
def test_start_without_a_fitting_model(trained: Path, tmp_path: Path, damage: Any, said: str) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(trained, folder)
    damage(folder)
    done = run_with_example(
        *(sys.executable, "-m", "bentoml", "serve", "lifecycle.serving.service:ModelService", "--port", "0"),
        MODEL_FOLDER=str(folder / "artifacts/model"),
        LINEAGE=str(folder / "artifacts/lineage.json"),
        STATE_FOLDER=str(tmp_path / "state"),
    )
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said in line
    assert "Traceback" not in done.stdout + done.stderr
