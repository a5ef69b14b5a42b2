import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.tasks.binary_scores import BinaryScores

SAMPLES = ["distinct", "tied", "certain"]


def sample(kind: str, rows: int = 2_000) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    random = np.random.default_rng(7)
    probability = random.beta(1.5, 4, rows).astype(np.float32)
    target = random.random(rows) < probability
    if kind == "tied":
        probability = np.round(probability, 1)
    if kind == "certain":
        probability[:20] = 0
        probability[20:40] = 1
    return target, probability


def once(rows: int) -> NDArray[np.uint8]:
    return np.ones((1, rows), dtype=np.uint8)


def calibration_error(target: NDArray[np.bool_], probability: NDArray[np.float32], bins: int) -> float:
    """Compute it by definition: bins by rank, the most probable rows first, equal probabilities in one bin."""
    order = np.argsort(-probability, kind="stable")
    first_rank = {p: rank for rank, p in reversed(list(enumerate(probability[order].tolist())))}
    label = np.array([first_rank[p] * bins // len(target) for p in probability.tolist()])
    return float(
        sum(abs(target[label == b].sum() - probability[label == b].astype(np.float64).sum()) for b in np.unique(label))
        / len(target)
    )


@pytest.mark.parametrize("kind", SAMPLES)
def test_metrics_equal_those_of_scikit_learn(kind: str) -> None:
    target, probability = sample(kind)
    metrics = dict(
        zip(
            METRICS,
            BinaryScores(target, probability, bins=10, threshold=0.5).metrics(once(2_000))[0].tolist(),
            strict=True,
        )
    )
    exact = probability.astype(np.float64)
    assert metrics == pytest.approx(
        {
            "roc_auc": roc_auc_score(target, exact),
            "average_precision": average_precision_score(target, exact),
            "log_loss": log_loss(target, exact),
            "brier_score": brier_score_loss(target, exact),
            "calibration_error": calibration_error(target, probability, 10),
            "balanced_accuracy": balanced_accuracy_score(target, exact >= 0.5),
            "f1": f1_score(target, exact >= 0.5),
            "precision": precision_score(target, exact >= 0.5),
            "recall": recall_score(target, exact >= 0.5),
        },
        rel=1e-9,
    )


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_weight_equals_copies_of_the_row(kind: str) -> None:
    target, probability = sample(kind)
    scores = BinaryScores(target, probability, bins=10, threshold=0.5)
    weights = np.random.default_rng(1).poisson(1, (40, 2_000)).astype(np.uint8)
    weighted = scores.metrics(weights)
    for weight, row in zip(weights, weighted, strict=True):
        drawn = np.repeat(np.arange(2_000), weight)
        exact = probability[drawn].astype(np.float64)
        expected = [
            roc_auc_score(target[drawn], exact),
            average_precision_score(target[drawn], exact),
            log_loss(target[drawn], exact),
            brier_score_loss(target[drawn], exact),
        ]
        np.testing.assert_allclose(row[:4], expected, rtol=1e-9)


def test_constant_prediction_is_the_baseline() -> None:
    target = np.array([True] * 3 + [False] * 7)
    (metrics,) = BinaryScores(target, np.full(10, 0.3), bins=10, threshold=0.5).metrics(once(10))
    # No row is labelled true, so precision and F1 are 0 as scikit-learn defines them, and half of the classes is found.
    expected = [0.5, 0.3, log_loss(target, np.full(10, 0.3)), 0.21, 0, 0.5, 0, 0, 0]
    np.testing.assert_allclose(metrics, expected, atol=1e-12)


def test_one_class_has_no_roc_auc() -> None:
    (metrics,) = BinaryScores(np.array([True, True]), np.array([0.5, 0.7]), bins=2, threshold=0.5).metrics(once(2))
    assert np.isnan(metrics[[*METRICS].index("roc_auc")])
    assert metrics[[*METRICS].index("log_loss")] == pytest.approx(-np.log([0.5, 0.7]).mean())


@pytest.mark.parametrize(
    ("name", "value", "baseline", "skill"),
    [
        ("roc_auc", 0.75, 0.5, 0.5),
        ("roc_auc", 0.4, 0.5, -0.2),
        ("log_loss", 0.45, 0.6, 0.25),
        ("brier_score", 0.3, 0.2, -0.5),
    ],
)
def test_skill_is_the_share_of_the_possible_improvement(name: str, value: float, baseline: float, skill: float) -> None:
    metric = METRICS[name]
    assert metric.skill(value, baseline) == pytest.approx(skill)
    assert metric.skill(baseline, baseline) == 0
    assert metric.skill(1.0 if metric.higher_is_better else 0.0, baseline) == 1


def test_no_skill_over_a_perfect_baseline() -> None:
    assert np.isnan(METRICS["log_loss"].skill(0.1, 0.0))


def test_an_improvement_is_positive() -> None:
    assert METRICS["roc_auc"].improvement(0.1) == METRICS["log_loss"].improvement(-0.1) == 0.1
