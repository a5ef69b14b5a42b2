"""The ONNX file of each kind of estimator predicts what the estimator does, in all outputs, also at large scales."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import Pipeline

from lifecycle.adoption import regressors
from lifecycle.pipeline.export import write_onnx
from lifecycle.pipeline.train import TOLERANCE
from lifecycle.shared.columns import Target
from lifecycle.shared.console import UserError
from lifecycle.shared.tasks.binary import Binary
from lifecycle.shared.tasks.multiclass import Multiclass
from lifecycle.shared.tasks.regression import Regression
from lifecycle.shared.tasks.task import Task
from model import estimator
from model.features import CATEGORICAL, NAMES
from tests.lifecycle.repository import ROOT

ROWS = 3_000
NUMBER = Regression(Target(name="y", type="number", description="Any."))
BOOLEAN = Binary(Target(name="y", type="boolean", description="Any."))
CLASSES = Multiclass(Target(name="y", type="category", description="Any.", categories=("a", "b", "c", "d")))
TREES = {"learning_rate": 0.1, "max_features": 0.5}
BOOSTING = {"max_iter": 30, "max_leaf_nodes": 15, "min_samples_leaf": 5, "l2_regularization": 1.0, **TREES}
FOREST = {"n_estimators": 20, "min_samples_leaf": 5, "max_features": "sqrt"}
LIGHTGBM = {
    "n_estimators": 30,
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_child_samples": 5,
    "colsample_bytree": 0.5,
    "reg_lambda": 1.0,
}
REGRESSORS: dict[str, Any] = {
    **{
        f"boosting, {loss}": regressors.HistGradientBoosting.model_validate({"loss": loss, **BOOSTING})
        for loss in ("squared_error", "absolute_error", "poisson", "gamma")
    },
    "ridge": regressors.Ridge(alpha=1.0),
    "forest": regressors.RandomForest.model_validate(FOREST),
    "LightGBM": regressors.LightGBM.model_validate(LIGHTGBM),
}
CLASSIFIERS: dict[str, Any] = {
    "boosting": estimator.HistGradientBoosting.model_validate(BOOSTING),
    "logistic regression": estimator.LogisticRegression(C=1.0, max_iter=200),
    "forest": estimator.RandomForest.model_validate(FOREST),
    "LightGBM": estimator.LightGBM.model_validate(LIGHTGBM),
}
Matrix = NDArray[np.float32]


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    """Features of which some are missing; the first ones are codes."""
    random = np.random.default_rng(3)
    values = random.normal(size=(ROWS, len(NAMES))).astype(np.float32)
    values[:, : len(CATEGORICAL)] = random.integers(0, 6, (ROWS, len(CATEGORICAL)))
    values[:, len(CATEGORICAL) :][random.random((ROWS, len(NAMES) - len(CATEGORICAL))) < 0.05] = np.nan
    return values


def signal(matrix: Matrix) -> NDArray[np.float64]:
    numbers = np.nan_to_num(matrix[:, len(CATEGORICAL) :]).astype(np.float64)
    return np.asarray(numbers[:, 0] + np.abs(numbers[:, 1]) + matrix[:, 0] / 3 + numbers[:, 2] * numbers[:, 3])


def largest_difference(task: Task, pipeline: Any, matrix: Matrix, target: NDArray[Any], path: Path) -> float:
    write_onnx(pipeline, path)
    predict = task.load_onnx(InferenceSession(path))
    return float(task.differences(predict(matrix), task.predict(pipeline, matrix), task.summary(target)).max())


@pytest.mark.parametrize("scale", [1.0, 1.8e7])
@pytest.mark.parametrize("kind", REGRESSORS)
def test_regressors(kind: str, scale: float, matrix: Matrix, tmp_path: Path) -> None:
    target = np.exp(signal(matrix) / 3) * scale  # positive, as poisson and gamma require
    pipeline = REGRESSORS[kind].build(1).fit(matrix, target)
    assert largest_difference(NUMBER, pipeline, matrix, target, tmp_path / "model.onnx") < TOLERANCE
    assert np.corrcoef(NUMBER.predict(pipeline, matrix), target)[0, 1] > 0.5


def test_the_export_without_its_mend_would_be_wrong(
    matrix: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, skl2onnx applies the exponential function itself, and `_append_exp` has to go."""
    monkeypatch.setattr("lifecycle.pipeline.export._LOG_LINKS", set())
    target = np.exp(signal(matrix) / 3)
    pipeline = REGRESSORS["boosting, poisson"].build(1).fit(matrix, target)
    assert largest_difference(NUMBER, pipeline, matrix, target, tmp_path / "model.onnx") > 1


