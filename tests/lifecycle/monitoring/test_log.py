"""The places where a prediction log can be, and faults of its content."""

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.monitoring.check import CheckResult, check
from lifecycle.monitoring.check_report import as_json
from lifecycle.monitoring.findings import Level
from lifecycle.monitoring.log import open_log
from lifecycle.pipeline.lineage import write_lineage
from lifecycle.shared.console import UserError
from tests.lifecycle import in_process
from tests.lifecycle.monitoring.conftest import DAY, SINCE, UNTIL, VERSION, Watched, fill, write_log
from tests.lifecycle.repository import Repository
from tests.lifecycle.serving.postgresql import Postgresql, postgresql_server

ROWS = 500


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Postgresql]:
    with postgresql_server() as server:
        yield server


def checked(watched: Watched, url: str) -> CheckResult:
    with open_log(url, SINCE, UNTIL) as log:
        return check(log, VERSION, watched.reference, watched.params)


def test_same_result_wherever_the_log_is(watched: Watched, tmp_path: Path, postgresql: Postgresql) -> None:
    tables = watched.records(watched.sample(ROWS, 0))
    folder, sqlite = write_log(tmp_path / "log", *tables), f"sqlite:///{tmp_path / 'log.db'}"
    memory = "memory://log"
    fsspec.filesystem("memory").put(folder, "/log", recursive=True)
    database = postgresql.database()
    fill(sqlite, *tables)
    fill(database, *tables)
    expected = as_json(checked(watched, folder), UNTIL, 0)
    assert expected["rows"] == expected["performance"]["labelled"] == ROWS
    for url in (f"file://{folder}", memory, sqlite, database):
        assert as_json(checked(watched, url), UNTIL, 0) == expected, url


def test_empty_log(watched: Watched, tmp_path: Path) -> None:
    predictions, feedback = watched.records(watched.sample(1, 0))
    (tmp_path / "nothing").mkdir()
    (tmp_path / "log.db").touch()
    empty = write_log(tmp_path / "log", predictions.slice(0, 0), feedback.slice(0, 0))
    for url in (empty, str(tmp_path / "nothing"), f"sqlite:///{tmp_path / 'log.db'}"):
        result = checked(watched, url)
        assert (result.rows, result.performance, result.drifts) == (0, None, [])
        assert [(finding.kind, finding.level) for finding in result.findings] == [("volume", Level.WARN)]


def test_two_versions_are_not_mixed(watched: Watched, tmp_path: Path) -> None:
    of_version, feedback = watched.records(watched.sample(ROWS, 0))
    others = of_version.set_column(2, "model_version", [["it's another"] * ROWS])
    others = others.set_column(0, "id", [[f"{number:032x}" for number in range(ROWS, 2 * ROWS)]])
    folder = write_log(tmp_path / "log", pa.concat_tables([of_version, others]), feedback)
    result = checked(watched, folder)
    assert (result.rows, result.others) == (ROWS, {"it's another": ROWS})
    with open_log(folder, SINCE, UNTIL) as log:
        assert check(log, "it's another", watched.reference, watched.params).rows == ROWS


def test_feedback_without_its_predictions(watched: Watched, tmp_path: Path) -> None:
    predictions, feedback = watched.records(watched.sample(ROWS, 0))
    with open_log(write_log(tmp_path / "log", predictions.slice(200), feedback), SINCE, UNTIL) as log:
        assert log.elsewhere == 200
        performance = check(log, VERSION, watched.reference, watched.params).performance
    assert performance
    assert (performance.labelled, performance.coverage) == (ROWS - 200, 1)


def test_clocks_that_differ(watched: Watched, tmp_path: Path) -> None:
    predictions, feedback = watched.records(watched.sample(ROWS, 0))
    early = feedback.set_column(1, "time", [[time - DAY for time in predictions.column("time").to_pylist()]])
    ahead = predictions.slice(0, 10).set_column(1, "time", [[UNTIL.timestamp() + 10_000 * DAY] * 10])
    folder = write_log(tmp_path / "log", pa.concat_tables([predictions.slice(10), ahead]), early)
    result = checked(watched, folder)
    assert {(finding.kind, finding.subject) for finding in result.findings} == {
        ("clock", "predictions"),
        ("clock", "outcomes"),
    }
    assert result.rows == ROWS - 10


def test_truncated_file(watched: Watched, tmp_path: Path) -> None:
    folder = Path(write_log(tmp_path / "log", *watched.records(watched.sample(ROWS, 0))))
    (whole,) = (folder / "predictions").iterdir()
    (folder / "predictions/half.parquet").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(UserError, match=r"the prediction log cannot be read: .*half\.parquet"):
        checked(watched, str(folder))


