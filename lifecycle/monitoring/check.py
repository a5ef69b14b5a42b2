"""The check of production: compare its requests, predictions and outcomes with what the model was trained for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lifecycle.monitoring.drift import Drift, drifted_importance, drifts
from lifecycle.monitoring.findings import KNOWN_ANYWAY, KNOWN_OF_OUTCOMES, KNOWN_OF_ROWS, Finding, Level
from lifecycle.monitoring.log import Log
from lifecycle.monitoring.performance import Performance, judge, performance
from lifecycle.monitoring.quality import quality
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import PREDICTION, Distributions, count_distributions
from lifecycle.shared.params import Monitoring, Params
from lifecycle.shared.parts import kind_of

# Number of days before the last one; the quietest of them sets the least number of predictions of a day.
_DAYS_BEFORE = 7
_HALF = 0.5
# Share of refused requests from which a changed schema is reported: fewer are mistakes of single clients.
_REFUSED = 0.01
# Share of outcomes with an impossible time from which a wrong clock is reported.
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
    findings = [*_volume(of_version, rows), *_schema(of_version, rows), *_clocks(log)]
    all_drifts, importance = list[Drift](), 0.0
    judged, live = [*KNOWN_ANYWAY], None
    if rows >= settings.rows:
        live = count_distributions(of_version.predictions, reference.bins)
        all_drifts = drifts(reference, live, (log.since + (log.until - log.since) / 2).month, settings)
        broken = list(quality(reference, live, all_drifts, settings))
        # A column with a fault is not reported as drifted, too.
        faulty = {finding.subject for finding in broken}
        unexplained = [drift for drift in all_drifts if drift.variable.name not in faulty]
        importance = drifted_importance(reference, unexplained)
        findings += [*broken, *_drift(unexplained, importance, settings)]
        judged += KNOWN_OF_ROWS
    live_performance = performance(of_version.outcomes, rows, params)
    if live_performance and live_performance.labelled >= settings.rows:
        findings += judge(live_performance, reference.metrics, params)
        judged += KNOWN_OF_OUTCOMES
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
        drifts=all_drifts,
        importance=importance,
        performance=live_performance,
        live=live,
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
    if last < min(before) * _HALF:
        evidence = (
            f"the last day has {last:,}, each of the {_DAYS_BEFORE} days before has at least {min(before):,}. "
            "Are requests refused? See the metric model_requests_total."
        )
        yield Finding("volume", "predictions", Level.WARN, evidence)


def _schema(log: Log, rows: int) -> Iterator[Finding]:
    """Report requests that break the contract, if there are many."""
    by_error = log.refusals.aggregate("field, error, sum(requests)::BIGINT AS number", "field, error")
    for field, error, number in by_error.order("number DESC, field, error").fetchall():
        if number > _REFUSED * (number + rows):
            yield Finding("schema", field or "body", Level.ACT, f"made {number:,} requests invalid: {error}.")


def _clocks(log: Log) -> Iterator[Finding]:
    """Report impossible times."""
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


def _drift(unexplained: Sequence[Drift], importance: float, settings: Monitoring) -> Iterator[Finding]:
    drifted = [drift for drift in unexplained if drift.drifted]
    if importance >= settings.drifted_importance:
        names = ", ".join(drift.variable.name for drift in drifted if drift.variable.column != PREDICTION)
        unit = kind_of(drifted[0].compared[0])
        evidence = f"differ from every {unit} that the model knows, with {importance:.0%} of the importance: {names}."
        yield Finding("drift", "inputs", Level.WARN, evidence)
    for drift in drifted:
        if drift.variable.column == PREDICTION:
            unit = kind_of(drift.compared[0])
            nearest = f"{drift.compared[0]}, by {drift.found:.2f} ({drift.distance.method})"
            evidence = f"differs from every {unit} that the model knows; the nearest is {nearest}."
            yield Finding("prediction drift", drift.variable.name, Level.WARN, evidence)
