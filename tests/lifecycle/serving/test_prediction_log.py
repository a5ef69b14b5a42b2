"""The prediction log through the real service, SQLite and PostgreSQL, while each of them is stopped and killed."""

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

from lifecycle.serving.prediction_log import Outcome, Prediction, create_log_engine
from lifecycle.serving.spool import Spool, SpoolFullError
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


def found(url: str, query: str) -> list[Any]:
    """What a query finds; nothing before the first record is in the database."""
    engine = create_log_engine(url)
    try:
        with engine.connect() as connection:
            there = sa.inspect(connection).has_table("predictions")
            return [tuple(row) for row in connection.execute(sa.text(query))] if there else []
    finally:
        engine.dispose()


def ids(url: str) -> list[str]:
    return sorted(row[0] for row in found(url, PREDICTIONS))


def ask(service: Service, requests: int, rows: int = 1) -> list[str]:
    """Send requests; the ids that were acknowledged."""
    acknowledged = []
    with httpx.Client() as client:
        for _ in range(requests):
            try:
                answer = client.post(service.url + "/predict", json=[EXAMPLE] * rows, timeout=20)
            except httpx.TransportError:  # of a worker that was killed
                time.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            acknowledged += [prediction["id"] for prediction in answer.json()["predictions"]]
    return acknowledged


def said(service: Service) -> list[str]:
    """The lines of the service's output that are no requests."""
    return [line for line in service.output.read_text(encoding="utf-8").splitlines() if '"event":"request"' not in line]


def children(process: int) -> list[int]:
    """The processes that it has started, and that these have started."""
    listed = subprocess.run(["pgrep", "--parent", str(process)], capture_output=True, text=True, check=False).stdout
    direct = [int(found) for found in listed.split()]
    return [*direct, *(found for child in direct for found in children(child))]


def kill(service: Service) -> None:
    """End all of its processes as a crash does."""
    for process in [*children(service.process.pid), service.process.pid]:
        with suppress(ProcessLookupError):  # a drain ends by itself, too
            os.kill(process, signal.SIGKILL)
    service.process.wait(timeout=10)


# Through the service


def test_all_that_was_answered_is_in_the_database_after_sigterm(trained: Path, tmp_path: Path, url: str) -> None:
    rows = [EXAMPLE, EXAMPLE | {"wind_gust": None, "plane_year": 2001.0}, EXAMPLE | {"temperature": -0.5}]
    before = time.time()
    with running(trained, tmp_path, PREDICTION_LOG_URL=url) as service:
        answer = service.post(json=rows, headers={"X-Request-ID": "of-the-client"}).json()["predictions"]
        right = {"prediction_id": answer[0]["id"], "outcome": True}
        assert service.post("/feedback", json=right).status_code == 202
        assert service.stop() == 0
    query = "select id, probability, model_version, contract_version, request_id, inputs, time from predictions"
    logged = {row[0]: row[1:] for row in found(url, query)}
    assert len(logged) == 3
    for sent, prediction in zip(rows, answer, strict=True):
        *plain, inputs, moment = logged[prediction["id"]]
        assert plain == [prediction["probability"], "test-1", contract_version(), "of-the-client"]
        assert json.loads(inputs) == sent
        assert before <= moment <= time.time()
    assert found(url, FEEDBACK) == [(answer[0]["id"], True)]
    assert segments(tmp_path) == []


def test_requests_that_break_the_contract_are_counted(trained: Path, tmp_path: Path, url: str) -> None:
    """By what was wrong, and without what they held."""
    renamed = {"dest" if name == "destination" else name: value for name, value in EXAMPLE.items()}
    wrong = [renamed, [EXAMPLE, renamed], renamed, EXAMPLE | {"carrier": "secret"}, EXAMPLE | {"\0": 1}]
    with running(trained, tmp_path, PREDICTION_LOG_URL=url) as service:
        for body in wrong:
            assert service.post(json=body).status_code == 400
        for content in ("{", '{"carrier": '):
            assert service.post(content=content, headers={"Content-Type": "application/json"}).status_code == 400
        assert service.post(json={}, headers={"X-Dry-Run": "true"}).status_code == 400
        assert service.stop() == 0
    counted = {
        (field, error): number for field, error, number in found(url, "select field, error, requests from refusals")
    }
    assert sum(counted.values()) == 7
    assert counted["", "the body is no JSON"] == 2
    assert {field: number for (field, _), number in counted.items() if field} == {"dest": 3, "carrier": 1, "?": 1}
    assert "secret" not in str(counted)
    assert {row[0] for row in found(url, "select model_version from refusals")} == {"test-1"}


