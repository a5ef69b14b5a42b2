"""What an issue tells in addition to its findings: how sure, how much of the traffic, where, and what to do."""

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from duckdb import DuckDBPyRelation

from lifecycle.monitoring.check import CheckResult
from lifecycle.monitoring.findings import ALERT, KINDS, KNOWN_OF_OUTCOMES, Finding
from lifecycle.monitoring.log import CLUSTERED, Log
from lifecycle.monitoring.performance import widest
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.distributions import moments_of
from lifecycle.shared.histograms import Bins, Shares, shares
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.params import Params
from lifecycle.shared.text import CHART

RUNBOOK = Path("deploy/runbook.md")
_DAY = 86_400  # seconds
_WEEK = 7  # days
# A slice is named if its share of affected rows is this many times that of all, in at least as many rows.
_MORE = 1.5
_SLICE_ROWS = 30
_SLICE_OUTCOMES = 200
_BARS = 14  # of a chart
_LABEL = 12  # characters of a bar's label


class Details(NamedTuple):
    """What an issue tells of a finding.

    Attributes:
        facts: How sure it is, how much of the traffic is affected, where, and how it was a week before.
        chart: Mermaid chart of the column before and after; empty if the finding is not about a column.
    """

    facts: tuple[str, ...]
    chart: str


def details(log: Log, result: CheckResult, reference: Reference, params: Params) -> dict[Finding, Details]:
    """Return what an issue tells of each finding.

    Args:
        log: Log of the period and the version.
        result: Result of the check.
        reference: Reference of the version.
        params: Parameters; `slices` names the columns whose values are compared.
    """
    return {
        finding: Details(tuple(_facts(finding, log, result, reference, params)), _chart(finding, result, reference))
        for finding in result.findings
    }


def advice(kind: str, subjects: Sequence[str] = ()) -> str:
    """Return what the runbook says about findings of a kind, with links that work in an issue.

    Args:
        kind: Kind of the findings.
        subjects: Their subjects; alerts have a section each.
    """
    runbook = RUNBOOK.read_text(encoding="utf-8")
    sections = [(name, _section(runbook, name)) for name in (subjects if kind == ALERT else ())]
    of_alerts = [f"#### {name}\n\n{section}" for name, section in sections if section]
    return "\n\n".join([_section(runbook, KINDS[kind]), *of_alerts])


def _section(runbook: str, title: str) -> str:
    """Return the text of a section; empty if there is none."""
    found = re.search(rf"^## {re.escape(title)}\n+(.*?)(?=^##? |\Z)", runbook, re.MULTILINE | re.DOTALL)
    return found[1].strip().replace("](#", f"](../blob/main/{RUNBOOK}#") if found else ""


def _facts(finding: Finding, log: Log, result: CheckResult, reference: Reference, params: Params) -> Iterator[str]:
    if finding.variables:
        name = finding.variables[0]
        independent = result.rows / reference.effect(name, result.cluster_size)
        yield (
            f"How sure: {result.rows:,} predictions were judged, which tell as much about {name} as "
            f"{independent:,.0f} independent ones. Fewer than one in a hundred checks find such a thing by chance."
        )
    elif finding.kind in KNOWN_OF_OUTCOMES and result.performance:
        unit = widest(log.outcomes).removeprefix(CLUSTERED)
        yield (
            f"How sure: {result.performance.labelled:,} outcomes are known. The interval has a level of "
            f"{params.metrics.confidence:.0%} and takes each {unit} as a whole."
        )
        yield from _outcomes(log, params)
    if finding.affected:
        yield from _affected(finding, log, params)
    elif finding.variables and finding.since:
        since = f"time >= epoch(TIMESTAMP '{finding.since}')"
        yield f"How much of the traffic: {_share(log.predictions, since):.0%} of the predictions, all since then."
    elif finding.variables:
        yield "How much of the traffic: all of it, since the start of the period or earlier."
    weeks = [_mean(result, finding, last) for last in (0, _WEEK)] if finding.variables else []
    if len(weeks) == 2 and all(weeks):  # noqa: PLR2004 - this week and the one before
        yield f"Mean of the last {_WEEK} days: {weeks[0]}; of the {_WEEK} days before: {weeks[1]}."


def _affected(finding: Finding, log: Log, params: Params) -> Iterator[str]:
    rows, affected = log.predictions, finding.affected
    share = _share(rows, affected)
    last = log.until.timestamp() - _WEEK * _DAY
    yield f"How much of the traffic: {share:.1%} of the predictions."
    this, before = (
        _share(rows.filter(week), affected)
        for week in (f"time >= {last!r}", f"time < {last!r} AND time >= {last - _WEEK * _DAY!r}")
    )
    yield f"Last {_WEEK} days: {this:.1%}; the {_WEEK} days before: {before:.1%}."
    others = [name for name in _slices(params) if name not in finding.variables]
    share_sql = f"avg(coalesce({affected}, false)::INT)"
    worst = max((_worst(rows, name, share_sql, _SLICE_ROWS) for name in others), default=(0.0, ""))
    if worst[0] > _MORE * share:
        yield f"Most of all where {worst[1]}: {worst[0]:.1%} of these predictions."


