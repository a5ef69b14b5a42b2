"""Checks of a model as values and as sentences."""

from collections.abc import Callable

import numpy as np
import pytest

from lifecycle.pipeline.checks import Check, in_words, skill_floors
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.intervals import Interval
from lifecycle.shared.params import Params


def difference(name: str, allowed: float, interval: Interval, *, passed: bool, where: str = "") -> Check:
    return Check(name, "difference", allowed, interval.value, interval, passed, where)


def around(value: float, reach: float) -> Interval:
    return Interval(value, value - reach, value + reach)


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (
            difference("roc_auc", 0.003, around(-0.0395, 0.0055), passed=False),
            "ROC AUC fell by 0.040 (95% CI 0.034 to 0.045); at most 0.003 is allowed",
        ),
        (
            difference("roc_auc", 0.009, around(0.002, 0.003), passed=True, where="over 4 origins"),
            "ROC AUC rose by 0.002 (95% CI -0.001 to 0.005) over 4 origins; a fall of at most 0.009 is allowed",
        ),
        (
            difference("log_loss", 0.01, around(0.025, 0.005), passed=False, where="where `carrier = UA`"),
            "log loss rose by 0.025 (95% CI 0.020 to 0.030) where `carrier = UA`; at most 0.01 is allowed",
        ),
        (
            difference("brier_score", 0.001, around(-0.0004, 0.0003), passed=True),
            "Brier score fell by 0.0004 (95% CI 0.0001 to 0.0007); a rise of at most 0.001 is allowed",
        ),
        (
            Check("time to predict a row", "budget", 2, 3.14159, None, passed=False, unit="ms"),
            "time to predict a row is 3.14 ms; at most 2 ms is allowed",
        ),
        (
            Check("time to predict a row", "budget", 2, None, None, passed=False, unit="ms"),
            "time to predict a row could not be measured; at most 2 ms is allowed",
        ),
        (
            Check("log_loss", "skill", 0.02, -0.0123, None, passed=False),
            "Skill in log loss over the baseline is -0.012; at least 0.02 is required",
        ),
    ],
)
def test_sentences(check: Check, sentence: str) -> None:
    assert in_words(check, 0.95) == sentence


def test_the_confidence_level_is_named() -> None:
    assert "(90% CI " in in_words(difference("roc_auc", 0.1, around(0.1, 0.1), passed=True), 0.9)


def test_floors_are_skill_over_the_baseline_on_the_same_rows(params: Callable[..., Params]) -> None:
    """A month with fewer late flights changes the metrics of the model and of the baseline."""
    gates = params().gates.model_copy(update={"skill_at_least": {"log_loss": 0.1, "roc_auc": 0.3}})
    month = skill_floors(gates, {"log_loss": 0.54, "roc_auc": 0.75}, {"log_loss": 0.65, "roc_auc": 0.5})
    assert [(check.metric, check.passed) for check in month] == [("log_loss", True), ("roc_auc", True)]
    assert month[0].found == pytest.approx(0.11 / 0.65)
    quiet = skill_floors(gates, {"log_loss": 0.38, "roc_auc": 0.62}, {"log_loss": 0.39, "roc_auc": 0.5})
    assert [check.passed for check in quiet] == [False, False]


@pytest.mark.parametrize("value", [None, np.nan])
def test_an_undefined_metric_has_no_skill(value: float | None, params: Callable[..., Params]) -> None:
    gates = params().gates.model_copy(update={"skill_at_least": {"roc_auc": 0.3}})
    (check,) = skill_floors(gates, {"roc_auc": value}, {"roc_auc": 0.5})
    assert not check.passed
    assert in_words(check, 0.95) == (
        "Skill in ROC AUC over the baseline is undefined on these rows; at least 0.3 is required"
    )


def test_each_metric_states_its_direction_once() -> None:
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == [
        "log_loss",
        "brier_score",
        "calibration_error",
    ]