def test_ways_to_be_wrong_without_end_do_not_fill_the_log(trained: Path, tmp_path: Path) -> None:
    with running(trained, tmp_path) as service, httpx.Client() as client:
        for number in range(300):
            assert client.post(f"{service.url}/predict", json=EXAMPLE | {f"f{number}": 1}).status_code == 400
        assert service.stop() == 0
        counted = service.log("select field, requests from refusals")
    assert sum(number for _, number in counted) == 300
    assert len(counted) <= 2 * 101  # had it been written down once in between


def test_database_away_at_start_killed_under_load_and_back(trained: Path, tmp_path: Path, server: Postgresql) -> None:
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

        askers = [threading.Thread(target=lambda: acknowledged.extend(ask(service, 150))) for _ in range(4)]
        for asker in askers:
            asker.start()
        for _ in range(2):
            time.sleep(0.3)
            server.kill()
            time.sleep(0.3)
            server.start()
        for asker in askers:
            asker.join()
        assert len(acknowledged) == 620
        eventually(lambda: len(ids(url)) >= 620)
        assert ids(url) == sorted(acknowledged)
        lines = said(service)
        assert any("database is away" in line for line in lines)
        assert any("database is back" in line for line in lines)
        # In a line, and not for each record or try.
        assert len([line for line in lines if "database is" in line]) <= 20
        assert "Traceback" not in "\n".join(lines)


def test_killed_with_all_its_workers_while_the_database_is_away(
    trained: Path, tmp_path: Path, server: Postgresql
) -> None:
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