def _outcomes(log: Log, params: Params) -> Iterator[str]:
    """Compare outcomes and predictions of the last two weeks, and name the slice in which they differ most."""
    last = log.until.timestamp() - _WEEK * _DAY
    weeks = {
        f"Last {_WEEK} days": f"time >= {last!r}",
        f"the {_WEEK} days before": f"time < {last!r} AND time >= {last - _WEEK * _DAY!r}",
    }
    told = [f"{name}: {_compared(log.outcomes.filter(week))}" for name, week in weeks.items()]
    yield f"{'; '.join(told)}."
    slices = _slices(params)
    inputs = log.predictions.project(", ".join(["key", *(f'"{name}"' for name in slices)]))
    joined = log.outcomes.join(inputs, "key")
    worst = max((_worst(joined, name, _surplus(), _SLICE_OUTCOMES) for name in slices), default=(0.0, ""))
    (whole,) = log.outcomes.aggregate(_surplus()).fetchall()[0]
    if worst[0] > _MORE * whole:
        yield f"Most of all where {worst[1]}: the mean outcome differs from the mean prediction by {worst[0]:.3g}."


def _compared(outcomes: DuckDBPyRelation) -> str:
    (rows,) = outcomes.aggregate("count(*)").fetchall()[0]
    if not rows:
        return "no outcome is known"
    observed, predicted = (TASK.summary_in_words(summary) for summary in TASK.live_summaries(outcomes))
    return f"{observed} in {rows:,} outcomes, predicted {predicted}"


def _surplus() -> str:
    """Return the SQL expression of the largest difference of the mean outcome and the mean prediction, by answer."""
    return f"greatest({', '.join(f'abs(avg({y}) - avg({p}))' for y, p in TASK.answer_sql().values())})"


def _share(rows: DuckDBPyRelation, condition: str) -> float:
    (share,) = rows.aggregate(f"avg(coalesce({condition}, false)::INT)").fetchall()[0]
    return float(share or 0.0)


def _slices(params: Params) -> list[str]:
    """Return the columns of slices that a request has."""
    requested = {column.name for column in request_columns()}
    return [name for name in params.slices if name in requested]


def _worst(rows: DuckDBPyRelation, name: str, measure: str, least: int) -> tuple[float, str]:
    """Return the largest value of a measure in a slice of at least so many rows, and the slice."""
    by_value = rows.aggregate(f'"{name}"::VARCHAR AS value, count(*) AS rows, {measure} AS measure', "value")
    worst = by_value.filter(f"rows >= {least}").order("measure DESC, value").limit(1).fetchall()
    return (float(worst[0][2]), f"{name} is {worst[0][0] or 'missing'}") if worst else (0.0, "")


def _mean(result: CheckResult, finding: Finding, back: int) -> str:
    """Return the mean of a number in the last days, or in those before; empty if there is none."""
    days = round((result.until - result.since) / timedelta(days=1))
    parts = [seen for day, seen in result.by_day.items() if days - back - _WEEK <= day < days - back]
    moments = moments_of(finding.variables[0], parts)
    return f"{moments.mean:.4g}" if moments else ""


def _chart(finding: Finding, result: CheckResult, reference: Reference) -> str:
    """Draw the first column of a finding, before and after, as a Mermaid chart."""
    if not finding.variables:
        return ""
    name = finding.variables[0]
    nearest = next(drift.compared[0] for drift in result.drifts if drift.variable.name == name)
    first = (date.fromisoformat(finding.since) - result.since.date()).days if finding.since else 0
    after = [seen.counts[name] for day, seen in result.by_day.items() if day >= first]
    now, before = shares(np.sum(after, axis=0)), shares(reference.periods[nearest].counts[name])
    bars = _bars(reference.bins[name], np.maximum(now, before))
    heights = [[100 * float(series[[*places]].sum()) for _, places in bars] for series in (now, before)]
    labels = ", ".join(f'"{label}"' for label, _ in bars)
    after_values, before_values = (", ".join(f"{height:.1f}" for height in series) for series in heights)
    since = f"since {finding.since}" if finding.since else "in production"
    lines = [
        *CHART,
        f'  title "{_plain(name, 40)}: {since} in blue, {nearest} in orange"',
        f'  x-axis "{"" if reference.bins[name].labels else "up to"}" [{labels}]',
        f'  y-axis "% of the rows" 0 --> {max(map(max, heights)):.0f}',
        f"  bar [{after_values}]",
        f"  line [{before_values}]",
        "```",
    ]
    return "\n".join(lines)


def _bars(bins: Bins, largest: Shares) -> list[tuple[str, Sequence[int]]]:
    """Return the label and the bins of each bar: the most frequent labels, or the bins of a number in pairs."""
    names = bins.names()
    if bins.labels:
        frequent = np.argsort(-largest[: len(bins.labels)], kind="stable")[: _BARS - 2]
        shown = [*sorted(frequent.tolist()), len(names) - 2, len(names) - 1]
        return [(_plain(names[place]), [place]) for place in shown]
    # A bar of a number has the upper edge of its last bin as label.
    inner, edges = range(1, len(bins.edges)), bins.edges
    pairs = [inner[start : start + 2] for start in range(0, len(inner), 2)]
    between = [(f"{edges[places[-1]]:.4g}", [*places]) for places in pairs]
    outer = [("below", [0]), ("above", [len(names) - 2]), ("missing", [len(names) - 1])]
    return [outer[0], *between, *outer[1:]]


def _plain(text: str, longest: int = _LABEL) -> str:
    """Return a text that ends no label of a chart."""
    plain = re.sub(r'["`\\#;]', "'", " ".join(text.split()))
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
