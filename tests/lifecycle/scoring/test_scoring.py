"""Scoring on a schedule: what is new is scored once, by the champion's own code, and logged like any prediction."""

import re
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns
from tests.lifecycle import in_process
from tests.lifecycle.registry.commands import clone_of, promote, register
from tests.lifecycle.repository import Repository, edit

INCOMING = ("2013-03.parquet", "late.csv")


@pytest.fixture(scope="module")
def deployed(released: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone whose champion is its first version; its working tree has moved on and would predict something else."""
    clone = clone_of(released, tmp_path_factory.mktemp("scoring"))
    register(clone)
    promote(clone, "1 a-bot the first")
    edit(clone, "model/features.py", "    return ", "    raise RuntimeError\n    return ")
    return clone


@pytest.fixture
def incoming(deployed: Repository, tmp_path: Path) -> Path:
    """A directory with a Parquet and a CSV file of twenty rows each."""
    folder = tmp_path / "new"
    folder.mkdir()
    rows = pq.read_table(deployed.folder / "data/2013-03.parquet").to_pandas()
    rows.iloc[:20].to_parquet(folder / INCOMING[0], index=False)
    late = rows.iloc[20:40].assign(scheduled_departure=lambda rows: rows["scheduled_departure"].dt.strftime("%FT%T"))
    late.to_csv(folder / INCOMING[1], index=False)
    (folder / "notes.txt").write_text("no rows", encoding="utf-8")
    return folder


def score(repository: Repository, incoming: Path, log: str) -> tuple[str, str]:
    """Score a directory; return the output and the error."""
    target = str(incoming.parent / "scored")
    return in_process.run(repository, "lifecycle.scoring.__main__", str(incoming), target, PREDICTION_LOG_URL=log)


def logged(database: Path) -> list[tuple[str, str, float]]:
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT id, model_version, time FROM predictions").fetchall()
    connection.close()
    return rows


def test_new_files_are_scored_once(deployed: Repository, incoming: Path, tmp_path: Path) -> None:
    database = tmp_path / "log.db"
    output, error = score(deployed, incoming, f"sqlite:///{database}")
    assert error == ""
    scored = incoming.parent / "scored"
    assert output == "".join(f"{scored}/{name}: 20 rows, version 1\n" for name in INCOMING)
    assert sorted(path.name for path in scored.iterdir()) == sorted(INCOMING)

    # The predictions are those of the champion, and the ids are those of the log.
    table = pq.read_table(scored / INCOMING[0])
    expected = Predictor.load(deployed.folder / "artifacts/model").predict(
        to_columns(pq.read_table(incoming / INCOMING[0]))
    )
    assert table.column(TASK.output).to_pylist() == pytest.approx(expected.tolist(), abs=1e-6)
    ids = [*table.column("prediction_id").to_pylist(), *pd.read_csv(scored / INCOMING[1])["prediction_id"]]
    assert sorted(ids) == sorted(row[0] for row in logged(database))
    assert {row[1] for row in logged(database)} == {"1"}

    assert score(deployed, incoming, f"sqlite:///{database}") == (f"nothing in {incoming} is new.\n", "")
    # As after an interruption between the log and the scored file.
    before = logged(database)
    (scored / INCOMING[0]).unlink()
    assert score(deployed, incoming, f"sqlite:///{database}")[1] == ""
    assert logged(database) == before
    assert pq.read_table(scored / INCOMING[0]).equals(table)


def test_a_file_that_breaks_the_contract_holds_nothing_up(deployed: Repository, incoming: Path, tmp_path: Path) -> None:
    database = tmp_path / "log.db"
    pq.write_table(pq.read_table(incoming / INCOMING[0]).drop_columns(["carrier"]), incoming / "broken.parquet")
    output, error = score(deployed, incoming, f"sqlite:///{database}")
    assert error == "1 of 3 files could not be scored; the next run tries them again."
    assert f"error: {incoming}/broken.parquet: " in output
    assert "broken.parquet: it breaks the contract in 1 way:" in output
    assert "carrier: the column is missing" in output
    assert str(Path(tempfile.gettempdir()) / "tmp") not in output
    assert len(logged(database)) == 40
    assert not (incoming.parent / "scored/broken.parquet").exists()


def test_log_of_files(deployed: Repository, incoming: Path, tmp_path: Path) -> None:
    """Without any database: predictions and outcomes are files, and the check reads them."""
    log = tmp_path / "log"
    assert score(deployed, incoming, str(log))[1] == ""
    ids = pq.read_table(incoming.parent / "scored" / INCOMING[0]).column("prediction_id").to_pylist()
    for name, outcome in (("first", False), ("corrected", True)):
        outcomes = tmp_path / f"{name}.csv"
        pd.DataFrame({"prediction_id": ids, "outcome": outcome}).to_csv(outcomes, index=False)
        feedback = in_process.must(
            deployed, "lifecycle.prediction_log.feedback", str(outcomes), PREDICTION_LOG_URL=str(log)
        )
        assert feedback == "20 outcomes written\n"
    deployed.must("git", "checkout", "--quiet", "--", "model")
    checked = in_process.status(
        deployed, "lifecycle.monitoring.__main__", "check", "--version", "1", PREDICTION_LOG_URL=str(log)
    )
    assert "40 predictions" in checked[1]
    assert "outcomes are known (50%)" in checked[1]
    assert f"{datetime.now(UTC):%Y-%m-%d}" in checked[1]
    explained = in_process.must(
        deployed, "lifecycle.monitoring.__main__", "explain", ids[0], PREDICTION_LOG_URL=str(log)
    )
    assert re.match(r"probability of late: 0\.\d{4}, at .*; outcome: late\nversion 1: ", explained), explained


@pytest.mark.parametrize(
    ("source", "environment", "sentence"),
    [
        ("nowhere", {}, "there is no directory nowhere."),
        ("scored", {}, "FROM and TO are both scored"),
        ("nothing://here", {}, "Protocol not known: nothing"),
        ("data", {"GITHUB_ACTIONS": "true"}, "the secret PREDICTION_LOG_URL is not set"),
    ],
)
def test_refused(deployed: Repository, source: str, environment: dict[str, str], sentence: str) -> None:
    _, error = in_process.run(deployed, "lifecycle.scoring.__main__", source, "scored", **environment)
    assert error.startswith(sentence)
