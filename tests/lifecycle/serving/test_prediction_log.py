"""The prediction log with the real service, SQLite and PostgreSQL, while each of them is stopped and killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
import sqlalchemy as sa

from lifecycle.prediction_log.database import Outcome, Prediction, create_log_engine
from lifecycle.prediction_log.spool import Spool, SpoolFullError
from lifecycle.shared.console import UserError
from lifecycle.shared.schema import contract_version
from tests.lifecycle.repository import EXAMPLE_PROJECT, run_with_example, with_example
from tests.lifecycle.serving.conftest import EXAMPLE, Service, eventually, running, start_service
from tests.lifecycle.serving.postgresql import Postgresql, postgresql_server

PREDICTIONS = "select id from predictions"
FEEDBACK = "select prediction_id, outcome from feedback"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgresql]:
    with postgresql_server() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/log.db"
    server: Postgresql = request.getfixturevalue("server")
    return server.database()


def query_log(url: str, query: str) -> list[Any]:
    """Return the result of a query; empty before the first record."""
    engine = create_log_engine(url)
    try:
        with engine.connect() as connection:
            exists = sa.inspect(connection).has_table("predictions")
            return [tuple(row) for row in connection.execute(sa.text(query))] if exists else []
    finally:
        engine.dispose()


def ids(url: str) -> list[str]:
    return sorted(row[0] for row in query_log(url, PREDICTIONS))


def ask(service: Service, requests: int, rows: int = 1) -> list[str]:
    """Send requests, and return the ids of the acknowledged predictions."""
    acknowledged = []
    with httpx.Client() as client:
        for _ in range(requests):
            try:
                answer = client.post(service.url + "/predict", json=[EXAMPLE] * rows, timeout=20)
            except httpx.TransportError:  # the worker was killed
                time.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            acknowledged += [prediction["id"] for prediction in answer.json()["predictions"]]
    return acknowledged


def messages(service: Service) -> list[str]:
    """Return the lines of the service's output that are not of the access log."""
    return [line for line in service.output.read_text(encoding="utf-8").splitlines() if '"event":"request"' not in line]


def children(process: int) -> list[int]:
    """Return the ids of all processes that a process has started, directly or indirectly."""
    listed = subprocess.run(["pgrep", "--parent", str(process)], capture_output=True, text=True, check=False).stdout
    direct = [int(pid) for pid in listed.split()]
    return [*direct, *(pid for child in direct for pid in children(child))]


def kill(service: Service) -> None:
    """Kill all processes of the service to simulate a crash."""
    for process in [*children(service.process.pid), service.process.pid]:
        with suppress(ProcessLookupError):  # the drain may have exited by itself
            os.kill(process, signal.SIGKILL)
    service.process.wait(timeout=10)


# With the service


def test_all_answered_predictions_are_in_the_database_after_sigterm(trained: Path, tmp_path: Path, url: str) -> None:
    rows = [EXAMPLE, EXAMPLE | {"wind_gust": None, "plane_year": 2001.0}, EXAMPLE | {"temperature": -0.5}]
    before = time.time()
    with running(trained, tmp_path, PREDICTION_LOG_URL=url) as service:
        answer = service.post(json=rows, headers={"X-Request-ID": "of-the-client"}).json()["predictions"]
        feedback = {"prediction_id": answer[0]["id"], "outcome": True}
        assert service.post("/feedback", json=feedback).status_code == 202
        assert service.stop() == 0
    query = "select id, probability, model_version, contract_version, request_id, inputs, time from predictions"
    logged = {row[0]: row[1:] for row in query_log(url, query)}
    assert len(logged) == 3
    for sent, prediction in zip(rows, answer, strict=True):
        *fields, inputs, moment = logged[prediction["id"]]
        assert fields == [prediction["probability"], "test-1", contract_version(), "of-the-client"]
        assert json.loads(inputs) == sent
        assert before <= moment <= time.time()
    assert query_log(url, FEEDBACK) == [(answer[0]["id"], True)]
    assert segments(tmp_path) == []


