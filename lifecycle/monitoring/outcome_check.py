"""The check of the outcomes: whether they agree with the predictions as they did on the holdout."""

from collections.abc import Iterator

from lifecycle.monitoring.findings import Finding, Level
from lifecycle.monitoring.log import Log
from lifecycle.monitoring.outcome_break import find_break
from lifecycle.shared.calibration import Calibration, OutcomeSums
from lifecycle.shared.chosen_task import TASK

# A smaller difference of outcomes and predictions does not matter, in standard deviations of the outcomes.
_SURPLUS = 0.1
# A larger slope of the outcomes on the predictions does not matter.
_SLOPE = 0.75


def check_outcomes(
    log: Log, group: str, promised: Calibration | None, confidence: float, *, selected: bool
) -> Iterator[Finding]:
    """Report outcomes that do not agree with the predictions as they did on the holdout.

    Args:
        log: Log of a period and a version, with outcomes.
        group: Column of the groups of clusters in its outcomes.
        promised: Calibration on the holdout; None if the reference of the version has none.
        confidence: Level of the intervals.
        selected: Whether the outcomes are selected. Then they may differ for that reason alone.
    """
    broken = find_break(log, group)
    if broken:
        evidence, since = broken
        yield Finding("break", "outcomes", Level.ACT, evidence, since)
    if promised and not selected:
        yield from _calibration(log, group, promised, confidence)


def _calibration(log: Log, group: str, promised: Calibration, confidence: float) -> Iterator[Finding]:
    sums = OutcomeSums.of(log.outcomes, f'"{group}"')
    observed, predicted = (TASK.summary_in_words(summary) for summary in TASK.live_summaries(log.outcomes))
    for name, surplus in sums.surplus_intervals(confidence).items():
        bound = max(_SURPLUS * promised.deviation[name], promised.surplus[name])
        if surplus.low > bound or surplus.high < -bound:
            evidence = (
                f"differs from the predictions by {surplus.value:+.3g} [{surplus.low:+.3g}, {surplus.high:+.3g}] on "
                f"average; up to {bound:.2g} may be chance or does not matter. Observed: {observed}; predicted: "
                f"{predicted}."
            )
            yield Finding("base rate", name, Level.ACT, evidence)
    slope = sums.slope_interval(confidence)
    bound = _SLOPE if promised.slope is None else min(_SLOPE, promised.slope)
    if slope.high < bound:
        evidence = (
            f"are too extreme: where they differ by 1, the outcomes differ by {slope.value:.2f} "
            f"[{slope.low:.2f}, {slope.high:.2f}] on average; at least {bound:.2f} is expected."
        )
        yield Finding("calibration", "predictions", Level.ACT, evidence)
