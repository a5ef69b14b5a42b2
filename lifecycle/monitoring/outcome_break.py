"""A day since when outcomes no longer agree with the predictions as before."""

from datetime import timedelta

import numpy as np

from lifecycle.monitoring.log import Log
from lifecycle.shared.calibration import OutcomeSums, slope, surplus
from lifecycle.shared.metrics import Floats

# There are at least this many days with outcomes before a break and after it.
_DAYS = 4
# Random orders of the days, and the share of them in which as large a break may be found by chance.
_ORDERS = 2_000
_CHANCE = 0.001
# A break is reported if the slope falls to less than this part of what it was.
_SLOPE = 0.5
# A break is reported if the difference of outcomes and predictions changes by more standard deviations of the outcomes.
_SURPLUS = 0.25


def find_break(log: Log, group: str) -> tuple[str, str] | None:
    """Say since when outcomes agree less with the predictions.

    Each day could be the first one after a break. The largest change is compared with the largest ones of the same days
    in random orders, so that there is no false alarm for having searched.

    Args:
        log: Log of a period and a version, with outcomes.
        group: Column of the groups of clusters in its outcomes. If they are few, days do not differ by chance alone.

    Returns:
        What has changed, as the rest of a sentence that begins with "outcomes", and the first day, in ISO 8601; None if
        nothing has.
    """
    by_day = OutcomeSums.of(log.outcomes, log.day)
    days = len(by_day.parts)
    (clusters,) = log.outcomes.aggregate(f'count(DISTINCT "{group}")').fetchall()[0]
    if min(days, clusters) < 2 * _DAYS:
        return None
    random = np.random.default_rng(0)
    orders = np.array([np.arange(days), *(random.permutation(days) for _ in range(_ORDERS))])
    rows, sums = np.cumsum(by_day.rows[orders], axis=1), np.cumsum(by_day.sums[orders], axis=1)
    last_before = slice(_DAYS - 1, days - _DAYS)
    before = rows[:, last_before], sums[:, last_before]
    after = rows[:, -1:] - before[0], sums[:, -1:] - before[1]

    def first_day(place: int) -> str:
        return f"{log.since + timedelta(days=int(by_day.parts[place + _DAYS])):%Y-%m-%d}"

    slopes = slope(*before), slope(*after)
    place = _certain(np.nan_to_num(slopes[0] - slopes[1]), days)
    if place is not None and slopes[1][0, place] < _SLOPE * slopes[0][0, place]:
        evidence = (
            "follow the predictions less than before: where predictions differ by 1, outcomes differ by "
            f"{slopes[1][0, place]:.2f} on average, before by {slopes[0][0, place]:.2f}."
        )
        return evidence, first_day(place)
    surpluses = surplus(*before), surplus(*after)
    spread = np.array([*by_day.deviations().values()])
    changes = np.abs(np.nan_to_num(surpluses[1] - surpluses[0])) / np.where(spread > 0, spread, np.inf)
    place = _certain(changes.max(axis=-1), days)
    if place is not None and changes[0, place].max() > _SURPLUS:
        answer = int(changes[0, place].argmax())
        evidence = (
            f"differ from the predictions by {surpluses[1][0, place, answer]:+.3g} on average, before by "
            f"{surpluses[0][0, place, answer]:+.3g}."
        )
        return evidence, first_day(place)
    return None


def _certain(changes: Floats, days: int) -> int | None:
    """Return the place of the largest change if it is not by chance, else None.

    Args:
        changes: Change at each place, of shape (orders, places); the first order is the true one.
        days: Number of days.
    """
    before = np.arange(_DAYS, days - _DAYS + 1)
    scaled = changes * np.sqrt(before * (days - before))  # as the standard error of a difference of two means
    largest = scaled.max(axis=1)
    return int(scaled[0].argmax()) if (largest[1:] >= largest[0]).mean() < _CHANCE else None