def test_invalid_requests_are_counted(trained: Path, tmp_path: Path, url: str) -> None:
    """They are counted by field and error, without their content."""
    renamed = {"dest" if name == "destination" else name: value for name, value in EXAMPLE.items()}
    invalid = [renamed, [EXAMPLE, renamed], renamed, EXAMPLE | {"carrier": "secret"}, EXAMPLE | {"\0": 1}]
    with running(trained, tmp_path, PREDICTION_LOG_URL=url) as service:
        for body in invalid:
            assert service.post(json=body).status_code == 400
        for content in ("{", '{"carrier": '):
            assert service.post(content=content, headers={"Content-Type": "application/json"}).status_code == 400
        assert service.post(json={}, headers={"X-Dry-Run": "true"}).status_code == 400
        assert service.stop() == 0
    counted = {
        (field, error): number for field, error, number in query_log(url, "select field, error, requests from refusals")
    }
    assert sum(counted.values()) == 7
    assert counted["", "the body is not JSON"] == 2
    assert {field: number for (field, _), number in counted.items() if field} == {"dest": 3, "carrier": 1, "?": 1}
    assert "secret" not in str(counted)
    assert {row[0] for row in query_log(url, "select model_version from refusals")} == {"test-1"}


def test_made_up_errors_do_not_fill_the_log(trained: Path, tmp_path: Path) -> None:
    with running(trained, tmp_path) as service, httpx.Client() as client:
        for number in range(300):
            assert client.post(f"{service.url}/predict", json=EXAMPLE | {f"f{number}": 1}).status_code == 400
        assert service.stop() == 0
        counted = service.log("select field, requests from refusals")
    assert sum(number for _, number in counted) == 300
    assert len(counted) <= 2 * 101  # the counts may have been written once in between


def test_database_down_at_start_and_killed_under_load(trained: Path, tmp_path: Path, server: Postgresql) -> None:
    url = server.database()
    server.stop()
    with running(trained, tmp_path, PREDICTION_LOG_URL=url, WORKERS="2") as service:
        acknowledged = ask(service, 20)
        assert len(acknowledged) == 20
        eventually(lambda: service.metric("prediction_log_waiting_bytes") > 20 * len(json.dumps(EXAMPLE)) / 2)
        assert service.metric("prediction_log_database_up") == 0
        server.start()
        eventually(lambda: ids(url) == sorted(acknowledged))
        eventually(lambda: service.metric("prediction_log_waiting_bytes") == 0)
        eventually(lambda: service.metric("prediction_log_database_up") == 1)

        clients = [threading.Thread(target=lambda: acknowledged.extend(ask(service, 150))) for _ in range(4)]
        for client in clients:
            client.start()
        for _ in range(2):
            time.sleep(0.3)
            server.kill()
            time.sleep(0.3)
            server.start()
        for client in clients:
            client.join()
        assert len(acknowledged) == 620
        eventually(lambda: len(ids(url)) >= 620)
        assert ids(url) == sorted(acknowledged)
        lines = messages(service)
        assert any("database is down" in line for line in lines)
        assert any("database is up again" in line for line in lines)
        # A line for each outage, not for each record or attempt.
        assert len([line for line in lines if "database is" in line]) <= 20
        assert "Traceback" not in "\n".join(lines)


def test_killed_with_all_workers_while_the_database_is_down(trained: Path, tmp_path: Path, server: Postgresql) -> None:
    url = server.database()
    with running(trained, tmp_path, PREDICTION_LOG_URL=url, WORKERS="2") as service:
        acknowledged = ask(service, 20)
        server.kill()
        acknowledged += ask(service, 100, rows=3)
        kill(service)
        server.start()
        assert len(ids(url)) < len(acknowledged) == 320
    with running(trained, tmp_path, PREDICTION_LOG_URL=url):
        eventually(lambda: len(ids(url)) >= 320)
        assert ids(url) == sorted(acknowledged)


def test_sigterm_while_the_database_is_down_keeps_the_records(trained: Path, tmp_path: Path) -> None:
    obstacle = tmp_path / "log.db"
    obstacle.mkdir()
    url = f"sqlite:///{obstacle}"
    service = start_service(trained, tmp_path, PREDICTION_LOG_URL=url)
    acknowledged = ask(service, 5)
    assert service.stop() == 0
    assert any("wait in" in line and "for the next start" in line for line in messages(service))
    obstacle.rmdir()
    assert drain(tmp_path, url).returncode == 0
    assert ids(url) == sorted(acknowledged)


