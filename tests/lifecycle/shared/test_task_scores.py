"""The metrics of each kind of target equal those of scikit-learn, for the rows themselves and for resamples of them."""

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    median_absolute_error,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

from lifecycle.shared.columns import Target
from lifecycle.shared.metrics import Metric, OwnMetric, Scores
from lifecycle.shared.tasks.binary_scores import BINARY_METRICS, BinaryScores
from lifecycle.shared.tasks.multiclass import Multiclass
from lifecycle.shared.tasks.multiclass_scores import MulticlassScores, multiclass_metrics
from lifecycle.shared.tasks.regression import Regression
from lifecycle.shared.tasks.regression_scores import REGRESSION_METRICS, RegressionScores
from lifecycle.shared.tasks.task import Task

ROWS = 1_000
CLASSES = ("low", "middle", "high")
# The rows themselves, a resample of them, and all but a cluster.
WEIGHTS = {
    "once": np.ones(ROWS, dtype=np.uint8),
    "resampled": np.random.default_rng(3).poisson(1, ROWS).astype(np.uint8),
    "without a cluster": (np.arange(ROWS) % 20 != 3).astype(np.uint8),
}


def measured(metrics: tuple[Metric, ...], scores: Scores, weights: NDArray[np.uint8]) -> dict[str, float]:
    """Return the metrics of weighted rows by name."""
    (values,) = scores.metrics(weights[None])
    return dict(zip((metric.name for metric in metrics), values.tolist(), strict=True))


def multiclass_sample() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return classes, the last of which is rare, and their predicted probabilities."""
    random = np.random.default_rng(7)
    probabilities = random.dirichlet((6, 4, 1), ROWS).astype(np.float32)
    targets = np.array([random.choice(3, p=row / row.sum()) for row in probabilities.astype(np.float64)])
    return targets.astype(np.intp), probabilities


def regression_sample() -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return values with a large mean, and predictions of them."""
    random = np.random.default_rng(8)
    targets = 1.8e4 + random.gamma(2, 900, ROWS)
    return targets, (targets + random.normal(30, 500, ROWS)).astype(np.float32)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.999])
