"""Checks of a model against the limits in params.yaml, as values and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.intervals import Interval
from lifecycle.shared.metrics import Metric
from lifecycle.shared.params import Gates

_FINE = 0.002  # differences with a margin below this get a fourth decimal place


@dataclass(frozen=True)
class Check:
    """A requirement on a model, with the measured value and the result.

    Attributes:
        metric: Name of a metric, or a description of any other quantity.
        rule: Meaning of `allowed` and `found`. `skill`: the skill has to be at least `allowed`; `difference`: the
            metric may be worse than the champion's by at most `allowed`; `budget`: the quantity may be at most
            `allowed`; `comparable`: candidate and champion have to be comparable; `explanation` says why they are not.
        allowed: The limit; None if the rule has none.
        found: The skill, the candidate's metric minus the champion's, or the quantity; None if it could not be
            measured.
        interval: Confidence interval of `found`; None if there is none.
        passed: Whether the requirement is met.
        where: Rows that the check covers, if not all: for example "country = DE" or "over 4 origins".
        unit: Unit of `allowed` and `found`.
        explanation: Further text for the reader.
    """

    metric: str
    rule: Literal["skill", "difference", "budget", "comparable"]
    allowed: float | None
    found: float | None
    interval: Interval | None
    passed: bool
    where: str = ""
    unit: str = ""
    explanation: str = ""


def skill_floors(gates: Gates, model: Mapping[str, float | None], baseline: Mapping[str, float | None]) -> list[Check]:
    """Check the skill of a model over the baseline on the same rows.

    Args:
        gates: Limits; only `skill_at_least` is used.
        model: Metrics of the model by name; None where a metric is undefined.
        baseline: Metrics of the baseline, likewise.
    """
    checks = []
    for name, allowed in gates.skill_at_least.items():
        value, reference = model[name], baseline[name]
        skill = None if value is None or reference is None else METRICS[name].skill(value, reference)
        if skill is not None and np.isnan(skill):
            skill = None
        passed = skill is not None and skill >= allowed
        checks.append(Check(name, "skill", allowed, skill, None, passed))
    return checks


def point_values(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the values of metrics that are reported with their intervals."""
    return {name: interval["value"] for name, interval in metrics.items()}


def in_words(check: Check, confidence: float) -> str:
    """Describe a check in a sentence, without the full stop.

    Args:
        check: A check, passed or failed.
        confidence: Confidence level of its interval, such as 0.95.
    """
    match check.rule:
        case "comparable":
            return check.explanation
        case "budget":
            measured = "could not be measured" if check.found is None else f"is {check.found:.3g} {check.unit}"
            return f"{check.metric} {measured}; at most {check.allowed:g} {check.unit} is allowed"
        case "skill":
            skill = "is undefined on these rows" if check.found is None else f"is {check.found:.3f}"
            return f"Skill in {label(check.metric)} over the baseline {skill}; at least {check.allowed:g} is required"
    return _difference(check, METRICS[check.metric], confidence)


def _difference(check: Check, metric: Metric, confidence: float) -> str:
    where = f" {check.where}" if check.where else ""
    if check.found is None or check.allowed is None:
        return f"{metric.label}{where} {check.explanation}"
    allowed = f"at most {check.allowed:g} is allowed"
    if not check.passed and check.explanation:
        allowed = f"{check.explanation}, and {allowed}"
    elif metric.improvement(check.found) > 0:
        allowed = f"{'a fall' if metric.higher_is_better else 'a rise'} of {allowed}"
    return f"{metric.label} {moved(check.found, check.interval, confidence, check.allowed)}{where}; {allowed}"


def moved(difference: float, interval: Interval | None, confidence: float, margin: float = 1.0) -> str:
    """Describe a difference with its interval, such as "fell by 0.040 (95% CI 0.034 to 0.045)"."""
    digits = 4 if margin < _FINE else 3
    sign = -1 if difference < 0 else 1
    movement = f"{'fell' if sign < 0 else 'rose'} by {abs(difference):.{digits}f}" if difference else "did not change"
    if interval is None or np.isnan(interval.low):
        return f"{movement} (no interval: too few clusters)"
    low, high = sorted((sign * interval.low, sign * interval.high))
    return f"{movement} ({confidence:.0%} CI {low:.{digits}f} to {high:.{digits}f})"


def label(metric: str) -> str:
    """Return the label of a metric; any other quantity is its own label."""
    return METRICS[metric].label if metric in METRICS else metric


def in_digits(value: float | None) -> str:
    """Format a metric with four decimals; a dash if it is undefined."""
    return "-" if value is None else f"{value:.4f}"


def reported_floors(gates: Gates, reported: Mapping[str, Any]) -> list[Check]:
    """Check the skill that `evaluate` reported in metrics.json."""
    return skill_floors(gates, point_values(reported["model"]), reported["baseline"])
