import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from model.pipeline.metrics import METRICS, Scores, interval, resamples

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
    """The definition, spelt out: bins by rank, most probable rows first, equal probabilities in one bin."""
    order = np.argsort(-probability, kind="stable")
    first_rank = {p: rank for rank, p in reversed(list(enumerate(probability[order].tolist())))}
    label = np.array([first_rank[p] * bins // len(target) for p in probability.tolist()])
    return float(
        sum(abs(target[label == b].sum() - probability[label == b].astype(np.float64).sum()) for b in np.unique(label))
        / len(target)
    )


@pytest.mark.parametrize("kind", SAMPLES)
def test_metrics_are_scikit_learn_s(kind: str) -> None:
    target, probability = sample(kind)
    found = dict(zip(METRICS, Scores(target, probability, bins=10).metrics(once(2_000))[0].tolist(), strict=True))
    exact = probability.astype(np.float64)
    assert found == pytest.approx(
        {
            "roc_auc": roc_auc_score(target, exact),
            "average_precision": average_precision_score(target, exact),
            "log_loss": log_loss(target, exact),
            "brier_score": brier_score_loss(target, exact),
            "calibration_error": calibration_error(target, probability, 10),
        },
        rel=1e-9,
    )


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_weight_is_a_row_repeated(kind: str) -> None:
    target, probability = sample(kind)
    scores = Scores(target, probability, bins=10)
    weights = np.concatenate(list(resamples(2_000, count=40, seed=1)))
    assert weights.shape == (40, 2_000)
    found = scores.metrics(weights)
    for weight, row in zip(weights, found, strict=True):
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
    (found,) = Scores(target, np.full(10, 0.3), bins=10).metrics(once(10))
    expected = [0.5, 0.3, log_loss(target, np.full(10, 0.3)), 0.21, 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_one_class_has_no_roc_curve() -> None:
    (found,) = Scores(np.array([True, True]), np.array([0.5, 0.7]), bins=2).metrics(once(2))
    assert np.isnan(found[METRICS.index("roc_auc")])
    assert found[METRICS.index("log_loss")] == pytest.approx(-np.log([0.5, 0.7]).mean())


def test_resamples_draw_each_row_once_on_average_and_are_seeded() -> None:
    drawn = np.concatenate(list(resamples(10_000, count=100, seed=3)))
    assert drawn.mean() == pytest.approx(1, abs=0.005)
    assert drawn.var() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(drawn, np.concatenate(list(resamples(10_000, count=100, seed=3))))
    assert not np.array_equal(drawn, np.concatenate(list(resamples(10_000, count=100, seed=4))))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """In 200 samples of a known world, 95% intervals of the log loss hold its true value in about 95%."""
    world = np.random.default_rng(11)
    everyone = world.beta(2, 5, 1_000_000)
    truth = -(everyone * np.log(everyone) + (1 - everyone) * np.log1p(-everyone)).mean()
    held = 0
    for seed in range(200):
        probability = world.beta(2, 5, 500)
        scores = Scores(world.random(500) < probability, probability, bins=10)
        drawn = np.concatenate([scores.metrics(w) for w in resamples(500, count=300, seed=seed)])[:, 2]
        found = interval(0.0, drawn, 0.95)
        held += found.low <= truth <= found.high
    assert 180 <= held <= 199


def test_interval_of_what_is_never_defined() -> None:
    assert np.isnan(interval(np.nan, np.full(10, np.nan), 0.95)).all()
