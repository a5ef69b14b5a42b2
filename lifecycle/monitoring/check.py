"""The check: is what production is asked, answers and achieves what the model was made for?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lifecycle.monitoring.drift import Drift, drifted_importance, drifts
from lifecycle.monitoring.findings import KNOWN_ANYWAY, KNOWN_OF_OUTCOMES, KNOWN_OF_ROWS, Finding, Level
from lifecycle.monitoring.log import Log
from lifecycle.monitoring.performance import Performance, judge, performance
from lifecycle.monitoring.quality import quality
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import PROBABILITY, Distributions, count_distributions
from lifecycle.shared.params import Monitoring, Params

# Days of which the quietest tells how few predictions a day may have.
_DAYS_BEFORE = 7
_HALF = 0.5
# The share of refused requests from which on not only a client has made a mistake.
_REFUSED = 0.01
# The share of outcomes with an impossible time that is no accident.
_EARLY = 0.01


@dataclass(frozen=True)
class CheckResult:
    """What a check has found.

    Attributes:
        version: That was checked.
        since: The first moment of the period.
        until: The first one after it.
        rows: How many predictions of this version are in it.
        others: And how many of others.
        elsewhere: How many outcomes were reported meanwhile of predictions that are not in it.
        findings: The worst first.
        judged: The kinds of trouble that there was enough for to find them.
        drifts: Of each variable; of none where there are too few rows.
        importance: The share of those that have drifted in the importance of all columns.
        performance: As far as outcomes are known.
        live: How inputs and answers are distributed; None where there are too few rows.
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
        """The worst of what was found."""
        return max((finding.level for finding in self.findings), default=Level.OK)


def check(log: Log, version: str, reference: Reference, params: Params) -> CheckResult:
    """Compare what the log has of a version with its reference.

    Args:
        log: Of the period.
        version: As the service calls it.
        reference: Of this version.
        params: Their `monitoring` says what may be.
    """
    settings, mine = params.monitoring, log.of(version)
    others = dict(log.predictions.aggregate("model_version, count(*)", "model_version").order("1").fetchall())
    rows = others.pop(version, 0)
    findings, found, importance = [*_volume(mine, rows), *_schema(mine, rows), *_clocks(log)], list[Drift](), 0.0
    judged, live = [*KNOWN_ANYWAY], None
    if rows >= settings.rows:
        live = count_distributions(mine.predictions, reference.bins)
        found = drifts(reference, live, (log.since + (log.until - log.since) / 2).month, settings)
        broken = list(quality(reference, live, found, settings))
        # What has a simpler explanation is no drift.
        unexplained = [one for one in found if one.variable.name not in {finding.subject for finding in broken}]
        importance = drifted_importance(reference, unexplained)
        findings += [*broken, *_drift(unexplained, importance, settings)]
        judged += KNOWN_OF_ROWS
    known = performance(mine.outcomes, rows, params)
    if known and known.labelled >= settings.rows:
        findings += judge(known, reference.metrics, params)
        judged += KNOWN_OF_OUTCOMES
    findings.sort(key=lambda finding: -finding.level)
    return CheckResult(
        version, log.since, log.until, rows, others, log.elsewhere, findings, judged, found, importance, known, live
    )


def _volume(log: Log, rows: int) -> Iterator[Finding]:
    """Are there fewer predictions than there were?"""
    if not rows:
        yield Finding("volume", "predictions", Level.WARN, "there are none in this time.")
        return
    day = f"floor(({log.until.timestamp()!r} - time) / 86400)::INT AS days_ago"
    by_day = dict(log.predictions.project(day).aggregate("days_ago, count(*)", "days_ago").fetchall())
    before = [by_day.get(days_ago, 0) for days_ago in range(1, _DAYS_BEFORE + 1)]
    last = by_day.get(0, 0)
    if last < min(before) * _HALF:
        said = f"the last day has {last:,}, each of the {_DAYS_BEFORE} days before has at least {min(before):,}."
        yield Finding("volume", "predictions", Level.WARN, f"{said} Are requests refused? See model_requests_total.")


def _schema(log: Log, rows: int) -> Iterator[Finding]:
    """Do many requests break the contract?"""
    by_error = log.refusals.aggregate("field, error, sum(requests)::BIGINT AS number", "field, error")
    for field, error, number in by_error.order("number DESC, field, error").fetchall():
        if number > _REFUSED * (number + rows):
            yield Finding("schema", field or "body", Level.ACT, f"kept {number:,} requests from an answer: {error}.")


def _clocks(log: Log) -> Iterator[Finding]:
    """Are there times that cannot be?"""
    if log.ahead:
        yield Finding(
            "clock", "predictions", Level.WARN, f"{log.ahead:,} are of the future, by the clock of this machine."
        )
    early, reported = log.outcomes.aggregate("count(*) FILTER (reported < time), count(*)").fetchall()[0]
    if early > _EARLY * reported:
        yield Finding(
            "clock", "outcomes", Level.WARN, f"{early:,} of {reported:,} were reported before their prediction."
        )


def _drift(found: Sequence[Drift], importance: float, settings: Monitoring) -> Iterator[Finding]:
    drifted = [one for one in found if one.drifted]
    if importance >= settings.drifted_importance:
        names = ", ".join(one.variable.name for one in drifted if one.variable.column != PROBABILITY)
        said = f"are like in no month that the model knows, with {importance:.0%} of the importance: {names}."
        yield Finding("drift", "inputs", Level.WARN, said)
    for one in drifted:
        if one.variable.column == PROBABILITY:
            away = f"{one.found:.2f} from {one.compared[0]} by {one.distance.method}"
            said = f"is like in no month that the model knows: {away}."
            yield Finding("prediction drift", PROBABILITY, Level.WARN, said)
