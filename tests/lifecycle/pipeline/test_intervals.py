import numpy as np
import pytest
from numpy.typing import NDArray

from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.intervals import groups_of, jackknife, leave_out_each, mean_interval
from lifecycle.shared.metrics import Weights
from lifecycle.shared.tasks.binary_scores import BinaryScores

LOG_LOSS = [*METRICS].index("log_loss")


def test_interval_of_a_mean_is_student_s_t_interval() -> None:
    """For a mean with one row per cluster, the jackknife equals Student's t interval."""
    values = np.random.default_rng(1).normal(3, 2, 12)

    def mean(weights: Weights) -> NDArray[np.float64]:
        return np.asarray(weights @ values / weights.sum(axis=1))[:, None]

    without = leave_out_each(mean, np.arange(12))[:, 0]
    interval = jackknife(values.mean(), without, 0.95)
    assert interval == pytest.approx(mean_interval(values, 0.95))
    # From a statistical table: the 97.5% quantile of Student's t with 11 degrees of freedom is 2.201.
    assert interval.high - interval.value == pytest.approx(2.201 * values.std(ddof=1) / np.sqrt(12), rel=1e-3)


def test_copied_rows_do_not_narrow_the_interval() -> None:
    """Copies of a row form one cluster, so the interval is as wide as without the copies."""
    random = np.random.default_rng(2)
    probability = random.beta(2, 5, 60)
    target = random.random(60) < probability

    def width(copies: int) -> float:
        scores = BinaryScores(np.repeat(target, copies), np.repeat(probability, copies), bins=10, threshold=0.5)
        groups = np.repeat(np.arange(60), copies)
        interval = jackknife(0.0, leave_out_each(scores.metrics, groups)[:, LOG_LOSS], 0.95)
        return interval.high - interval.low

    assert width(25) == pytest.approx(width(1))


@pytest.mark.parametrize("days", [8, 30])
def test_intervals_have_their_nominal_coverage(days: int) -> None:
    """If days share an effect unknown to the model, 95% intervals of the log loss still cover its true value."""
    world = np.random.default_rng(11)
    rows, trials = 40, 300

    def sample(days: int) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.intp]]:
        probability = world.beta(2, 5, (days, rows))
        day_effect = world.normal(0, 0.8, (days, 1))
        true_probability = 1 / (1 + np.exp(-np.log(probability / (1 - probability)) - day_effect))
        target = world.random((days, rows)) < true_probability
        return target.ravel(), probability.ravel(), np.repeat(np.arange(days), rows)

    def log_loss(target: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
        return float(-np.where(target, np.log(probability), np.log1p(-probability)).mean())

    truth = log_loss(*sample(20_000)[:2])
    covered = 0
    for _ in range(trials):
        target, probability, groups = sample(days)
        scores = BinaryScores(target, probability, bins=10, threshold=0.5)
        without = leave_out_each(scores.metrics, groups)[:, LOG_LOSS]
        interval = jackknife(log_loss(target, probability), without, 0.95)
        covered += interval.low <= truth <= interval.high
    # Four standard deviations of the coverage around 95% are 5 percentage points.
    assert 0.90 <= covered / trials <= 0.995


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
def test_no_interval(without: list[float]) -> None:
    interval = jackknife(0.7, np.array(without), 0.95)
    assert interval.value == 0.7
    assert np.isnan([interval.low, interval.high]).all()