def test_sigterm_while_the_database_is_away_keeps_the_records(trained: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "log.db"
    in_the_way.mkdir()
    url = f"sqlite:///{in_the_way}"
    service = start_service(trained, tmp_path, PREDICTION_LOG_URL=url)
    acknowledged = ask(service, 5)
    assert service.stop() == 0
    assert any("wait in" in line and "for the next start" in line for line in said(service))
    in_the_way.rmdir()
    assert drain(tmp_path, url).returncode == 0
    assert ids(url) == sorted(acknowledged)


@pytest.mark.parametrize("when_full", ["drop", "refuse"])
def test_bound_of_the_spool(trained: Path, tmp_path: Path, when_full: str) -> None:
    in_the_way = tmp_path / "log.db"
    in_the_way.mkdir()
    url = f"sqlite:///{in_the_way}"
    bound = {"PREDICTION_LOG_SPOOL_MEBIBYTES": "1", "PREDICTION_LOG_WHEN_FULL": when_full}
    with running(trained, tmp_path, PREDICTION_LOG_URL=url, **bound) as service:
        # Being full for long makes no heap of files.
        answers = []
        for _ in range(12):
            answers.append(service.post(json=[EXAMPLE] * 1000))
            time.sleep(0.12)
        kept = sum(file.stat().st_size for file in segments(tmp_path))
        assert 2**18 < kept <= 2**20
        assert len([file for file in segments(tmp_path) if not file.stat().st_size]) <= 2
        refused = [answer for answer in answers if answer.status_code == 503]
        (full,) = [line for line in said(service) if "no room" in line]
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
        # There is room again when the database is back.
        in_the_way.rmdir()
        eventually(lambda: len(ids(url)) == 12_000 - dropped)
        acknowledged = ask(service, 1)
        eventually(lambda: set(acknowledged) <= set(ids(url)))


def test_database_that_does_not_answer_is_noticed_and_does_not_hold_up_the_end(
    trained: Path, tmp_path: Path, server: Postgresql
) -> None:
    url = server.database()
    with running(trained, tmp_path, PREDICTION_LOG_URL=url) as service:
        acknowledged = ask(service, 3)
        eventually(lambda: ids(url) == sorted(acknowledged))
        with closing(psycopg.connect(url)) as connection:
            connection.execute("lock table predictions in access exclusive mode")  # as maintenance does
            acknowledged += ask(service, 3)
            # Nobody would know otherwise.
            eventually(lambda: service.metric("prediction_log_waiting_bytes") > 0, 5)
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(timeout=20) == 0
    eventually(lambda: drain(tmp_path, url).returncode == 0 and ids(url) == sorted(acknowledged))


def test_database_is_up_before_the_first_record(service: Service) -> None:
    """Otherwise each start would look like an outage to whoever watches the metric."""
    eventually(lambda: service.metric("prediction_log_database_up") == 1, 3)


# Each start takes seconds: one with a wrong setting and one with a wrong folder are enough for each day.
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
def test_start_with_a_wrong_setting_is_refused_in_a_line(
    trained: Path, tmp_path: Path, environment: Callable[[Path], dict[str, str]], expected: list[str]
) -> None:
    fitting = {
        "MODEL_FOLDER": str(trained / "artifacts/model"),
        "LINEAGE": str(trained / "artifacts/lineage.json"),
        "STATE_FOLDER": str(tmp_path / "fitting"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "bentoml", "serve", "lifecycle.serving.service:ModelService", "--port", "0"],
        cwd=EXAMPLE_PROJECT,
        env=with_example() | fitting | environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=8)
    except subprocess.TimeoutExpired:
        process.terminate()
        output, _ = process.communicate(timeout=30)
        pytest.fail(f"it goes on:\n{output[-2000:]}")
    assert process.returncode != 0
    assert "Traceback" not in output
    errors = output[output.index("error: ") :]
    assert all(part in errors for part in expected)


# Of outcomes


@pytest.fixture
def predicted(tmp_path: Path, url: str) -> list[str]:
    """Ids of predictions that are in the database."""
    assert drain(tmp_path, url, *map(prediction, range(3))).returncode == 0
    return ids(url)


def report(url: str, file: Path) -> "subprocess.CompletedProcess[str]":
    return run_with_example(sys.executable, "-m", "lifecycle.serving.feedback", file, PREDICTION_LOG_URL=url)


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
    stranger = "f" * 32
    file = tmp_path / f"outcomes.{ending}"
    done = report(url, write_outcomes(file, {predicted[0]: True, predicted[1]: False, stranger: True}))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 outcomes, 1 of them of predictions that the log does not have\n"
    assert set(found(url, FEEDBACK)) == {(predicted[0], True), (predicted[1], False), (stranger, True)}
    # What is reported later counts.
    assert report(url, write_outcomes(file, {predicted[0]: False})).stdout == "1 outcomes\n"
    assert set(found(url, FEEDBACK)) == {(predicted[0], False), (predicted[1], False), (stranger, True)}


def test_id_that_looks_like_a_number(tmp_path: Path) -> None:
    url, id_ = f"sqlite:///{tmp_path}/log.db", f"{1:032}"
    done = report(url, write_outcomes(tmp_path / "outcomes.csv", {id_: True}))
    assert done.returncode == 0, done.stderr
    assert found(url, FEEDBACK) == [(id_, True)]


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
def test_bad_file_of_outcomes_is_refused_as_a_whole(
    tmp_path: Path, write: Callable[[Path], object], expected: str
) -> None:
    url, file = f"sqlite:///{tmp_path}/log.db", tmp_path / "outcomes.csv"
    write(file)
    done = report(url, file)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert str(file) in done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert found(url, FEEDBACK) == []


def test_outcomes_are_not_written_while_the_database_is_away(tmp_path: Path) -> None:
    file = write_outcomes(tmp_path / "outcomes.csv", {number_id(1): True})
    done = report("postgresql://test@127.0.0.1:1/log", file)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the prediction log cannot be written to, nothing was")
    assert "Traceback" not in done.stderr


# The log by itself


def prediction(number: int, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "id": number_id(number),
        "time": float(number),
        "model_version": "test-1",
        "contract_version": "0",
        "request_id": "r",
        "probability": 0.5,
        "inputs": msgspec.Raw(b'{"carrier":"UA"}'),
    }
    return msgspec.json.encode(Prediction(**values | changes)) + b"\n"


def number_id(number: int) -> str:
    return f"a{number:031x}"


def outcome(number: int, moment: float, *, true: bool) -> bytes:
    return msgspec.json.encode(Outcome(number_id(number), moment, true)) + b"\n"


def numbers(url: str) -> list[int]:
    return [int(one[1:], 16) for one in ids(url)]


def drain(state: Path, url: str, *records: bytes) -> "subprocess.CompletedProcess[str]":
    """Drain by hand what workers that are gone have left, and these records of another one."""
    folder = state / "spool"
    folder.mkdir(exist_ok=True)
    (folder / "00000000000000000001-00000000.jsonl").write_bytes(b"".join(records))
    drain = (sys.executable, "-m", "lifecycle.serving.drain")
    done = run_with_example(*drain, STATE_FOLDER=str(state), PREDICTION_LOG_URL=url)
    assert "Traceback" not in done.stderr
    return done


def segments(state: Path) -> list[Path]:
    return sorted((state / "spool").glob("*.jsonl"))


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Spool]]:
    """Make a worker's side of a spool that is drained into a database, with the process that does it."""
    made = []

    def make(url: str, **settings: Any) -> Spool:
        monkeypatch.setenv("STATE_FOLDER", str(tmp_path))
        monkeypatch.setenv("PREDICTION_LOG_URL", url)
        defaults: dict[str, Any] = {"limit": 2**30, "when_full": "refuse"}
        made.append(Spool(tmp_path / "spool", **defaults | settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


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
def test_damaged_record_is_left_out_with_a_line(tmp_path: Path, damaged: bytes) -> None:
    """As a dead worker and a broken disk leave it."""
    url = f"sqlite:///{tmp_path}/log.db"
    end = prediction(8)[:-20]  # the worker was killed while it wrote this one
    done = drain(tmp_path, url, prediction(1), damaged, prediction(2), end)
    assert done.returncode == 0
    assert numbers(url) == [1, 2]
    assert segments(tmp_path) == []
    assert done.stderr.count("damaged and left out") == 1


POISON: dict[str, dict[str, Any]] = {"NUL in a text": {"request_id": "\0"}, "text too long": {"id": "f" * 33}}


@pytest.mark.parametrize("changes", POISON.values(), ids=POISON)
def test_record_that_the_database_refuses_does_not_block_the_others(
    tmp_path: Path, server: Postgresql, changes: dict[str, Any]
) -> None:
    url = server.database()
    done = drain(tmp_path, url, prediction(1), prediction(9, **changes), prediction(2), outcome(1, 1, true=True))
    assert done.returncode == 0
    assert numbers(url) == [1, 2]
    assert found(url, FEEDBACK) == [(number_id(1), True)]
    assert segments(tmp_path) == []
    assert done.stderr.count("left out") == 1


def test_nul_and_any_unicode_in_the_inputs_are_kept(tmp_path: Path, url: str) -> None:
    inputs = {"carrier": "\0 \x7f \u2028 \U0001f6eb ' \" \\ %s :x"}
    drain(tmp_path, url, prediction(1, inputs=msgspec.Raw(msgspec.json.encode(inputs))))
    ((text,),) = found(url, "select inputs from predictions")
    assert json.loads(text) == inputs


def test_record_that_comes_twice_is_there_once(tmp_path: Path, url: str) -> None:
    """As after a crash between the database's commit and the removal of the file."""
    for _ in range(2):
        drain(tmp_path, url, prediction(1), prediction(1), prediction(2))
        assert numbers(url) == [1, 2]


def test_latest_outcome_stays(tmp_path: Path, url: str) -> None:
    in_one_request = outcome(1, 5, true=True) + outcome(1, 5, true=False)
    earlier_arrives_later = outcome(2, 5, true=True) + outcome(2, 4, true=False)
    drain(tmp_path, url, in_one_request, earlier_arrives_later)
    assert set(found(url, FEEDBACK)) == {(number_id(1), False), (number_id(2), True)}


def test_drain_by_hand_says_when_the_database_is_away(tmp_path: Path) -> None:
    done = drain(tmp_path, "postgresql://test@127.0.0.1:1/log", prediction(1))
    assert done.returncode == 1
    assert "database is away" in done.stderr
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


def test_drain_that_was_killed_is_replaced(tmp_path: Path, spool: Callable[..., Spool]) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    worker = spool(url)
    worker.write(prediction(1))
    worker.keep_drained()
    eventually(lambda: numbers(url) == [1])
    for process in children(os.getpid()):
        if b"lifecycle.serving.drain" in Path(f"/proc/{process}/cmdline").read_bytes():
            os.kill(process, signal.SIGKILL)
    worker.write(prediction(2))

    def drained() -> bool:
        worker.keep_drained()
        return numbers(url) == [1, 2]

    eventually(drained)


def test_folder_that_takes_no_new_file_for_a_time(tmp_path: Path, spool: Callable[..., Spool]) -> None:
    """As a disk without room for one: what is taken before, meanwhile and afterwards arrives, and only that."""
    url, folder, away = f"sqlite:///{tmp_path}/log.db", tmp_path / "spool", tmp_path / "away"
    worker = spool(url)
    taken: list[int] = []

    def write(first: int, last: int) -> None:
        for number in range(first, last):
            try:
                worker.write(prediction(number, inputs=msgspec.Raw(b'"' + b"x" * 500_000 + b'"')))
            except SpoolFullError:
                continue
            taken.append(number)

    write(0, 9)
    folder.rename(away)
    write(9, 14)
    away.rename(folder)
    write(14, 30)
    assert {*range(9), *range(14, 30)} <= set(taken)
    worker.keep_drained()
    eventually(lambda: numbers(url) == taken)


def test_what_dead_workers_left_counts_towards_the_bound(tmp_path: Path, spool: Callable[..., Spool]) -> None:
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
def test_wrong_url_is_explained_without_the_password(wrong: str) -> None:
    with pytest.raises(UserError, match=r"PREDICTION_LOG_URL|/dev/null") as raised:
        create_log_engine(wrong)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="STATE_FOLDER"):
        Spool(tmp_path / "file" / "spool", limit=2**20, when_full="drop")
