"""The check of production: compare its requests, predictions and outcomes with what the model was trained for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scipy.special import pdtr

from lifecycle.monitoring.drift import Drift
from lifecycle.monitoring.estimate import Estimate, estimate, judge_estimate
from lifecycle.monitoring.findings import (
    KNOWN_ANYWAY,
    KNOWN_OF_OUTCOMES,
    KNOWN_OF_ROWS,
    KNOWN_OF_SOME_OUTCOMES,
    Finding,
    Level,
)
from lifecycle.monitoring.input_check import check_inputs
from lifecycle.monitoring.log import Log
from lifecycle.monitoring.outcome_check import check_outcomes
from lifecycle.monitoring.performance import Performance, judge, performance, widest
from lifecycle.monitoring.selected_outcomes import find_selection
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import Distributions
from lifecycle.shared.inputs import event_time
from lifecycle.shared.params import Params

# Number of days before the last one; the quietest of them sets the least number of predictions of a day.
_DAYS_BEFORE = 7
_HALF = 0.5
_CHANCE = 1e-4
# Share of refused requests from which a changed schema is reported: fewer are mistakes of single clients.
_REFUSED = 0.01
# Days from the time of a prediction to that of its event: more than a season's, and less than a year.
_PRESENT = 300
# Share of times that are impossible from which they are reported.
_EARLY = 0.01


@dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    Attributes:
        version: Version that was checked.
        since: Start of the period.
        until: End of the period, exclusive.
        rows: Number of predictions of this version in the period.
        others: Number of predictions in the period by each other version.
        elsewhere: Number of outcomes reported in the period for predictions outside of it.
        findings: Problems, the worst first.
        judged: Kinds of problems for which there was enough data.
        drifts: Drift of each variable; empty if there are too few rows.
        importance: Share of the drifted columns in the importance of all columns, from 0 to 1.
        performance: Performance on the rows with known outcomes; None if no outcome is known.
        live: Distributions of inputs and predictions; None if there are too few rows.
        expected: What the metrics of all predictions are expected to be; None if there are too few rows, or if the
            predictions are no probabilities.
        by_day: Distributions by day, counted from the start of the period; empty if there are too few rows.
        cluster_size: Number of rows in the cluster of a row, on average.
    """

    version: str
    since: datetime
    until: datetime
    rows: int
    others: dict[str, int]
    elsewhere: int
    findings: Sequence[Finding]
    judged: Sequence[str]
    drifts: Sequence[Drift]
    importance: float
    performance: Performance | None
    live: Distributions | None
    expected: Estimate | None = None
    by_day: Mapping[int, Distributions] = field(default_factory=dict)
    cluster_size: float = 1.0

    @property
    def status(self) -> Level:
        """The level of the worst finding."""
        return max((finding.level for finding in self.findings), default=Level.OK)


def check(log: Log, version: str, reference: Reference, params: Params) -> CheckResult:
    """Compare the logged predictions of a version with its reference.

    Args:
        log: Prediction log of the period.
        version: Name of the version, as the service reports it.
        reference: Reference of this version.
        params: Parameters; `monitoring` sets the thresholds.
    """
    settings, of_version = params.monitoring, log.of(version)
    others = dict(log.predictions.aggregate("model_version, count(*)", "model_version").order("1").fetchall())
    rows = others.pop(version, 0)
    findings = [*_volume(of_version, rows), *_schema(of_version, rows), *_clocks(log, of_version, rows, reference)]
    judged, inputs = [*KNOWN_ANYWAY], None
    if rows >= settings.rows:
        inputs = check_inputs(of_version, reference, settings)
        findings += inputs.findings
        judged += KNOWN_OF_ROWS
    live_performance = performance(of_version.outcomes, rows, params)
    if live_performance and rows >= settings.rows:
        group, confidence = widest(of_version.outcomes), params.metrics.confidence
        selected = find_selection(of_version, group, live_performance.delay[1], confidence)
        if selected:
            findings.append(Finding("labels", "outcomes", Level.WARN, selected))
        judged += KNOWN_OF_SOME_OUTCOMES
        if live_performance.labelled >= settings.rows:
            findings += judge(live_performance, reference.metrics, params)
            findings += check_outcomes(of_version, group, reference.calibration, confidence, selected=bool(selected))
            judged += KNOWN_OF_OUTCOMES
    expected = estimate(of_version, reference, findings, params.metrics.confidence) if inputs else None
    if expected:
        findings += judge_estimate(expected, reference.metrics, params)
    findings.sort(key=lambda finding: -finding.level)
    return CheckResult(
        version=version,
        since=log.since,
        until=log.until,
        rows=rows,
        others=others,
        elsewhere=log.elsewhere,
        findings=findings,
        judged=judged,
        drifts=inputs.drifts if inputs else [],
        importance=inputs.importance if inputs else 0.0,
        performance=live_performance,
        expected=expected,
        live=inputs.live.seen if inputs else None,
        by_day=inputs.live.by_day if inputs else {},
        cluster_size=inputs.live.cluster_size if inputs else 1.0,
    )


