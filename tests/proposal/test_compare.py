from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from model.params import Params
from model.pipeline.evaluate import WHOLE
from model.pipeline.metrics import METRICS, Interval, Scores
from model.proposal.compare import compare, slice_verdict, verdict

ROWS = 4_000


def flights(seed: int = 5) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """A target, and the probabilities it was drawn with."""
    random = np.random.default_rng(seed)
    probability = random.beta(1.5, 3, ROWS).astype(np.float32)
    return random.random(ROWS) < probability, probability


def blurred(probability: NDArray[np.float32], by: float, seed: int = 9) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, by, len(probability))
    return np.clip(probability + noise, 0.001, 0.999).astype(np.float32)


def test_a_model_is_no_worse_than_itself(params: Callable[..., Params]) -> None:
    target, probability = flights()
    (part,) = compare(target, probability, probability, {}, params()).values()
    assert {d.verdict for d in part.metrics.values()} == {"no worse"}
    assert {d.delta for d in part.metrics.values()} == {Interval(0.0, 0.0, 0.0)}


def test_better_and_worse_are_told_apart(params: Callable[..., Params]) -> None:
    target, probability = flights()
    other = blurred(probability, 0.2)
    gained = compare(target, other, probability, {}, params())[WHOLE].metrics
    lost = compare(target, probability, other, {}, params())[WHOLE].metrics
    for name in ("roc_auc", "average_precision", "log_loss", "brier_score"):
        assert gained[name].verdict == "better"
        assert lost[name].verdict == "worse"
        assert gained[name].delta.value == pytest.approx(-lost[name].delta.value)
    points = Scores(target, other, bins=10).metrics(np.ones((1, ROWS), dtype=np.uint8))[0]
    assert [gained[name].champion for name in METRICS] == points.tolist()


def test_pairing_shows_what_two_intervals_could_not(params: Callable[..., Params]) -> None:
    target, probability = flights()
    other = blurred(probability, 0.05)
    auc = compare(target, other, probability, {}, params())[WHOLE].metrics["roc_auc"]
    alone = compare(target, np.full(ROWS, 0.3), probability, {}, params())[WHOLE].metrics["roc_auc"]
    assert auc.delta.high - auc.delta.low < (alone.delta.high - alone.delta.low) / 3


def test_the_same_again(params: Callable[..., Params]) -> None:
    target, probability = flights()
    other = blurred(probability, 0.1)
    slices = {("side", "left"): np.arange(1_000)}
    first, second = (compare(target, other, probability, slices, params()) for _ in range(2))
    assert first == second


def test_a_slice_is_as_if_compared_alone(params: Callable[..., Params]) -> None:
    """Its metrics are those of its rows, and it alone shows what happens in it alone."""
    target, probability = flights()
    rows = np.arange(0, ROWS, 2)
    other = probability.copy()
    other[rows] = blurred(probability, 0.4)[rows]
    found = compare(target, probability, other, {("half", "even"): rows, ("half", "odd"): rows + 1}, params())
    even, odd = found["half", "even"], found["half", "odd"]
    assert (even.rows, odd.rows) == (ROWS // 2, ROWS // 2)
    assert even.base_rate == target[rows].mean()
    assert even.metrics["roc_auc"].verdict == "worse"
    assert odd.metrics["roc_auc"].delta == Interval(0.0, 0.0, 0.0)
    alone = Scores(target[rows], other[rows], bins=10).metrics(np.ones((1, len(rows)), dtype=np.uint8))[0]
    assert [even.metrics[name].candidate for name in METRICS] == pytest.approx(alone.tolist())


def test_a_slice_of_one_class_or_one_row_is_no_error(params: Callable[..., Params]) -> None:
    target, probability = flights()
    slices = {("only", "late"): np.flatnonzero(target)[:50], ("only", "one"): np.array([3])}
    found = compare(target, probability, blurred(probability, 0.1), slices, params())
    assert np.isnan(found["only", "late"].metrics["roc_auc"].delta.value)
    assert found["only", "one"].metrics["roc_auc"].verdict == "no worse"
    assert found["only", "one"].rows == 1


@pytest.mark.parametrize(
    ("name", "low", "high", "overall", "in_a_slice"),
    [
        ("roc_auc", 0.001, 0.002, "better", "better"),
        ("roc_auc", -0.004, 0.010, "no worse", "no worse"),
        ("roc_auc", -0.006, 0.010, "unclear", "no worse"),
        ("roc_auc", -0.009, -0.006, "worse", "worse"),
        ("roc_auc", -0.004, -0.001, "no worse", "no worse"),
        ("log_loss", -0.002, -0.001, "better", "better"),
        ("log_loss", -0.010, 0.004, "no worse", "no worse"),
        ("log_loss", -0.010, 0.006, "unclear", "no worse"),
        ("log_loss", 0.006, 0.009, "worse", "worse"),
        ("log_loss", 0.001, 0.009, "worse", "no worse"),
    ],
)
def test_verdicts(name: str, low: float, high: float, overall: str, in_a_slice: str) -> None:
    delta = Interval((low + high) / 2, low, high)
    assert verdict(name, delta, 0.005) == overall
    assert slice_verdict(name, delta, 0.005) == in_a_slice