def test_file_with_other_columns(watched: Watched, tmp_path: Path) -> None:
    folder = Path(write_log(tmp_path / "log", *watched.records(watched.sample(ROWS, 0))))
    pq.write_table(pa.table({"a": [1]}), folder / "predictions/else.parquet")
    with pytest.raises(UserError, match="the prediction log cannot be read"):
        checked(watched, str(folder))


def test_inputs_that_are_not_json(watched: Watched, tmp_path: Path) -> None:
    predictions, feedback = watched.records(watched.sample(ROWS, 0))
    damaged = predictions.set_column(5, "inputs", [["{" for _ in range(ROWS)]])
    with pytest.raises(UserError, match=r"the prediction log cannot be read: .*Malformed JSON"):
        checked(watched, write_log(tmp_path / "log", damaged, feedback))


def test_database_that_goes_away(watched: Watched, postgresql: Postgresql) -> None:
    database = postgresql.database()
    fill(database, *watched.records(watched.sample(1, 0)))
    postgresql.kill()
    with pytest.raises(UserError, match=r"the prediction log cannot be read: .*onnection"):
        checked(watched, database)
    postgresql.start()
    assert checked(watched, database).rows == 1


def test_a_misspelt_file_is_not_made(watched: Watched, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no prediction log at .*/lgo\.db\. .* is the address right\?"):
        checked(watched, f"sqlite:///{tmp_path}/lgo.db")
    assert not any(tmp_path.iterdir())


def test_no_message_has_the_password(watched: Watched) -> None:
    for password, written in (("a b", "a%20b"), ("s3cret", "s3cret"), ("p@ss", "p%40ss")):
        with pytest.raises(UserError, match="the prediction log cannot be read") as raised:
            checked(watched, f"postgresql://me:{written}@127.0.0.1:1/log")
        assert password not in str(raised.value)
        assert written not in str(raised.value)


def test_a_password_and_options_that_a_url_encodes(watched: Watched, postgresql: Postgresql) -> None:
    database = postgresql.database().replace("postgresql://test@", "postgresql://test:a%20b@")
    assert "a%20b" in database
    url = f"{database}{'&' if '?' in database else '?'}options=-c%20search_path%3Dpublic"
    fill(url, *watched.records(watched.sample(1, 0)))
    assert checked(watched, url).rows == 1


@pytest.mark.parametrize("url", ["mysql://a/b", "nowhere", "file:///nowhere", "sqlite://"])
def test_url_without_a_log(watched: Watched, url: str) -> None:
    with pytest.raises(UserError):
        checked(watched, url)


def test_command(watched: Watched, finished: Repository, tmp_path: Path) -> None:
    """Without a registry it checks the model of the working tree, and the exit status is the verdict."""
    lineage = write_lineage()
    tables = watched.records(watched.sample(ROWS, 0), lineage["version"])
    log = write_log(tmp_path / "log", *tables)

    def run(*arguments: str) -> tuple[int, str]:
        return in_process.status(finished, "lifecycle.monitoring.__main__", "check", *arguments, PREDICTION_LOG_URL=log)

    completed = finished.run(
        "python", "-m", "lifecycle.monitoring", "check", "--until", "2013-03-29", PREDICTION_LOG_URL=log
    )
    assert completed.returncode == 0, completed.stdout
    assert (
        f"version {lineage['version']}, 2013-03-01 00:00 to 2013-03-29 00:00 UTC: 500 predictions" in completed.stdout
    )
    assert "500 outcomes are known (100%)" in completed.stdout
    assert completed.stdout.endswith("status: ok\n")
    result = json.loads((finished.folder / "artifacts/monitoring/check.json").read_text(encoding="utf-8"))
    assert (result["status"], result["rows"], result["findings"]) == ("ok", 500, [])
    page = (finished.folder / "artifacts/monitoring/check.md").read_text(encoding="utf-8")
    assert page.startswith("## flight-delay: ok\n\n```text\nversion ")
    assert "| humidity | 0." in page

    code, output = run("--until", "2013-03-29", "--page")
    assert code == 0, output
    files = {path.name for path in (finished.folder / "artifacts/monitoring").iterdir()}
    assert files == {"check.json", "check.md", "2013-03-28.parquet", "report.html"}

    code, output = run()
    assert code == 3
    assert "warn: volume: predictions there are none in this period." in output

    for arguments, error in (
        (("--since", "2013-03-02", "--until", "2013-03-01"), "error: the period from"),
        (("--version", "3"), "error: there is no registry yet"),
    ):
        code, output = run(*arguments)
        assert (code, output.partition(":")[0]) == (1, "error"), output
        assert error in output
    assert run("--since", "yesterday")[0] == 2