@pytest.mark.parametrize("when_full", ["drop", "refuse"])
def test_limit_of_the_spool(trained: Path, tmp_path: Path, when_full: str) -> None:
    obstacle = tmp_path / "log.db"
    obstacle.mkdir()
    url = f"sqlite:///{obstacle}"
    limit = {"PREDICTION_LOG_SPOOL_MEBIBYTES": "1", "PREDICTION_LOG_WHEN_FULL": when_full}
    with running(trained, tmp_path, PREDICTION_LOG_URL=url, **limit) as service:
        # A spool that stays full for a long time does not collect files.
        answers = []
        for _ in range(12):
            answers.append(service.post(json=[EXAMPLE] * 1000))
            time.sleep(0.12)
        kept = sum(file.stat().st_size for file in segments(tmp_path))
        assert 2**18 < kept <= 2**20
        assert len([file for file in segments(tmp_path) if not file.stat().st_size]) <= 2
        refused = [answer for answer in answers if answer.status_code == 503]
        (full,) = [line for line in messages(service) if "is full" in line]
        if when_full == "drop":
            assert refused == []
            assert "without a record" in full
            dropped = eventually(lambda: service.metric("prediction_log_dropped_total"))
        else:
            assert answers[0].status_code == 200
            assert refused == answers[-len(refused) :] != answers
            assert refused[0].headers["retry-after"] == "1"
            assert "prediction log" in refused[0].json()["error"]
            assert "refused" in full
            dropped = 1000 * len(refused)
            assert service.metric("prediction_log_dropped_total") == 0
        # There is room again once the database is up.
        obstacle.rmdir()
        eventually(lambda: len(ids(url)) == 12_000 - dropped)
        acknowledged = ask(service, 1)
        eventually(lambda: set(acknowledged) <= set(ids(url)))


def test_database_that_does_not_answer_is_noticed_and_does_not_block_shutdown(
    trained: Path, tmp_path: Path, server: Postgresql
) -> None:
    url = server.database()
    with running(trained, tmp_path, PREDICTION_LOG_URL=url) as service:
        acknowledged = ask(service, 3)
        eventually(lambda: ids(url) == sorted(acknowledged))
        with closing(psycopg.connect(url)) as connection:
            connection.execute("lock table predictions in access exclusive mode")  # like maintenance
            acknowledged += ask(service, 3)
            # The metric shows it; nothing else does.
            eventually(lambda: service.metric("prediction_log_waiting_bytes") > 0, 5)
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(timeout=20) == 0
    eventually(lambda: drain(tmp_path, url).returncode == 0 and ids(url) == sorted(acknowledged))


def test_database_is_up_before_the_first_record(service: Service) -> None:
    """Otherwise, the metric would show an outage at each start."""
    eventually(lambda: service.metric("prediction_log_database_up") == 1, 3)


# Each start takes seconds, so `make test` has one case of a wrong setting and one of a wrong directory.
long = partial(pytest.param, marks=pytest.mark.long)


def file_in_place_of_the_state_folder(folder: Path) -> dict[str, str]:
    (folder / "state").write_text("")
    return {"STATE_FOLDER": str(folder / "state")}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (lambda _: {"PREDICTION_LOG_URL": "oracle://host/database"}, ["PREDICTION_LOG_URL", "oracle"]),
        long(lambda _: {"PREDICTION_LOG_URL": "no URL"}, ["PREDICTION_LOG_URL"]),
        long(lambda _: {"PREDICTION_LOG_WHEN_FULL": "panic"}, ["PREDICTION_LOG_WHEN_FULL", "drop"]),
        (file_in_place_of_the_state_folder, ["STATE_FOLDER"]),
        long(
            lambda folder: (
                file_in_place_of_the_state_folder(folder) | {"PREDICTION_LOG_URL": "postgresql://127.0.0.1:1/log"}
            ),
            ["STATE_FOLDER"],
        ),
    ],
    ids=["another database", "no URL", "no such setting", "no state folder", "no state folder for PostgreSQL"],
)
def test_does_not_start_with_a_wrong_setting(
    trained: Path, tmp_path: Path, environment: Callable[[Path], dict[str, str]], expected: list[str]
) -> None:
    valid = {
        "MODEL_FOLDER": str(trained / "artifacts/model"),
        "LINEAGE": str(trained / "artifacts/lineage.json"),
        "STATE_FOLDER": str(tmp_path / "valid"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "bentoml", "serve", "lifecycle.serving.service:ModelService", "--port", "0"],
        cwd=EXAMPLE_PROJECT,
        env=with_example() | valid | environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=8)
    except subprocess.TimeoutExpired:
        process.terminate()
        output, _ = process.communicate(timeout=30)
        pytest.fail(f"it keeps running:\n{output[-2000:]}")
    assert process.returncode != 0
    assert "Traceback" not in output
    errors = output[output.index("error: ") :]
    assert all(part in errors for part in expected)