def _volume(log: Log, rows: int) -> Iterator[Finding]:
    """Report fewer predictions than on the days before."""
    if not rows:
        yield Finding("volume", "predictions", Level.WARN, "there are none in this period.")
        return
    day = f"floor(({log.until.timestamp()!r} - time) / 86400)::INT AS days_ago"
    by_day = dict(log.predictions.project(day).aggregate("days_ago, count(*)", "days_ago").fetchall())
    before = [by_day.get(days_ago, 0) for days_ago in range(1, _DAYS_BEFORE + 1)]
    last = by_day.get(0, 0)
    # Probability of so few, if as many were expected as on the quietest day.
    chance = pdtr(last, min(before))
    if last < min(before) * _HALF and chance < _CHANCE:
        evidence = (
            f"the last day has {last:,}, each of the {_DAYS_BEFORE} days before has at least {min(before):,}. "
            "Are requests refused? See the metric model_requests_total."
        )
        yield Finding("volume", "predictions", Level.WARN, evidence)


def _schema(log: Log, rows: int) -> Iterator[Finding]:
    """Report requests that break the contract, if there are many."""
    by_error = log.refusals.aggregate("field, error, sum(requests)::BIGINT AS number", "field, error")
    for name, error, number in by_error.order("number DESC, field, error").fetchall():
        if number > _REFUSED * (number + rows):
            yield Finding("schema", name or "body", Level.ACT, f"made {number:,} requests invalid: {error}.")


def _clocks(log: Log, of_version: Log, rows: int, reference: Reference) -> Iterator[Finding]:
    """Report impossible times, and rows whose event is neither near their prediction nor in the data of the model."""
    event = event_time()
    if event and reference.times:
        first, last = reference.times
        days = f'(epoch("{event}") - time) / 86400'
        known = f"\"{event}\" BETWEEN TIMESTAMP '{first}' AND TIMESTAMP '{last}'"
        away = of_version.predictions.filter(f"abs({days}) > {_PRESENT} AND NOT {known}")
        ((number, least, most),) = away.aggregate(f"count(*), min({days}), max({days})").fetchall()
        if number > _EARLY * rows:
            evidence = (
                f"is more than {_PRESENT} days away from the time of the prediction in {number / rows:.1%} of the rows "
                f"({_away(least)} to {_away(most)}), and the data of the model has no such times, either."
            )
            yield Finding("clock", event, Level.WARN, evidence)
    if log.ahead:
        yield Finding(
            "clock",
            "predictions",
            Level.WARN,
            f"{log.ahead:,} lie in the future, by the clock of this machine.",
        )
    early, reported = log.outcomes.aggregate("count(*) FILTER (reported < time), count(*)").fetchall()[0]
    if early > _EARLY * reported:
        yield Finding(
            "clock", "outcomes", Level.WARN, f"{early:,} of {reported:,} have a time before that of their prediction."
        )


def _away(days: float) -> str:
    return f"{abs(days):,.0f} days {'before' if days < 0 else 'after'}"
