"""Rules that say when a new model is due."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lifecycle.monitoring.check import CheckResult
from lifecycle.monitoring.check_report import as_json
from lifecycle.monitoring.findings import Finding, Level
from lifecycle.retraining.policy import due
from lifecycle.shared.params import Retraining

NOW = datetime(2013, 9, 1, tzinfo=UTC)
KNOWN = datetime(2013, 8, 1, tzinfo=UTC)
POLICY = Retraining(window="expanding", max_age_days=90, new_labels=1000, cooldown_days=14, auto_merge=False)
DRIFT = Finding("drift", "inputs", Level.WARN, "")
PREDICTIONS = Finding("prediction drift", "probability", Level.WARN, "")
WORSE = Finding("performance", "roc_auc", Level.ACT, "")
FAULT = Finding("unit", "humidity", Level.ACT, "")


@pytest.fixture
def checked() -> Callable[..., dict[str, Any]]:
    """Return a function that makes the content of check.json."""

    def make(*findings: Finding, known: datetime = KNOWN, outcomes: int = 0) -> dict[str, Any]:
        check = CheckResult("3", NOW, NOW, 1000, {}, 0, findings, [], [], 0.0, None, None)
        return as_json(check, known, outcomes)

    return make


def test_only_drift_and_performance_together(checked: Callable[..., dict[str, Any]]) -> None:
    assert due(checked(DRIFT, WORSE), None, POLICY).startswith("production has drifted")
    assert due(checked(PREDICTIONS, WORSE), None, POLICY).startswith("production has drifted")
    for findings in ((), (DRIFT, PREDICTIONS), (WORSE,), (FAULT, WORSE)):
        assert due(checked(*findings), None, POLICY) == ""


def test_age_and_labels(checked: Callable[..., dict[str, Any]]) -> None:
    assert due(checked(known=NOW - timedelta(days=89)), None, POLICY) == ""
    because = due(checked(known=NOW - timedelta(days=90)), None, POLICY)
    assert because == "the newest data of the champion is 90 days old"
    assert due(checked(outcomes=999), None, POLICY) == ""
    assert due(checked(outcomes=1000), None, POLICY).startswith("1,000 outcomes were reported")


def test_cools_down(checked: Callable[..., dict[str, Any]]) -> None:
    everything = checked(DRIFT, WORSE, outcomes=5000)
    assert due(everything, NOW - timedelta(days=13), POLICY) == ""
    assert due(everything, NOW - timedelta(days=14), POLICY)
