"""When a new model is due."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from model.monitoring.check import Check
from model.monitoring.findings import Finding, Level
from model.monitoring.policy import due, known_until
from model.params import Retraining
from tests.monitoring.conftest import Watched

NOW = datetime(2013, 9, 1, tzinfo=UTC)
KNOWN = datetime(2013, 8, 1, tzinfo=UTC)
POLICY = Retraining(window="expanding", max_age_days=90, new_labels=1000, cooldown_days=14, auto_merge=False)
DRIFT = Finding("drift", "inputs", Level.WARN, "")
PREDICTIONS = Finding("prediction drift", "probability", Level.WARN, "")
WORSE = Finding("performance", "roc_auc", Level.ACT, "")
FAULT = Finding("unit", "humidity", Level.ACT, "")


@pytest.fixture
def found() -> Callable[..., Check]:
    return lambda *findings: Check("3", NOW, NOW, 1000, {}, 0, findings, [], [], 0.0, None)


def test_only_drift_and_performance_together(found: Callable[..., Check]) -> None:
    assert due(found(DRIFT, WORSE), 0, KNOWN, None, POLICY).startswith("production has drifted")
    assert due(found(PREDICTIONS, WORSE), 0, KNOWN, None, POLICY).startswith("production has drifted")
    for one in ((), (DRIFT, PREDICTIONS), (WORSE,), (FAULT, WORSE)):
        assert due(found(*one), 0, KNOWN, None, POLICY) == ""


def test_age_and_labels(found: Callable[..., Check]) -> None:
    assert due(found(), 0, NOW - timedelta(days=89), None, POLICY) == ""
    assert due(found(), 0, NOW - timedelta(days=90), None, POLICY) == "what the champion knows ended 90 days ago"
    assert due(found(), 999, KNOWN, None, POLICY) == ""
    assert due(found(), 1000, KNOWN, None, POLICY).startswith("1,000 outcomes were reported")


def test_cools_down(found: Callable[..., Check]) -> None:
    assert due(found(DRIFT, WORSE), 5000, KNOWN, NOW - timedelta(days=13), POLICY) == ""
    assert due(found(DRIFT, WORSE), 5000, KNOWN, NOW - timedelta(days=14), POLICY)


def test_what_a_model_knows_ends_with_its_holdout(watched: Watched) -> None:
    assert known_until(watched.reference) == datetime(2013, 4, 1, tzinfo=UTC)
    december = watched.reference.model_copy(update={"months": {"2013-12": watched.reference.months["2013-03"]}})
    assert known_until(december) == datetime(2014, 1, 1, tzinfo=UTC)