# Outcomes from files


@pytest.fixture
def predicted(tmp_path: Path, url: str) -> list[str]:
    """The ids of predictions in the database."""
    assert drain(tmp_path, url, *map(prediction, range(3))).returncode == 0
    return ids(url)


def report(url: str, file: Path) -> "subprocess.CompletedProcess[str]":
    return run_with_example(sys.executable, "-m", "lifecycle.prediction_log.feedback", file, PREDICTION_LOG_URL=url)


def write_outcomes(file: Path, outcomes: dict[str, Any]) -> Path:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    table = pa.table({"prediction_id": list(outcomes), "outcome": list(outcomes.values())})
    if file.suffix == ".csv":
        pa.csv.write_csv(table, file)
    else:
        pq.write_table(table, file)
    return file


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_outcomes_by_file(tmp_path: Path, url: str, predicted: list[str], ending: str) -> None:
    unknown_id = "f" * 32
    file = tmp_path / f"outcomes.{ending}"
    completed = report(url, write_outcomes(file, {predicted[0]: True, predicted[1]: False, unknown_id: True}))
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == "3 outcomes written; the predictions of 1 of them are not in the log\n"
    assert set(query_log(url, FEEDBACK)) == {(predicted[0], True), (predicted[1], False), (unknown_id, True)}
    # The latest report counts.
    assert report(url, write_outcomes(file, {predicted[0]: False})).stdout == "1 outcomes written\n"
    assert set(query_log(url, FEEDBACK)) == {(predicted[0], False), (predicted[1], False), (unknown_id, True)}


@pytest.mark.parametrize("words", [("1", "0"), ("yes", "no"), ("TRUE", "False")])
def test_outcomes_as_people_write_them(tmp_path: Path, words: tuple[str, str]) -> None:
    url, file = f"sqlite:///{tmp_path}/log.db", tmp_path / "outcomes.csv"
    lines = [f"{number_id(number)},{word}" for number, word in enumerate(words)]
    file.write_text("\n".join(["prediction_id,outcome", *lines, ""]), encoding="utf-8")
    assert report(url, file).returncode == 0
    assert set(query_log(url, FEEDBACK)) == {(number_id(0), True), (number_id(1), False)}


def test_id_that_looks_like_a_number(tmp_path: Path) -> None:
    url, id_ = f"sqlite:///{tmp_path}/log.db", f"{1:032}"
    completed = report(url, write_outcomes(tmp_path / "outcomes.csv", {id_: True}))
    assert completed.returncode == 0, completed.stderr
    assert query_log(url, FEEDBACK) == [(id_, True)]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda file: write_outcomes(file, {number_id(1): True, "no id": True}), "prediction_id"),
        (lambda file: write_outcomes(file, {number_id(1): "maybe"}), "outcome"),
        (lambda file: file.write_text("prediction_id,result\n1,true\n"), "outcome"),
        (lambda file: file.write_bytes(b""), "cannot be read"),
        (lambda file: file.write_bytes(b"\x00\xff\xfe"), "cannot be read"),
        (lambda _: None, "cannot be read"),
    ],
    ids=["no id", "no truth value", "no outcomes", "empty", "no table", "missing"],
)
def test_nothing_is_written_from_an_invalid_file(
    tmp_path: Path, write: Callable[[Path], object], expected: str
) -> None:
    url, file = f"sqlite:///{tmp_path}/log.db", tmp_path / "outcomes.csv"
    write(file)
    completed = report(url, file)
    assert completed.returncode == 1
    assert completed.stderr.startswith("error: ")
    assert str(file) in completed.stderr
    assert expected in completed.stderr
    assert "Traceback" not in completed.stderr
    assert query_log(url, FEEDBACK) == []