def test_binary_metrics_at_the_threshold(weights: NDArray[np.uint8], threshold: float) -> None:
    random = np.random.default_rng(7)
    probability = random.beta(1.5, 4, ROWS).astype(np.float32)
    target = random.random(ROWS) < probability
    found = measured(BINARY_METRICS, BinaryScores(target, probability, bins=10, threshold=threshold), weights)
    drawn = np.repeat(np.arange(ROWS), weights)
    actual, label = target[drawn], probability[drawn] >= threshold
    scored: dict[str, Any] = {
        "balanced_accuracy": balanced_accuracy_score,
        "f1": f1_score,
        "precision": precision_score,
        "recall": recall_score,
    }
    undefined = {"zero_division": 0.0}
    for name, function in scored.items():
        expected = function(actual, label, **({} if name == "balanced_accuracy" else undefined))
        assert found[name] == pytest.approx(expected, rel=1e-9), name


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_multiclass_metrics(weights: NDArray[np.uint8]) -> None:
    targets, probabilities = multiclass_sample()
    found = measured(multiclass_metrics(CLASSES), MulticlassScores(targets, probabilities, bins=10), weights)
    drawn = np.repeat(np.arange(ROWS), weights)
    actual, exact = targets[drawn], probabilities[drawn].astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)  # single precision does not add up to 1
    recalls = recall_score(actual, exact.argmax(axis=1), average=None)
    expected = {
        "log_loss": log_loss(actual, exact),
        "roc_auc": roc_auc_score(actual, exact, multi_class="ovr", average="macro"),
        "balanced_accuracy": balanced_accuracy_score(actual, exact.argmax(axis=1)),
        "brier_score": brier_score_loss(actual, exact, scale_by_half=False),
        **{f"recall_{name}": recall for name, recall in zip(CLASSES, recalls, strict=True)},
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_a_class_without_rows_has_no_recall() -> None:
    targets, probabilities = multiclass_sample()
    weights = (targets != 2).astype(np.uint8)
    found = measured(multiclass_metrics(CLASSES), MulticlassScores(targets, probabilities, bins=10), weights)
    assert np.isnan(found["recall_high"])
    assert found["balanced_accuracy"] == pytest.approx((found["recall_low"] + found["recall_middle"]) / 2)
    assert 0.5 < found["roc_auc"] < 1


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_regression_metrics(weights: NDArray[np.uint8]) -> None:
    targets, values = regression_sample()
    found = measured(REGRESSION_METRICS, RegressionScores(targets, values), weights)
    drawn = np.repeat(np.arange(ROWS), weights)
    actual, exact = targets[drawn], values[drawn].astype(np.float64)
    expected = {
        "rmse": root_mean_squared_error(actual, exact),
        "mae": mean_absolute_error(actual, exact),
        "median_absolute_error": median_absolute_error(actual, exact),
        "r2": r2_score(actual, exact),
        "bias": abs((exact - actual).mean()),
    }
    assert found == pytest.approx(expected, rel=1e-9)


def test_equal_outcomes_have_no_r2() -> None:
    found = measured(REGRESSION_METRICS, RegressionScores(np.full(ROWS, 3.0), np.full(ROWS, 4.0)), WEIGHTS["once"])
    assert np.isnan(found["r2"])
    assert (found["rmse"], found["mae"], found["bias"]) == (1, 1, 1)


def test_no_rows_have_no_metrics() -> None:
    nothing = np.zeros(ROWS, dtype=np.uint8)
    targets, probabilities = multiclass_sample()
    assert np.isnan(MulticlassScores(targets, probabilities, bins=10).metrics(nothing[None])).all()
    assert np.isnan(RegressionScores(*regression_sample()).metrics(nothing[None])).all()


MULTICLASS = Multiclass(Target(name="y", type="category", description="Any.", categories=(*CLASSES[:2], "it's high")))
REGRESSION = Regression(Target(name="y", type="number", description="Any.", unit="EUR"))


@pytest.mark.parametrize("task", [MULTICLASS, REGRESSION], ids=["multiclass", "regression"])
def test_live_metrics_equal_those_of_the_holdout(task: Task) -> None:
    """Production's log is read by DuckDB, the holdout by NumPy; also without each of seven clusters."""
    targets, predictions = multiclass_sample() if task is MULTICLASS else regression_sample()
    clusters = np.arange(ROWS) % 7
    outcomes = [[*task.target.categories][target] for target in targets] if task is MULTICLASS else targets.tolist()
    logged = pa.table({task.output: [task.to_log(prediction) for prediction in predictions.tolist()]})
    table = logged.append_column("outcome", pa.array(outcomes)).append_column("cluster", pa.array(clusters))
    with duckdb.connect() as connection:
        rows = connection.from_arrow(table).project(f"{task.logged_sql()} AS prediction, outcome, cluster")
        names, whole, without = task.live(rows, "cluster")
        observed, predicted = task.live_summaries(rows)
        variables = rows.project(", ".join(f'{sql} AS "{name}"' for name, (_, sql) in task.variables().items()))
        watched = variables.fetchnumpy()
    assert set(names) == {metric.name for metric in task.metrics.values() if metric.live}
    scores = task.scores(targets, predictions, bins=10, threshold=None)
    live = [[*task.metrics].index(name) for name in names]
    np.testing.assert_allclose(whole, scores.metrics(np.ones((1, ROWS), np.uint8))[0, live], rtol=1e-6)
    left_out = (clusters != np.arange(7)[:, None]).astype(np.uint8)
    # In any order of the clusters.
    np.testing.assert_allclose(np.sort(without, axis=0), np.sort(scores.metrics(left_out)[:, live], axis=0), rtol=1e-6)
    assert observed == pytest.approx(task.summary(targets))
    assert predicted.keys() == observed.keys()
    if task is MULTICLASS:
        assert sum(predicted.values()) == pytest.approx(1, abs=1e-6)
        labels = np.array(task.target.categories)[predictions.argmax(axis=1)]
        assert watched["predicted class"].tolist() == labels.tolist()


def cost(targets: NDArray[Any], predictions: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each unit of a negative error costs three times that of a positive one."""
    error = predictions - targets
    return np.asarray(weights @ np.where(error < 0, -3 * error, error) / weights.sum(axis=1))


def test_a_metric_of_a_team() -> None:
    """It stands after the metrics of the task, and has a value for each resample."""
    own = OwnMetric("cost", "cost in EUR", cost, higher_is_better=False)
    task = Regression(REGRESSION.target, [own])
    assert [*task.metrics] == [*REGRESSION.metrics, "cost"]
    assert task.metrics["cost"].skill(2.0, 8.0) == 0.75
    targets, predictions = regression_sample()
    weights = np.array(list(WEIGHTS.values()))
    values = task.scores(targets, predictions, bins=10, threshold=None).metrics(weights)
    of_the_kind = REGRESSION.scores(targets, predictions, bins=10, threshold=None).metrics(weights)
    np.testing.assert_array_equal(values[:, :-1], of_the_kind)
    for value, weight in zip(values[:, -1], weights, strict=True):
        drawn = np.repeat(np.arange(ROWS), weight)
        error = predictions[drawn].astype(np.float64) - targets[drawn]
        assert value == pytest.approx(np.where(error < 0, -3 * error, error).mean(), rel=1e-6)
