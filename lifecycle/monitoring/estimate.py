"""What the metrics of production are now, as far as probabilities tell, before outcomes arrive."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lifecycle.monitoring.findings import Finding, Level
from lifecycle.monitoring.log import Log
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.clusters import cluster_sql, group_sql
from lifecycle.shared.expectation import expect
from lifecycle.shared.intervals import Interval
from lifecycle.shared.params import Params

# Findings after which probabilities may be wrong, and why.
_DOUBTS = {
    "performance": "the outcomes that are known say otherwise",
    "base rate": "the outcomes that are known differ from the predictions on average",
    "calibration": "the outcomes that are known differ less than the predictions",
    "break": "the outcomes have changed within the period",
    "drift": "the inputs have drifted to where the model has no experience",
}
_FAULT = "inputs are wrong"


@dataclass(frozen=True)
class Estimate:
    """Expected metrics of all predictions of a period.

    Attributes:
        metrics: Metrics with prediction intervals, by name.
        doubts: Why the estimate is not to be relied on; empty if nothing speaks against it.
    """

    metrics: Mapping[str, Interval]
    doubts: Sequence[str]


def estimate(log: Log, reference: Reference, findings: Sequence[Finding], confidence: float) -> Estimate | None:
    """Estimate the metrics of a version from its predicted probabilities.

    Args:
        log: Log of a period and the version.
        reference: Reference of the version.
        findings: Findings of the check so far.
        confidence: Level of the intervals.

    Returns:
        The estimate; None if the predictions are no probabilities, or if the version was released without one.
    """
    group = group_sql(cluster_sql("key").get(reference.cluster, "key"))
    metrics = expect(log.predictions.project(f"prediction, {group} AS cluster"), "cluster", reference.gaps, confidence)
    if not metrics:
        return None
    doubts = {_DOUBTS[finding.kind] for finding in findings if finding.kind in _DOUBTS}
    if any(finding.variables and finding.level is Level.ACT for finding in findings):
        doubts.add(_FAULT)
    return Estimate(metrics, sorted(doubts))


def judge_estimate(
    expected: Estimate, promised: Mapping[str, Mapping[str, float | None]], params: Params
) -> Iterator[Finding]:
    """Report metrics that are expected to be worse than on the holdout by more than their margins.

    Args:
        expected: The estimate. If there are doubts about it, nothing is reported.
        promised: Metrics of the holdout, as in metrics.json.
        params: Parameters; `monitoring.worse_by_at_most` sets the margins.
    """
    for name, margin in params.monitoring.worse_by_at_most.items():
        interval, before = expected.metrics.get(name), promised[name]["value"]
        if interval is None or before is None or expected.doubts:
            continue
        best = max(METRICS[name].improvement(interval.low - before), METRICS[name].improvement(interval.high - before))
        if best < -margin:
            limits = f"[{interval.low:.3f}, {interval.high:.3f}]"
            evidence = (
                f"is expected to be {interval.value:.3f} {limits} by the probabilities; {before:.3f} was promised, and "
                f"at most {margin:g} less is allowed."
            )
            yield Finding("expected performance", name, Level.WARN, evidence)