def test_outcomes_from_a_file_need_the_database(tmp_path: Path) -> None:
    file = write_outcomes(tmp_path / "outcomes.csv", {number_id(1): True})
    completed = report("postgresql://test@127.0.0.1:1/log", file)
    assert completed.returncode == 1
    assert completed.stderr.startswith("error: nothing was written: the prediction log does not accept records: ")
    assert "Traceback" not in completed.stderr


# Spool and drain, without the service


def prediction(number: int, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "id": number_id(number),
        "time": float(number),
        "model_version": "test-1",
        "contract_version": "0",
        "request_id": "r",
        "prediction": 0.5,
        "inputs": msgspec.Raw(b'{"carrier":"UA"}'),
    }
    return msgspec.json.encode(Prediction(**values | changes)) + b"\n"


def number_id(number: int) -> str:
    return f"a{number:031x}"


def outcome(number: int, moment: float, *, true: bool) -> bytes:
    return msgspec.json.encode(Outcome(number_id(number), moment, true)) + b"\n"


def numbers(url: str) -> list[int]:
    return [int(prediction_id[1:], 16) for prediction_id in ids(url)]


def drain(state: Path, url: str, *records: bytes) -> "subprocess.CompletedProcess[str]":
    """Run the drain for a spool that workers have left behind, with a segment of these records."""
    folder = state / "spool"
    folder.mkdir(exist_ok=True)
    (folder / "00000000000000000001-00000000.jsonl").write_bytes(b"".join(records))
    drain = (sys.executable, "-m", "lifecycle.prediction_log.drain")
    completed = run_with_example(*drain, STATE_FOLDER=str(state), PREDICTION_LOG_URL=url)
    assert "Traceback" not in completed.stderr
    return completed


def segments(state: Path) -> list[Path]:
    return sorted((state / "spool").glob("*.jsonl"))


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Spool]]:
    """Return a function that creates a worker's spool, which is drained into a database."""
    spools = []

    def make(url: str, **settings: Any) -> Spool:
        monkeypatch.setenv("STATE_FOLDER", str(tmp_path))
        monkeypatch.setenv("PREDICTION_LOG_URL", url)
        defaults: dict[str, Any] = {"limit": 2**30, "when_full": "refuse"}
        spools.append(Spool(tmp_path / "spool", **defaults | settings))
        return spools[-1]

    yield make
    for created in spools:
        created.close()


