import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lifecycle.pipeline.train import train
from lifecycle.shared.console import UserError
from lifecycle.shared.params import Params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import contract_version, json_schema
from lifecycle.shared.tables import to_columns, to_target
from lifecycle.shared.tasks.binary_scores import BinaryScores
from model import estimator
from model.features import CATEGORICAL, NAMES

Make = Callable[..., Params]


def holdout_auc(model: Path, prepared: Path) -> float:
    table = pq.read_table(prepared / "holdout.parquet")
    target = to_target(table)
    scores = BinaryScores(target, Predictor.load(model).predict(to_columns(table)), bins=10, threshold=0.5)
    return float(scores.metrics(np.ones((1, len(target)), dtype=np.uint8))[0, 0])


@pytest.mark.parametrize("name", list(estimator.Hyperparameters.model_fields))
@pytest.mark.parametrize("model_format", ["onnx", "skops"])
def test_each_estimator_learns_and_its_file_predicts_the_same(
    name: str, model_format: str, params: Make, prepared: Path, tmp_path: Path
) -> None:
    summary = train(params(estimator=name, model_format=model_format), prepared, tmp_path / "model")
    assert summary.startswith(f"{name} as {model_format}, ")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "contract.json",
        "metadata.json",
        f"model.{model_format}",
    ]
    assert holdout_auc(tmp_path / "model", prepared) > 0.6


def test_metadata_of_the_model_folder(model_copy: Path, params: Make) -> None:
    metadata = json.loads((model_copy / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["estimator"] == "hist_gradient_boosting"
    assert metadata["hyperparameters"] == params().chosen_hyperparameters().model_dump()
    assert metadata["window"] == {"first": "2013-01", "last": "2013-02"}
    assert metadata["rows"] == 6_000
    assert 0.2 < metadata["baseline"] < 0.3
    assert metadata["features"] == list(NAMES)
    assert metadata["contract_version"] == contract_version()
    assert json.loads((model_copy / "contract.json").read_text(encoding="utf-8")) == json_schema()


def test_same_bytes_twice(model_copy: Path, params: Make, prepared: Path, tmp_path: Path) -> None:
    train(params(), prepared, tmp_path / "again")
    for file in model_copy.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def build_native_categories(_self: object, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

    native = HistGradientBoostingClassifier(
        categorical_features=list(range(len(CATEGORICAL))), early_stopping=False, random_state=seed
    )
    return Pipeline([("classifier", native)])


def test_wrong_export_is_detected(
    model_copy: Path, params: Make, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (model_copy / "model.onnx").read_bytes()
    monkeypatch.setattr(estimator.HistGradientBoosting, "build", build_native_categories)
    with pytest.raises(UserError, match=r"trained one: the predictions of [\d,]+ of 3,000 holdout rows differ"):
        train(params(), prepared, model_copy)
    assert (model_copy / "model.onnx").read_bytes() == before

    train(params(model_format="skops"), prepared, model_copy)
    assert (model_copy / "model.skops").exists()


def build_without_export(_self: object, seed: int) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.kernel_approximation import SkewedChi2Sampler
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    return make_pipeline(
        SimpleImputer(), MinMaxScaler(), SkewedChi2Sampler(random_state=seed), LogisticRegression(max_iter=50)
    )


def test_estimator_without_export(
    params: Make, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimator.LogisticRegression, "build", build_without_export)
    with pytest.raises(UserError, match="model_format: skops"):
        train(params(estimator="logistic_regression"), prepared, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    train(params(estimator="logistic_regression", model_format="skops"), prepared, tmp_path / "model")


def test_library_that_cannot_be_loaded(
    params: Make, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(_self: object, _seed: int) -> Any:
        raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(estimator.LightGBM, "build", build)
    with pytest.raises(UserError, match="lightgbm cannot be fitted: libgomp"):
        train(params(estimator="lightgbm"), prepared, tmp_path / "model")
