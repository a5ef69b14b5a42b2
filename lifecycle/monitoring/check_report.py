"""The result of a check as JSON, as text for a terminal, and as Markdown for GitHub."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from lifecycle.monitoring.check import CheckResult
from lifecycle.monitoring.findings import Finding
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.distributions import PREDICTION
from lifecycle.shared.intervals import Interval
from lifecycle.shared.text import clean, table
from model import contract

FOLDER = Path("artifacts/monitoring")
CHECK = FOLDER / "check.json"

_DIGITS = 6


def as_json(check: CheckResult, known_until: datetime, outcomes_since: int) -> dict[str, Any]:
    """Return the check as JSON values; the retraining policy reads them.

    Args:
        check: Result of the check.
        known_until: End of the last period that the model was trained or judged on.
        outcomes_since: Number of outcomes reported since then.
    """
    known = check.performance
    whole: dict[str, Any] = _rounded(
        {
            "status": check.status.name.lower(),
            "version": check.version,
            "since": check.since.isoformat(),
            "until": check.until.isoformat(),
            "known_until": known_until.isoformat(),
            "outcomes_since": outcomes_since,
            "rows": check.rows,
            "rows_of_other_versions": check.others,
            "outcomes_of_other_predictions": check.elsewhere,
            "judged": list(check.judged),
            "findings": [_as_json(finding) for finding in check.findings],
            "drifted_importance": check.importance,
            "drift": [
                {
                    "variable": drift.variable.name,
                    "method": drift.distance.method,
                    "distance": drift.found,
                    "threshold": drift.threshold,
                    "nearest": drift.compared[0],
                    "drifted": drift.drifted,
                }
                for drift in check.drifts
            ],
            "expected": check.expected
            and {
                "metrics": {name: interval._asdict() for name, interval in check.expected.metrics.items()},
                "doubts": list(check.expected.doubts),
            },
            "performance": known
            and {
                **asdict(known),
                "delay": dict(zip(("median", "ninth_decile"), known.delay, strict=True)),
                "metrics": {name: interval._asdict() for name, interval in known.metrics.items()},
            },
        }
    )
    return whole


def _as_json(finding: Finding) -> dict[str, Any]:
    values = {**finding._asdict(), "level": finding.level.name.lower(), "variables": list(finding.variables)}
    return {name: value for name, value in values.items() if name != "affected"}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    if isinstance(value, float):
        # JSON has no NaN: the limits of an interval are unknown if all outcomes are of one day, for example.
        return round(value, _DIGITS) if math.isfinite(value) else None
    return value


def check_in_words(check: CheckResult, reference: Reference) -> str:
    """Return the result as text for a terminal."""
    lines = [
        f"version {check.version}, {check.since:%Y-%m-%d %H:%M} to {check.until:%Y-%m-%d %H:%M} UTC: "
        f"{check.rows:,} predictions" + "".join(f", {number:,} of {name}" for name, number in check.others.items())
    ]
    if not check.drifts:
        lines.append("There are too few predictions to check their distribution.")
    known, expected = check.performance, check.expected
    if known:
        lines.append(
            f"{known.labelled:,} outcomes are known ({known.coverage:.0%}), half of them reported within "
            f"{known.delay[0]:.1f} days and 90% within {known.delay[1]:.1f}: {TASK.summary_in_words(known.observed)}; "
            f"predicted: {TASK.summary_in_words(known.predicted)}"
        )
        lines += _metrics_in_words(known.metrics, reference)
    else:
        lines.append("No outcome is known yet.")
    if expected:
        lines.append("Expected of all predictions, by their probabilities alone:")
        lines += _metrics_in_words(expected.metrics, reference)
        if expected.doubts:
            lines.append(f"  Do not rely on these: {'; '.join(expected.doubts)}.")
    elif not TASK.has_probabilities:
        lines.append("Metrics are known from outcomes only: this model says nothing of its uncertainty.")
    if check.elsewhere:
        lines.append(f"{check.elsewhere:,} outcomes were reported for predictions that are earlier or not in the log.")
    faulty = {finding.subject for finding in check.findings}  # a column with a fault is not reported as drifted, too
    drifted_inputs = [
        drift.variable.name
        for drift in check.drifts
        if drift.drifted and drift.variable.column != PREDICTION and drift.variable.name not in faulty
    ]
    if drifted_inputs:
        lines.append(f"Drifted inputs, with {check.importance:.1%} of the importance: {', '.join(drifted_inputs)}.")
    lines += [f"{finding.level.name.lower()}: {finding.kind}: {finding.in_words()}" for finding in check.findings]
    return "\n".join([*lines, f"status: {check.status.name.lower()}"])


def _metrics_in_words(metrics: Mapping[str, Interval], reference: Reference) -> list[str]:
    width = max(18, *(len(METRICS[name].label) for name in metrics)) if metrics else 0
    return [
        f"  {METRICS[name].label:{width}} {live.value:.3f} [{_digits(live.low)}, {_digits(live.high)}], "
        f"promised {_digits(promised['value'])} [{_digits(promised['low'])}, {_digits(promised['high'])}]"
        for name, live in metrics.items()
        for promised in [reference.metrics[name]]
    ]


def _digits(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def as_markdown(check: CheckResult, reference: Reference) -> str:
    """Return the result as Markdown for GitHub, cleaned because it contains values that clients have sent."""
    drifts = [
        [
            drift.variable.name,
            f"{drift.found:.3f}",
            f"{drift.threshold:.3f}",
            drift.distance.method,
            drift.compared[0],
            "drifted" if drift.drifted else "",
        ]
        for drift in sorted(check.drifts, key=lambda drift: -drift.found / drift.threshold)
    ]
    header = ("variable", "distance", "allowed", "method", "nearest", "")
    return clean(
        f"## {contract.NAME}: {check.status.name.lower()}\n\n```text\n{check_in_words(check, reference)}\n```\n\n"
        + (table(header, drifts, "lrrlll") if drifts else "")
    )
