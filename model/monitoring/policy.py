"""When a new model is due. What decides is in params.yaml, under `retraining`."""

from datetime import UTC, datetime, timedelta

from model.monitoring.check import Check
from model.params import Retraining
from model.release.reference import Reference


def known_until(reference: Reference) -> datetime:
    """The end of the last month that a model was trained or judged on."""
    year, month = map(int, max(reference.months).split("-"))
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def due(found: Check, labels: int, known: datetime, last_proposed: datetime | None, policy: Retraining) -> str:
    """Why a new model is due; empty where none is.

    Args:
        found: What the check has found.
        labels: Outcomes that were reported since what the champion knows.
        known: The end of that.
        last_proposed: When a new model was proposed the last time, if ever.
        policy: From when on.
    """
    if last_proposed and found.until - last_proposed < timedelta(days=policy.cooldown_days):
        return ""
    kinds = {finding.kind for finding in found.findings}
    if "performance" in kinds and kinds & {"drift", "prediction drift"}:
        return "production has drifted, and the model is worse than promised"
    age = (found.until - known).days
    if age >= policy.max_age_days:
        return f"what the champion knows ended {age} days ago"
    if labels >= policy.new_labels:
        return f"{labels:,} outcomes were reported since what the champion knows"
    return ""
