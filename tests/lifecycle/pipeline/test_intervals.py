import numpy as np
import pytest
from numpy.typing import NDArray

from lifecycle.shared.intervals import groups_of, jackknife, leave_out_each, mean_interval
from lifecycle.shared.metrics import METRICS, Scores, Weights

LOG_LOSS = [*METRICS].index("log_loss")


def test_a_mean_s_interval_is_student_s() -> None:
    """Of a mean, with a row to a cluster, the jackknife is the textbook's interval."""
    values = np.random.default_rng(1).normal(3, 2, 12)

    def mean(weights: Weights) -> NDArray[np.float64]:
        return np.asarray(weights @ values / weights.sum(axis=1))[:, None]

    without = leave_out_each(mean, np.arange(12))[:, 0]
    found = jackknife(values.mean(), without, 0.95)
    assert found == pytest.approx(mean_interval(values, 0.95))
    # From a table: the 97.5% quantile of Student's t with 11 degrees of freedom is 2.201.
    assert found.high - found.value == pytest.approx(2.201 * values.std(ddof=1) / np.sqrt(12), rel=1e-3)


def test_rows_said_twice_are_no_news() -> None:
    """Copies of a row are one cluster: the interval is as wide as without them, and not by their root narrower."""
    random = np.random.default_rng(2)
    probability = random.beta(2, 5, 60)
    target = random.random(60) < probability

    def width(copies: int) -> float:
        scores = Scores(np.repeat(target, copies), np.repeat(probability, copies), bins=10)
        groups = np.repeat(np.arange(60), copies)
        found = jackknife(0.0, leave_out_each(scores.metrics, groups)[:, LOG_LOSS], 0.95)
        return found.high - found.low

    assert width(25) == pytest.approx(width(1))


@pytest.mark.parametrize("days", [8, 30])
def test_intervals_hold_the_truth_as_often_as_they_say(days: int) -> None:
    """Days of a known world share a mood that no model knows: 95% intervals of the log loss hold its true value."""
    world = np.random.default_rng(11)
    rows, trials = 40, 300

    def drawn(days: int) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.intp]]:
        probability = world.beta(2, 5, (days, rows))
        mood = world.normal(0, 0.8, (days, 1))
        real = 1 / (1 + np.exp(-np.log(probability / (1 - probability)) - mood))
        target = world.random((days, rows)) < real
        return target.ravel(), probability.ravel(), np.repeat(np.arange(days), rows)

    def log_loss(target: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
        return float(-np.where(target, np.log(probability), np.log1p(-probability)).mean())

    truth = log_loss(*drawn(20_000)[:2])
    held = 0
    for _ in range(trials):
        target, probability, groups = drawn(days)
        scores = Scores(target, probability, bins=10)
        without = leave_out_each(scores.metrics, groups)[:, LOG_LOSS]
        found = jackknife(log_loss(target, probability), without, 0.95)
        held += found.low <= truth <= found.high
    # Four standard deviations of the share around 95% are 5%.
    assert 0.90 <= held / trials <= 0.995


def test_many_clusters_are_left_out_in_groups() -> None:
    clusters = np.repeat(np.arange(1_050), 3)
    groups = groups_of(clusters)
    assert len(np.unique(groups)) == 100
    assert np.bincount(groups).min() >= 30
    for cluster in (0, 7, 1_049):
        assert len(np.unique(groups[clusters == cluster])) == 1
    np.testing.assert_array_equal(groups, groups_of(clusters))
    few = groups_of(np.array([9, 9, 4, 7, 4]))
    assert few.tolist() == [2, 2, 0, 1, 0]


@pytest.mark.parametrize("without", [[0.7], [0.7, np.nan, 0.6], []])
def test_what_has_no_interval(without: list[float]) -> None:
    found = jackknife(0.7, np.array(without), 0.95)
    assert found.value == 0.7
    assert np.isnan([found.low, found.high]).all()