@pytest.mark.parametrize(
    ("kind", "absent"), [*itertools.product(CLASSIFIERS, [None]), *itertools.product(CLASSIFIERS, [0, 2, 3])]
)
def test_classifiers_of_several_classes(kind: str, absent: int | None, matrix: Matrix, tmp_path: Path) -> None:
    """A class without rows in training has the probability 0, and the others keep their places."""
    target = np.digitize(signal(matrix), [0.3, 1.2, 3.0])
    present = target != absent
    pipeline = CLASSIFIERS[kind].build(1).fit(matrix[present], target[present])
    path = tmp_path / "model.onnx"
    assert largest_difference(CLASSES, pipeline, matrix, target, path) < TOLERANCE
    probabilities = CLASSES.load_onnx(InferenceSession(path))(matrix)
    assert probabilities.shape == (ROWS, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == target)[present].mean() > 0.5
    if absent is not None:
        assert not probabilities[:, absent].any()


@pytest.mark.parametrize("kind", [*REGRESSORS, *(f"classes, {name}" for name in CLASSIFIERS)])
def test_thresholds_between_neighbouring_numbers(kind: str, tmp_path: Path) -> None:
    """A threshold in double precision may lie between two numbers that are neighbours in single precision."""
    random = np.random.default_rng(4)
    values = np.float32(-22_059) + np.arange(100, dtype=np.float32) * np.spacing(np.float32(22_059))
    place = random.integers(0, len(values), ROWS)
    matrix = np.zeros((ROWS, len(NAMES)), dtype=np.float32)
    matrix[:, len(CATEGORICAL)] = values[place]
    height = random.random(len(values))[place]
    by_class = kind.startswith("classes")
    task, target = (CLASSES, np.digitize(height, [0.2, 0.5, 0.8])) if by_class else (NUMBER, height + 0.1)
    settings = CLASSIFIERS[kind.removeprefix("classes, ")] if by_class else REGRESSORS[kind]
    pipeline = settings.build(1).fit(matrix, target)
    assert largest_difference(task, pipeline, matrix, target, tmp_path / "model.onnx") < TOLERANCE


def test_an_estimator_that_brings_its_own_export(matrix: Matrix, tmp_path: Path) -> None:
    """The example in docs/changes.md, as a class of model/estimator.py."""
    (example,) = re.findall(
        r"```python\n(class XGBoost.*?)```", (ROOT / "docs/changes.md").read_text("utf-8"), re.DOTALL
    )
    names = dict(vars(estimator))
    exec(example, names)  # noqa: S102 - from the documentation
    settings = names["XGBoost"].model_validate({"n_estimators": 30, "learning_rate": 0.1, "max_depth": 4})
    for task, target in ((BOOLEAN, signal(matrix) > 1), (CLASSES, np.digitize(signal(matrix), [0.3, 1.2, 3.0]))):
        pipeline = settings.build(1).fit(matrix, target)
        assert largest_difference(task, pipeline, matrix, target, tmp_path / "model.onnx") < TOLERANCE
        assert (pipeline.predict(matrix) == target).mean() > 0.6


def test_two_of_several_classes(matrix: Matrix, tmp_path: Path) -> None:
    """Exporters treat two classes in a way of their own."""
    target = np.where(signal(matrix) > 1, 3, 1)
    for kind, settings in CLASSIFIERS.items():
        pipeline = settings.build(1).fit(matrix, target)
        assert largest_difference(CLASSES, pipeline, matrix, target, tmp_path / "model.onnx") < TOLERANCE, kind
        assert set(CLASSES.predict(pipeline, matrix).argmax(axis=1).tolist()) == {1, 3}


def test_what_cannot_be_exported_is_named(matrix: Matrix, tmp_path: Path) -> None:
    class OurOwn(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
        def fit(self, matrix: Matrix, target: Any) -> "OurOwn":
            self.n_features_in_, self.mean_ = matrix.shape[1], float(np.mean(target))
            return self

        def predict(self, matrix: Matrix) -> Any:
            return np.full(len(matrix), self.mean_)

    pipeline = Pipeline([("regressor", OurOwn())]).fit(matrix, signal(matrix))
    with pytest.raises(UserError) as raised:
        write_onnx(pipeline, tmp_path / "model.onnx")
    assert str(raised.value).startswith("OurOwn cannot be exported to ONNX: ")
    assert "zipmap" not in str(raised.value)
    assert not (tmp_path / "model.onnx").exists()
