"""What params.yaml demands of the metrics on the holdout, whatever is in production."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from model.params import Gates, MetricName
from model.pipeline.metrics import IN_WORDS


class Check(NamedTuple):
    """A demand on a model.

    Attributes:
        demand: In words.
        found: What was found, in words.
        passed: Whether it is met.
    """

    demand: str
    found: str
    passed: bool


def floors(gates: Gates, reported: Mapping[str, Any]) -> dict[MetricName, list[Check]]:
    """The demands on each metric.

    Args:
        gates: Their floors and ceilings are used.
        reported: What `evaluate` wrote to metrics.json.
    """
    checks: dict[MetricName, list[Check]] = {}
    for words, sign, bounds in (("at least", 1, gates.at_least), ("at most", -1, gates.at_most)):
        for name, bound in bounds.items():
            value = reported["model"][name]["value"]
            passed = value is not None and sign * value >= sign * bound
            check = Check(f"{IN_WORDS[name]} {words} {bound:g}", in_digits(value), passed)
            checks.setdefault(name, []).append(check)
    return checks


def in_digits(value: float | None) -> str:
    """A metric, or a dash where it is undefined."""
    return "-" if value is None else f"{value:.4f}"
