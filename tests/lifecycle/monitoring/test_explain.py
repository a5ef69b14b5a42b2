"""Explanations of predictions."""

from pathlib import Path

import pyarrow as pa
import pytest

from lifecycle.monitoring.explain import explain
from lifecycle.pipeline.lineage import write_lineage
from lifecycle.shared.console import UserError
from model.features import NAMES
from tests.lifecycle import in_process
from tests.lifecycle.monitoring.conftest import Watched, write_log
from tests.lifecycle.repository import Repository

ROWS = 300


@pytest.fixture(scope="module")
def log(watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """Write a log with ids like those of the service; return its URL and the ids."""
    predictions, feedback = watched.records(watched.sample(ROWS, 0), write_lineage()["version"])
    ids = [f"{int(time * 1000):012x}{number:020x}" for number, time in enumerate(predictions["time"].to_pylist())]
    predictions = predictions.set_column(0, "id", [ids])
    feedback = feedback.set_column(0, "prediction_id", [ids]).slice(0, ROWS - 1)
    return write_log(tmp_path_factory.mktemp("explained") / "log", predictions, feedback), ids


def test_contributions_add_up(watched: Watched, log: tuple[str, list[str]]) -> None:
    url, ids = log
    row = watched.sample(ROWS, 0).slice(200, 1).to_pylist()[0]
    explanation = explain(url, ids[200], watched.params)
    assert set(explanation.contributions) == set(NAMES)
    assert explanation.mean + sum(explanation.contributions.values()) == pytest.approx(explanation.prediction, abs=1e-5)
    assert (explanation.outcome, explanation.others) == (row["late"], 76)  # of the week before, and itself
    assert explanation.inputs["scheduled_departure"] == row["scheduled_departure"]
    assert explanation.values["carrier"] == row["carrier"]
    assert explanation.nearest in watched.reference.periods


@pytest.mark.long
def test_month_is_the_one_in_which_it_was_most_likely(watched: Watched, log: tuple[str, list[str]]) -> None:
    """It is mostly the month of the row itself, because months differ by their weather."""
    url, ids = log
    rows = watched.sample(ROWS, 0)
    own = [
        explain(url, ids[number], watched.params).nearest == f"{rows['scheduled_departure'][number].as_py():%Y-%m}"
        for number in range(0, ROWS, 30)
    ]
    assert sum(own) >= 6, own


def test_command(finished: Repository, log: tuple[str, list[str]]) -> None:
    url, ids = log
    output = in_process.must(finished, "lifecycle.monitoring.__main__", "explain", ids[-1], PREDICTION_LOG_URL=url)
    assert "outcome: not known yet\n" in output
    assert "departure_minute = " in output
    assert "inputs that are no features:\n  scheduled_departure = 2013-0" in output


def test_unknown_prediction(watched: Watched, log: tuple[str, list[str]], tmp_path: Path) -> None:
    url, ids = log
    with pytest.raises(UserError, match="is not a prediction id"):
        explain(url, "'; drop table predictions", watched.params)
    with pytest.raises(UserError, match="does not contain the prediction"):
        explain(url, f"{ids[0][:-1]}f", watched.params)
    predictions, feedback = watched.records(watched.sample(1, 0), "of somebody else")
    strange = predictions.set_column(0, "id", pa.array([[ids[0]]]).flatten())
    with pytest.raises(UserError, match="of somebody else is neither a version in the registry nor"):
        explain(write_log(tmp_path / "log", strange, feedback), ids[0], watched.params)
