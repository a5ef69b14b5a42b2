"""What is demanded of a model, and what was found: as values, and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lifecycle.shared.intervals import Interval
from lifecycle.shared.metrics import METRICS, Metric
from lifecycle.shared.params import Gates

_FINE = 0.002  # margins below this are written with a digit more


@dataclass(frozen=True)
class Check:
    """A demand on a model.

    Attributes:
        metric: What is measured: the name of a metric, or a quantity in words.
        rule: How `allowed` and `found` are to be read. `skill`: the skill is at least so much; `difference`: the metric
            is worse than the champion's by at most so much; `budget`: the quantity is at most so much; `comparable`:
            there is a comparison, or the explanation says why there is none.
        allowed: The limit; None where the rule has none.
        found: The skill, the candidate's metric less the champion's, or the quantity; None where it could not be
            measured.
        interval: Confidence interval of what was found, where it has one.
        passed: Whether the demand is met.
        where: The rows that the check is about, if not all: for example "country = DE" or "over 4 origins".
        unit: Unit of `allowed` and `found`.
        explanation: What a reader has to know besides.
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
    """The demands on the skill of a model over the baseline on the same rows.

    Args:
        gates: Their `skill_at_least` is used.
        model: The model's metrics, by name; None where one is undefined.
        baseline: The baseline's, likewise.
    """
    checks = []
    for name, allowed in gates.skill_at_least.items():
        value, reference = model[name], baseline[name]
        skill = None if value is None or reference is None else METRICS[name].skill(value, reference)
        found = None if skill is None or np.isnan(skill) else skill
        passed = found is not None and found >= allowed
        checks.append(Check(name, "skill", allowed, found, None, passed))
    return checks


def point_values(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    """The values of metrics that are reported with their intervals."""
    return {name: interval["value"] for name, interval in metrics.items()}


def in_words(check: Check, confidence: float) -> str:
    """A check as a sentence without its full stop.

    Args:
        check: Passed or not.
        confidence: Of its interval.
    """
    match check.rule:
        case "comparable":
            return check.explanation
        case "budget":
            found = "could not be measured" if check.found is None else f"is {check.found:.3g} {check.unit}"
            return f"{check.metric} {found}; at most {check.allowed:g} {check.unit} is allowed"
        case "skill":
            found = "is undefined on these rows" if check.found is None else f"is {check.found:.3f}"
            return f"Skill in {label(check.metric)} over the baseline {found}; at least {check.allowed:g} is required"
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
    """A difference with its interval, such as "fell by 0.040 (95% CI 0.034 to 0.045)"."""
    digits = 4 if margin < _FINE else 3
    sign = -1 if difference < 0 else 1
    said = f"{'fell' if sign < 0 else 'rose'} by {abs(difference):.{digits}f}" if difference else "did not change"
    if interval is None or np.isnan(interval.low):
        return f"{said} (no interval: too few clusters)"
    low, high = sorted((sign * interval.low, sign * interval.high))
    return f"{said} ({confidence:.0%} CI {low:.{digits}f} to {high:.{digits}f})"


def label(metric: str) -> str:
    """The label of a metric; any other quantity is named in words already."""
    return METRICS[metric].label if metric in METRICS else metric


def in_digits(value: float | None) -> str:
    """A metric, or a dash where it is undefined."""
    return "-" if value is None else f"{value:.4f}"


def reported_floors(gates: Gates, reported: Mapping[str, Any]) -> list[Check]:
    """The demands on the skill of a model, by what `evaluate` wrote to metrics.json."""
    return skill_floors(gates, point_values(reported["model"]), reported["baseline"])
