"""Expected metrics: what they are is computed by brute force, and how often their intervals hold by simulation."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from lifecycle.shared import expectation
from lifecycle.shared.columns import Target
from lifecycle.shared.expectation import expect, find_gaps
from lifecycle.shared.tasks.binary import Binary
from lifecycle.shared.tasks.multiclass import Multiclass
from lifecycle.shared.tasks.regression import Regression

RANDOM = np.random.default_rng


def relation(prediction: object, outcome: object, cluster: object) -> duckdb.DuckDBPyRelation:
    return duckdb.from_df(pd.DataFrame({"prediction": prediction, "outcome": outcome, "cluster": cluster}))


def test_binary_metrics_are_those_that_calibrated_outcomes_have_on_average() -> None:
    task, random = Binary(Target(name="late", type="boolean", description="Late.")), RANDOM(0)
    p = random.beta(1, 3, 400)
    names, values, without = task.expected(relation(p, p > 0.5, np.arange(400) % 20), "cluster")
    drawn = []
    for _ in range(800):
        y = random.random(400) < p
        drawn.append([roc_auc_score(y, p), average_precision_score(y, p), log_loss(y, p), brier_score_loss(y, p)])
    assert names == ["roc_auc", "average_precision", "log_loss", "brier_score"]
    # The mean of a ratio is not the ratio of the means; for the average precision of 400 rows, it is 0.01 more.
    assert values == pytest.approx(np.mean(drawn, axis=0), abs=0.015)
    assert values[[0, 2, 3]] == pytest.approx(np.mean(drawn, axis=0)[[0, 2, 3]], abs=0.003)
    one = task.expected(relation(p[np.arange(400) % 20 != 3], p[:380] > 0.5, 0), "cluster")[1]
    assert without[3] == pytest.approx(one)


def test_multiclass_metrics_are_those_that_calibrated_outcomes_have_on_average() -> None:
    names = ("a", "b", "it's")
    task, random = Multiclass(Target(name="kind", type="category", categories=names, description="Kind.")), RANDOM(0)
    p = random.dirichlet([1, 2, 0.7], 500)
    measured, values, _ = task.expected(relation([*p], "a", np.arange(500) % 10), "cluster")
    drawn = []
    for _ in range(100):
        y = (random.random((500, 1)) > p.cumsum(axis=1)).sum(axis=1)
        drawn.append(task.live(relation([*p], np.array(names)[y], 0), "cluster")[1])
    assert measured == ["log_loss", "brier_score", "balanced_accuracy", *(f"recall_{name}" for name in names)]
    assert values == pytest.approx(np.mean(drawn, axis=0), abs=0.02)


def test_a_number_says_nothing_of_its_uncertainty() -> None:
    task = Regression(Target(name="price", type="number", description="Price."))
    assert task.expected(relation([1.0], [2.0], [0]), "cluster")[0] == []


@pytest.mark.parametrize(("bias", "least"), [(0.0, 0.9), (0.5, 0.85)])
def test_intervals_hold_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch, bias: float, least: float) -> None:
    """Thirty days with an influence that the model does not see, and probabilities that are biased by as much."""
    task = Binary(Target(name="late", type="boolean", description="Late."))
    monkeypatch.setattr(expectation, "TASK", task)
    random, held = RANDOM(1), []

    def month() -> duckdb.DuckDBPyRelation:
        day = np.repeat(np.arange(30), 60)
        logit = random.normal(size=len(day))
        truth = 1 / (1 + np.exp(-logit - bias - 0.4 * random.normal(size=30)[day]))
        return relation(1 / (1 + np.exp(-logit)), random.random(len(day)) < truth, day)

    for _ in range(100):
        gaps = find_gaps(month(), "cluster")
        production = month()
        names, values, _ = task.live(production, "cluster")
        true = dict(zip(names, values, strict=True))
        estimates = expect(production, "cluster", gaps, 0.95)
        held.append([estimates[name].low <= true[name] <= estimates[name].high for name in names])
    assert np.mean(held, axis=0).min() >= least
