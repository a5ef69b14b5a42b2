"""What a check has found: for machines, for people at a terminal, and for people at GitHub."""

import math
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from lifecycle.monitoring.check import CheckResult
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import PROBABILITY
from lifecycle.shared.metrics import METRICS
from lifecycle.shared.text import clean, table
from model import contract

FOLDER = Path("artifacts/monitoring")
CHECK = FOLDER / "check.json"

_DIGITS = 6


def as_json(found: CheckResult, known_until: datetime, outcomes_since: int) -> dict[str, Any]:
    """Return the check for machines; the retraining policy reads it.

    Args:
        found: The check.
        known_until: End of the last month that the model was trained or judged on.
        outcomes_since: Outcomes reported since then.
    """
    known = found.performance
    whole: dict[str, Any] = _rounded(
        {
            "status": found.status.name.lower(),
            "version": found.version,
            "since": found.since.isoformat(),
            "until": found.until.isoformat(),
            "known_until": known_until.isoformat(),
            "outcomes_since": outcomes_since,
            "rows": found.rows,
            "rows_of_other_versions": found.others,
            "outcomes_of_other_predictions": found.elsewhere,
            "judged": list(found.judged),
            "findings": [{**one._asdict(), "level": one.level.name.lower()} for one in found.findings],
            "drifted_importance": found.importance,
            "drift": [
                {
                    "variable": one.variable.name,
                    "method": one.distance.method,
                    "distance": one.found,
                    "threshold": one.threshold,
                    "nearest": one.compared[0],
                    "drifted": one.drifted,
                }
                for one in found.drifts
            ],
            "performance": known
            and {
                **asdict(known),
                "delay": dict(zip(("median", "ninth_decile"), known.delay, strict=True)),
                "metrics": {name: one._asdict() for name, one in known.metrics.items()},
            },
        }
    )
    return whole


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        # JSON has no NaN: the limits of an interval are unknown if all outcomes are of one day, for example.
        return round(value, _DIGITS) if math.isfinite(value) else None
    return value


def check_in_words(found: CheckResult, reference: Reference) -> str:
    """What was found, for people."""
    lines = [
        f"version {found.version}, {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC: "
        f"{found.rows:,} predictions" + "".join(f", {number:,} of {name}" for name, number in found.others.items())
    ]
    if not found.drifts:
        lines.append("Too few of them to say anything of their distribution.")
    known = found.performance
    if known:
        lines.append(
            f"{known.labelled:,} outcomes known ({known.coverage:.0%}), reported after {known.delay[0]:.1f} days, nine "
            f"of ten within {known.delay[1]:.1f}; {known.base_rate:.1%} positive, {known.predicted_rate:.1%} predicted"
        )
        for name, live in known.metrics.items():
            promised = reference.metrics[name]
            lines.append(
                f"  {METRICS[name].label:18} {live.value:.3f} [{_digits(live.low)}, {_digits(live.high)}], promised "
                f"{_digits(promised['value'])} [{_digits(promised['low'])}, {_digits(promised['high'])}]"
            )
    else:
        lines.append("No outcome known yet.")
    if found.elsewhere:
        lines.append(f"{found.elsewhere:,} outcomes were reported of predictions that are earlier, or not in the log.")
    harmless = [one.variable.name for one in found.drifts if one.drifted and one.variable.column != PROBABILITY]
    if harmless:
        lines.append(f"Drifted, with {found.importance:.1%} of the importance: {', '.join(harmless)}.")
    lines += [f"{one.level.name.lower()}: {one.kind}: {one.subject} {one.evidence}" for one in found.findings]
    return "\n".join([*lines, f"status: {found.status.name.lower()}"])


def _digits(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def as_markdown(found: CheckResult, reference: Reference) -> str:
    """What was found, for a page at GitHub: with values that clients have sent, and so cleaned."""
    drifts = [
        [
            one.variable.name,
            f"{one.found:.3f}",
            f"{one.threshold:.3f}",
            one.distance.method,
            one.compared[0],
            "drifted" if one.drifted else "",
        ]
        for one in sorted(found.drifts, key=lambda one: -one.found / one.threshold)
    ]
    header = ("variable", "distance", "allowed", "method", "most like", "")
    return clean(
        f"## {contract.NAME}: {found.status.name.lower()}\n\n```text\n{check_in_words(found, reference)}\n```\n\n"
        + (table(header, drifts, "lrrlll") if drifts else "")
    )