DAMAGE = {
    "half a record": prediction(9)[:30] + b"\n",
    "no JSON": b"\x00\xffgar{bage\n",
    "no line": b"\n",
    "another record": b'["x",1,2]\n',
    "wrong type": prediction(9).replace(b'"test-1"', b"null"),
    "no UTF-8 in a text": prediction(9).replace(b"test-1", b"\xff"),
    "no UTF-8 in the inputs": prediction(9, inputs=msgspec.Raw(b'{"carrier":"\xff"}')),
    "too deep": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("damaged", DAMAGE.values(), ids=DAMAGE)
def test_damaged_record_is_skipped_with_a_message(tmp_path: Path, damaged: bytes) -> None:
    """Killed workers and broken disks leave such records."""
    url = f"sqlite:///{tmp_path}/log.db"
    end = prediction(8)[:-20]  # the worker was killed while it wrote this one
    completed = drain(tmp_path, url, prediction(1), damaged, prediction(2), end)
    assert completed.returncode == 0
    assert numbers(url) == [1, 2]
    assert segments(tmp_path) == []
    assert completed.stderr.count("skipped a damaged record") == 1


POISON: dict[str, dict[str, Any]] = {"NUL in a text": {"request_id": "\0"}, "text too long": {"id": "f" * 33}}


@pytest.mark.parametrize("changes", POISON.values(), ids=POISON)
def test_record_that_the_database_rejects_does_not_block_the_others(
    tmp_path: Path, server: Postgresql, changes: dict[str, Any]
) -> None:
    url = server.database()
    completed = drain(tmp_path, url, prediction(1), prediction(9, **changes), prediction(2), outcome(1, 1, true=True))
    assert completed.returncode == 0
    assert numbers(url) == [1, 2]
    assert query_log(url, FEEDBACK) == [(number_id(1), True)]
    assert segments(tmp_path) == []
    assert completed.stderr.count("skipped a record that the database rejects") == 1
    assert completed.stderr.count("skipped a ") == 1


def test_nul_and_any_unicode_in_the_inputs_are_kept(tmp_path: Path, url: str) -> None:
    inputs = {"carrier": "\0 \x7f \u2028 \U0001f6eb ' \" \\ %s :x"}
    drain(tmp_path, url, prediction(1, inputs=msgspec.Raw(msgspec.json.encode(inputs))))
    ((text,),) = query_log(url, "select inputs from predictions")
    assert json.loads(text) == inputs


def test_record_that_is_written_twice_is_stored_once(tmp_path: Path, url: str) -> None:
    """This happens after a crash between the commit in the database and the removal of the segment."""
    for _ in range(2):
        drain(tmp_path, url, prediction(1), prediction(1), prediction(2))
        assert numbers(url) == [1, 2]


def test_latest_outcome_is_kept(tmp_path: Path, url: str) -> None:
    in_one_request = outcome(1, 5, true=True) + outcome(1, 5, true=False)
    earlier_arrives_later = outcome(2, 5, true=True) + outcome(2, 4, true=False)
    drain(tmp_path, url, in_one_request, earlier_arrives_later)
    assert set(query_log(url, FEEDBACK)) == {(number_id(1), False), (number_id(2), True)}


def test_drain_reports_that_the_database_is_down(tmp_path: Path) -> None:
    completed = drain(tmp_path, "postgresql://test@127.0.0.1:1/log", prediction(1))
    assert completed.returncode == 1
    assert "database is down" in completed.stderr
    assert len(segments(tmp_path)) == 1


def test_database_that_comes_back_empty_gets_its_tables(server: Postgresql, spool: Callable[..., Spool]) -> None:
    url = server.database()
    worker = spool(url)
    worker.write(prediction(1))
    worker.keep_drained()
    eventually(lambda: numbers(url) == [1])
    with psycopg.connect(url) as connection:
        connection.execute("drop table predictions, feedback")
    worker.write(prediction(2))
    eventually(lambda: numbers(url) == [2], 6)


def test_killed_drain_is_replaced(tmp_path: Path, spool: Callable[..., Spool]) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    worker = spool(url)
    worker.write(prediction(1))
    worker.keep_drained()
    eventually(lambda: numbers(url) == [1])
    for process in children(os.getpid()):
        if b"lifecycle.prediction_log.drain" in Path(f"/proc/{process}/cmdline").read_bytes():
            os.kill(process, signal.SIGKILL)
    worker.write(prediction(2))

    def drained() -> bool:
        worker.keep_drained()
        return numbers(url) == [1, 2]

    eventually(drained)


def test_directory_that_accepts_no_new_file_for_a_while(tmp_path: Path, spool: Callable[..., Spool]) -> None:
    """It is like a full disk: exactly the accepted records arrive, from before, during and after that time."""
    url, folder, away = f"sqlite:///{tmp_path}/log.db", tmp_path / "spool", tmp_path / "away"
    worker = spool(url)
    accepted: list[int] = []

    def write(first: int, last: int) -> None:
        for number in range(first, last):
            try:
                worker.write(prediction(number, inputs=msgspec.Raw(b'"' + b"x" * 500_000 + b'"')))
            except SpoolFullError:
                continue
            accepted.append(number)

    write(0, 9)
    folder.rename(away)
    write(9, 14)
    away.rename(folder)
    write(14, 30)
    assert {*range(9), *range(14, 30)} <= set(accepted)
    worker.keep_drained()
    eventually(lambda: numbers(url) == accepted)


def test_records_of_dead_workers_count_towards_the_limit(tmp_path: Path, spool: Callable[..., Spool]) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool/00000000000000000001-00000000.jsonl").write_bytes(prediction(1) * 10)
    worker = spool(f"sqlite:///{tmp_path}/log.db", limit=len(prediction(1)) * 11)
    worker.write(prediction(2))
    with pytest.raises(SpoolFullError):
        worker.write(prediction(3))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "no URL",
        "mysql://user:secret@host/log",
        "postgresql://user:secret@host:port/log",
        "sqlite:////dev/null/log.db",
        "sqlite+nonsense:///log.db",
    ],
)
def test_invalid_url_is_explained_without_the_password(wrong: str) -> None:
    with pytest.raises(UserError, match=r"PREDICTION_LOG_URL|/dev/null") as raised:
        create_log_engine(wrong)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_directory_that_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="STATE_FOLDER"):
        Spool(tmp_path / "file" / "spool", limit=2**20, when_full="drop")
