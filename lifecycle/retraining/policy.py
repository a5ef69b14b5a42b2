"""When a new model is due: the rules are in params.yaml, under ``retraining``."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from lifecycle.shared.params import Retraining


def due(check: Mapping[str, Any], last_proposed: datetime | None, policy: Retraining) -> str:
    """Say why a new model is due; empty if none is.

    Args:
        check: The newest check of production, as check.json holds it.
        last_proposed: When a new model was last proposed; None if never.
        policy: Thresholds.
    """
    until, known_until = (datetime.fromisoformat(check[name]) for name in ("until", "known_until"))
    if last_proposed and until - last_proposed < timedelta(days=policy.cooldown_days):
        return ""
    kinds = {finding["kind"] for finding in check["findings"]}
    if kinds & {"performance", "base rate", "calibration"} and kinds & {"drift", "prediction drift"}:
        return "production has drifted, and the model is worse than promised"
    age = (until - known_until).days
    if policy.max_age_days is not None and age >= policy.max_age_days:
        return f"the newest data of the champion is {age} days old"
    if check["outcomes_since"] >= policy.new_labels:
        return f"{check['outcomes_since']:,} outcomes were reported since the newest data of the champion"
    return ""
