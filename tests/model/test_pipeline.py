"""The pipeline runs on a sample of your data, and batch, service and export give the same predictions."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from lifecycle.pipeline.evaluate import evaluate
from lifecycle.pipeline.predict import predict
from lifecycle.pipeline.train import train
from lifecycle.prediction_log.log_settings import read_environment
from lifecycle.release.smoke import DRY_RUN, SAME, expected_answers
from lifecycle.serving.application import Application
from lifecycle.serving.environment import ServingSettings
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.files import write_json
from lifecycle.shared.params import Params
from lifecycle.shared.predictor import Predictor, model_hash
from lifecycle.shared.tables import to_columns
from lifecycle.shared.tasks.task import Predictions
from model.estimator import Hyperparameters


@pytest.mark.parametrize("estimator", Hyperparameters.model_fields)
def test_every_estimator_trains_and_its_export_predicts_the_same(
    params: Params, prepared: Path, tmp_path: Path, estimator: str
) -> None:
    """`train` itself compares the export with the estimator, and fails if they differ."""
    train(params.model_copy(update={"estimator": estimator}), prepared, tmp_path / "model")


def test_training_again_gives_the_same_model(params: Params, prepared: Path, model: Path, tmp_path: Path) -> None:
    """CI and the release rely on this to reproduce dvc.lock."""
    train(params, prepared, tmp_path / "again")
    files = sorted(path.name for path in model.iterdir())
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == files
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (model / name).read_bytes(), name


def test_evaluation(params: Params, model: Path, prepared: Path, tmp_path: Path) -> None:
    evaluate(params, model, prepared / "holdout.parquet", tmp_path / "reports")
    assert (tmp_path / "reports/metrics.json").exists()
    assert params.metrics.primary in METRICS


def test_batch_predicts_what_the_model_does(prepared: Path, predictor: Predictor, tmp_path: Path) -> None:
    rows = prepared / "holdout.parquet"
    count = predict(rows, tmp_path / "scored.parquet", predictor)
    scored = pq.read_table(tmp_path / "scored.parquet")
    assert scored.num_rows == count == pq.read_metadata(rows).num_rows
    predictions = TASK.read_output({name: scored.column(name).to_numpy() for name in TASK.output_columns()})
    np.testing.assert_array_equal(predictions, predictor.predict(to_columns(pq.read_table(rows))))


async def predicted(application: Application, rows: list[dict[str, Any]]) -> Predictions:
    """Return the predictions of the service; the dry run leaves no trace in the prediction log."""
    transport = httpx.ASGITransport(application)  # type: ignore[arg-type]  # ASGI with narrower types
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        response = await client.post("/predict", json=rows, headers=DRY_RUN)
    assert response.status_code == 200, response.text
    return TASK.read_answers(response.json()["predictions"])


def test_the_service_predicts_what_the_model_does(model: Path, predictor: Predictor, tmp_path: Path) -> None:
    """The rows are the examples of the contract, also with missing values and with each category."""
    lineage: dict[str, Any] = {"version": "test", "commit": "0" * 40, "model": model_hash(model)}
    write_json(tmp_path / "lineage.json", lineage)
    (tmp_path / "state/spool").mkdir(parents=True)
    settings = read_environment(
        ServingSettings, model_folder=model, lineage=tmp_path / "lineage.json", state_folder=tmp_path / "state"
    )
    expected = expected_answers(predictor)
    predictions = asyncio.run(predicted(Application.load(settings), expected["rows"]))
    assert TASK.differences(predictions, np.array(expected["predictions"]), expected["target"]).max() <= SAME
