"""The gate: what params.yaml demands of a proposed model, each demand a check that is passed or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.params import Gates
from model.proposal.compare import WHOLE, Part, clearly_worse
from model.proposal.words import NAMES, number


@dataclass(frozen=True)
class Check:
    """A demand on a model.

    Attributes:
        demand: In words.
        found: What was found, in words.
        passed: Whether it is met.
    """

    demand: str
    found: str
    passed: bool


def floors(gates: Gates, reported: Mapping[str, Any]) -> list[Check]:
    """The demands on the metrics of the whole holdout, by what `evaluate` has reported."""
    checks = []
    for words, sign, bounds in (("at least", 1, gates.at_least), ("at most", -1, gates.at_most)):
        for name, bound in bounds.items():
            value = reported["model"][name]["value"]
            passed = value is not None and sign * value >= sign * bound
            checks.append(Check(f"{NAMES[name]} {words} {bound:g}", number(value), passed))
    return checks


def budgets(gates: Gates, latency: float, size: int) -> list[Check]:
    """The demands on the model file.

    Args:
        gates: The demands.
        latency: Milliseconds to predict a single row.
        size: Bytes of the model folder.
    """
    mebibytes = size / 2**20
    return [
        Check(
            f"a row predicted within {gates.latency_milliseconds:g} ms",
            f"{latency:.2f} ms",
            latency <= gates.latency_milliseconds,
        ),
        Check(
            f"model folder of at most {gates.model_mebibytes:g} MiB",
            f"{mebibytes:.1f} MiB",
            mebibytes <= gates.model_mebibytes,
        ),
    ]


def against_champion(gates: Gates, parts: Mapping[tuple[str, str], Part]) -> list[Check]:
    """The demands on the difference to the champion, overall and by slice."""
    checks = []
    for name, margin in gates.worse_by_at_most.items():
        difference = parts[WHOLE].metrics[name]
        found = f"{difference.verdict}: {interval_words(difference.delta)}"
        demand = f"{NAMES[name]} worse than the champion's by at most {margin:g}"
        checks.append(Check(demand, found, difference.verdict != "worse"))
    for name, margin in gates.slices_worse_by_at_most.items():
        judged = {key: part for key, part in parts.items() if key != WHOLE and part.rows >= gates.slice_rows}
        failed = [key for key, part in judged.items() if clearly_worse(name, part.metrics[name].delta, margin)]
        found = ", ".join(f"{column} {value}" for column, value in failed) or f"none of {len(judged)}"
        checks.append(Check(f"no slice in which {NAMES[name]} is worse by more than {margin:g}", found, not failed))
    return checks


def interval_words(delta: Any) -> str:
    """A difference with its interval."""
    return f"{delta.value:+.4f} ({delta.low:+.4f} to {delta.high:+.4f})"
