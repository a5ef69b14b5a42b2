from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lifecycle.pipeline.evaluate import WHOLE, Slices
from lifecycle.proposal.compare import (
    ENOUGH_ROWS,
    Rows,
    compare,
    compare_over_origins,
    needed_clusters,
    resolution,
    slice_verdict,
    verdict,
)
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.clusters import Clusters
from lifecycle.shared.intervals import Interval
from lifecycle.shared.params import Params
from lifecycle.shared.tasks.binary_scores import BinaryScores

ROWS, DAYS = 4_000, 40


def flights(seed: int = 5) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return a target, and the probabilities from which it was drawn."""
    random = np.random.default_rng(seed)
    probability = random.beta(1.5, 3, ROWS).astype(np.float32)
    return random.random(ROWS) < probability, probability


def noisy(probability: NDArray[np.float32], sigma: float, seed: int = 9) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, sigma, len(probability))
    return np.clip(probability + noise, 0.001, 0.999).astype(np.float32)


def rows(target: Any, champion: Any, candidate: Any, slices: Slices | None = None) -> Rows:
    days = Clusters("day", np.arange(len(target)) * DAYS // len(target))
    return Rows(target, champion, candidate, days, slices or {})


@pytest.fixture
def judge(params: Callable[..., Params]) -> Params:
    """The parameters of the example, which have a margin for each metric."""
    return params()


def test_model_is_no_worse_than_itself(judge: Params) -> None:
    target, probability = flights()
    (part,) = compare(rows(target, probability, probability), judge).values()
    judged = {name for name in part.metrics if name in judge.gates.worse_by_at_most}
    assert {name: d.verdict for name, d in part.metrics.items() if name in judged} == dict.fromkeys(judged, "no worse")
    assert {d.delta for d in part.metrics.values()} == {Interval(0.0, 0.0, 0.0)}
    assert part.clusters == DAYS


def test_better_and_worse(judge: Params) -> None:
    target, probability = flights()
    other = noisy(probability, 0.2)
    gained = compare(rows(target, other, probability), judge)[WHOLE].metrics
    lost = compare(rows(target, probability, other), judge)[WHOLE].metrics
    for name in ("roc_auc", "average_precision", "log_loss", "brier_score"):
        assert gained[name].verdict == "better"
        assert lost[name].verdict == "worse"
        assert gained[name].delta.value == pytest.approx(-lost[name].delta.value)
    points = BinaryScores(target, other, bins=10, threshold=0.5).metrics(np.ones((1, ROWS), dtype=np.uint8))[0]
    assert [gained[name].champion for name in METRICS] == points.tolist()


def test_paired_interval_is_narrower(judge: Params) -> None:
    target, probability = flights()
    other = noisy(probability, 0.05)
    auc = compare(rows(target, other, probability), judge)[WHOLE].metrics["roc_auc"]
    unpaired = compare(rows(target, np.full(ROWS, 0.3), probability), judge)[WHOLE].metrics["roc_auc"]
    assert resolution(auc.delta) < resolution(unpaired.delta) / 3


def test_slice_is_compared_on_its_own_rows(judge: Params) -> None:
    """Its metrics are those of its rows alone, and a loss in one slice does not show in another."""
    target, probability = flights()
    chosen = np.arange(0, ROWS, 2)
    other = probability.copy()
    other[chosen] = noisy(probability, 0.4)[chosen]
    halves = {("half", "even"): chosen, ("half", "odd"): chosen + 1}
    parts = compare(rows(target, probability, other, halves), judge)
    even, odd = parts["half", "even"], parts["half", "odd"]
    assert (even.rows, odd.rows) == (ROWS // 2, ROWS // 2)
    assert even.metrics["roc_auc"].verdict == "worse"
    assert odd.metrics["roc_auc"].delta == Interval(0.0, 0.0, 0.0)
    alone = BinaryScores(target[chosen], other[chosen], bins=10, threshold=0.5).metrics(
        np.ones((1, len(chosen)), dtype=np.uint8)
    )[0]
    assert [even.metrics[name].candidate for name in METRICS] == pytest.approx(alone.tolist())


def test_slice_of_one_class_or_one_row_is_no_error(judge: Params) -> None:
    target, probability = flights()
    slices = {("only", "late"): np.flatnonzero(target)[:50], ("only", "one"): np.array([3])}
    parts = compare(rows(target, probability, noisy(probability, 0.1), slices), judge)
    assert np.isnan(parts["only", "late"].metrics["roc_auc"].delta.value)
    assert parts["only", "one"].metrics["roc_auc"].verdict == "undefined"
    assert parts["only", "one"].rows == 1


def test_undefined_is_not_no_worse(judge: Params) -> None:
    """If all rows are late, there is no ROC curve, which says nothing about the candidate."""
    target, probability = np.ones(ROWS, dtype=np.bool_), flights()[1]
    (part,) = compare(rows(target, probability, probability), judge).values()
    assert part.metrics["roc_auc"].verdict == "undefined"


@pytest.mark.parametrize("copies", [1, 20])
def test_copies_of_rows_in_a_day_add_no_information(copies: int, judge: Params) -> None:
    """Twenty copies of each row of a day have the interval of a single copy; as independent rows, a narrower one."""
    target, probability = flights()
    other = noisy(probability, 0.05)
    once = rows(target[::20], probability[::20], other[::20])
    numbers = np.repeat(once.clusters.numbers, copies)
    copied = Rows(
        np.repeat(once.targets, copies),
        np.repeat(once.champion, copies),
        np.repeat(once.candidate, copies),
        Clusters("day", numbers),
        slices={},
    )
    delta = compare(copied, judge)[WHOLE].metrics["log_loss"].delta
    assert delta == pytest.approx(compare(once, judge)[WHOLE].metrics["log_loss"].delta)
    independent = replace(copied, clusters=Clusters("row", np.arange(len(numbers))))
    narrower = compare(independent, judge)[WHOLE].metrics["log_loss"].delta
    assert (resolution(narrower) < resolution(delta) / 2) == (copies == 20)


MARGIN = 0.005


@pytest.mark.parametrize(
    ("name", "low", "high", "overall", "in_a_slice"),
    [
        ("roc_auc", 0.001, 0.002, "better", "better"),
        ("roc_auc", -0.004, 0.010, "no worse", "no worse"),
        ("roc_auc", -0.006, 0.010, "unclear", "no worse"),
        ("roc_auc", -0.009, -0.006, "worse", "worse"),
        ("roc_auc", -0.009, -0.001, "worse", "no worse"),
        ("roc_auc", -0.004, -0.001, "no worse", "no worse"),
        # Too wide to tell the margin from 0: that the interval lies below 0 does not show a loss that matters.
        ("roc_auc", -0.020, -0.001, "unclear", "no worse"),
        ("roc_auc", -0.040, -0.006, "unclear", "worse"),
        ("roc_auc", -0.080, -0.045, "worse", "worse"),
        ("log_loss", -0.002, -0.001, "better", "better"),
        ("log_loss", -0.010, 0.004, "no worse", "no worse"),
        ("log_loss", -0.010, 0.006, "unclear", "no worse"),
        ("log_loss", 0.006, 0.009, "worse", "worse"),
        ("log_loss", 0.001, 0.009, "worse", "no worse"),
        ("log_loss", np.nan, np.nan, "undefined", "undefined"),
    ],
)
def test_verdicts(name: str, low: float, high: float, overall: str, in_a_slice: str) -> None:
    delta = Interval((low + high) / 2, low, high)
    assert verdict(METRICS[name], delta, MARGIN, ENOUGH_ROWS) == overall
    assert slice_verdict(METRICS[name], delta, MARGIN) == in_a_slice


@pytest.mark.parametrize(
    ("low", "high", "overall"),
    [(-0.009, -0.001, "unclear"), (-0.014, -0.010, "worse"), (-0.004, -0.001, "no worse"), (0.001, 0.002, "better")],
)
def test_with_few_rows_only_a_large_loss_is_worse(low: float, high: float, overall: str) -> None:
    delta = Interval((low + high) / 2, low, high)
    assert verdict(METRICS["roc_auc"], delta, MARGIN, ENOUGH_ROWS - 1) == overall


def test_metric_without_a_margin_is_not_judged() -> None:
    assert verdict(METRICS["log_loss"], Interval(1.0, 0.9, 1.1), None, ENOUGH_ROWS) == "not judged"
    assert slice_verdict(METRICS["log_loss"], Interval(1.0, 0.9, 1.1), None) == "not judged"


def origins(*values: float) -> list[dict[str, float]]:
    return [dict.fromkeys(METRICS, value) for value in values]


def test_one_lucky_period_is_not_better(judge: Params) -> None:
    """A gain in the last month that three others do not confirm counts as chance."""
    delta, judged = compare_over_origins(origins(0.0, 0.0002, -0.0003, 0.0054), judge, ENOUGH_ROWS)["roc_auc"]
    assert judged == "no worse"
    assert delta.low < 0 < delta.value
    _, judged = compare_over_origins(origins(0.004, 0.006, 0.005, 0.0054), judge, ENOUGH_ROWS)["roc_auc"]
    assert judged == "better"
    _, judged = compare_over_origins(origins(-0.024, -0.026, -0.025, -0.0254), judge, ENOUGH_ROWS)["roc_auc"]
    assert judged == "worse"
    _, judged = compare_over_origins(origins(-0.05, 0.04, -0.03, 0.02), judge, ENOUGH_ROWS)["roc_auc"]
    assert judged == "unclear"


def test_needed_clusters() -> None:
    assert needed_clusters(Interval(0.0, -0.02, 0.02), 31, 0.01) == 124
