"""The check of the inputs and predictions of a period: faults upstream, repeated rows, and drift."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from duckdb import DuckDBPyRelation

from lifecycle.monitoring.displaced import displaced
from lifecycle.monitoring.drift import Drift, drifted_importance, drifts
from lifecycle.monitoring.findings import Finding, Level
from lifecycle.monitoring.live import Live
from lifecycle.monitoring.log import Log
from lifecycle.monitoring.quality import quality
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.clusters import cluster_sql
from lifecycle.shared.distributions import PREDICTION, Distributions, cluster_size, count_parts, merge
from lifecycle.shared.inputs import event_time, request_columns
from lifecycle.shared.params import Monitoring
from lifecycle.shared.parts import kind_of
from model import contract

# Share of the period, at its end, that is also judged on its own: a fault that has just begun is a small part of all.
_RECENT = 0.25


class InputCheck(NamedTuple):
    """The check of the inputs and predictions of a period.

    Attributes:
        findings: Problems.
        drifts: Drift of each variable.
        importance: Share of the drifted columns in the importance of all columns, from 0 to 1.
        live: The rows that were checked.
    """

    findings: Sequence[Finding]
    drifts: Sequence[Drift]
    importance: float
    live: Live


def check_inputs(log: Log, reference: Reference, settings: Monitoring) -> InputCheck:
    """Compare inputs and predictions with the reference.

    Args:
        log: Log of a period and a version; it has at least one prediction.
        reference: Reference of the version.
        settings: Thresholds.
    """
    whole, last = _live(log, reference)
    all_drifts = drifts(whole, settings)
    faults, explained = _faults(whole, all_drifts, settings)
    if last and last.seen.rows >= settings.rows:
        unexplained = [drift for drift in drifts(last, settings) if drift.variable.name not in explained]
        recent, explained_recently = _faults(last, unexplained, settings)
        start = f"{log.until - (log.until - log.since) * _RECENT:%Y-%m-%d}"
        known = {(finding.kind, finding.subject) for finding in faults}
        faults += [finding._replace(since=start) for finding in recent if (finding.kind, finding.subject) not in known]
        explained |= explained_recently
    # A column with a fault is not reported as drifted, too.
    unexplained = [drift for drift in all_drifts if drift.variable.name not in explained]
    importance = drifted_importance(reference, unexplained)
    findings = [*faults, *_drift(unexplained, importance, settings)]
    dated = [finding._replace(since=_began(whole, finding, log.since) or finding.since) for finding in findings]
    return InputCheck([*dated, *_repeated(whole, settings)], all_drifts, importance, whole)


def _live(log: Log, reference: Reference) -> tuple[Live, Live | None]:
    """Return the predictions of the whole period, and those of its last days."""
    by_day = count_parts(log.predictions, reference.bins, log.day)
    first = math.ceil((log.until - log.since) / timedelta(days=1) * (1 - _RECENT))
    recent = {number: seen for number, seen in by_day.items() if number >= first}
    cluster = cluster_sql("key").get(reference.cluster, "key")

    def live(rows: DuckDBPyRelation, days: Mapping[int, Distributions]) -> Live:
        return Live(reference, rows, merge([*days.values()]), days, cluster_size(rows, cluster), _months(rows))

    last_rows = log.predictions.filter(f"{log.day} >= {first}")
    return live(log.predictions, by_day), live(last_rows, recent) if recent else None


def _months(rows: DuckDBPyRelation) -> dict[int, float]:
    """Return the share of rows by month of their event, or else of their prediction."""
    event, predicted = event_time(), "make_timestamp((time * 1e6)::BIGINT)"
    time = f'coalesce("{event}", {predicted})' if event else predicted
    counted = rows.aggregate(f"month({time}) AS month, count(*)", "month").fetchall()
    total = sum(number for _, number in counted)
    return {month: number / total for month, number in counted}


def _faults(live: Live, all_drifts: Sequence[Drift], settings: Monitoring) -> tuple[list[Finding], set[str]]:
    """Return the faults of the inputs, and the names of the variables that they explain."""
    moved = displaced(live, all_drifts, settings)
    explained = {name for finding in moved for name in finding.variables}
    in_place = [drift for drift in all_drifts if drift.variable.name not in explained]
    faults = [*moved, *quality(live, in_place, settings)]
    return faults, {name for finding in faults for name in finding.variables}


def _began(live: Live, finding: Finding, since: datetime) -> str:
    """Return the first day with a problem, in ISO 8601; empty if there is no day that sets the variables apart."""
    first = [day for name in finding.variables if (day := live.changed(name)) is not None]
    return f"{since + timedelta(days=min(first)):%Y-%m-%d}" if first else ""


def _drift(unexplained: Sequence[Drift], importance: float, settings: Monitoring) -> Iterator[Finding]:
    drifted = [drift for drift in unexplained if drift.drifted]
    if importance >= settings.drifted_importance:
        names = tuple(drift.variable.name for drift in drifted if drift.variable.column != PREDICTION)
        unit = kind_of(drifted[0].compared[0])
        evidence = f"differ from every {unit} that the model knows, with {importance:.0%} of the importance: "
        evidence += f"{', '.join(names)}."
        yield Finding("drift", "inputs", Level.WARN, evidence, variables=names)
    for drift in drifted:
        if drift.variable.column == PREDICTION:
            unit = kind_of(drift.compared[0])
            nearest = f"{drift.compared[0]}, by {drift.found:.2f} ({drift.distance.method})"
            evidence = f"differs from every {unit} that the model knows; the nearest is {nearest}."
            yield Finding(
                "prediction drift", drift.variable.name, Level.WARN, evidence, variables=(drift.variable.name,)
            )


def _repeated(live: Live, settings: Monitoring) -> Iterator[Finding]:
    """Report rows that are predicted more than once, if requests have the identity of their row."""
    requested, identity = [column.name for column in request_columns()], contract.IDENTITY
    total, allowed = live.seen.rows, settings.repeated * live.seen.rows
    if not identity or not {*identity} <= {*requested}:
        return
    # The estimate is a few per cent off; exact numbers need memory.
    (distinct,) = live.rows.aggregate(f"approx_count_distinct({_hash(identity)})").fetchall()[0]
    if total - distinct < allowed / 2:
        return
    repeated, same = (total - _count_distinct(live.rows, columns) for columns in (identity, requested))
    if repeated > allowed:
        evidence = (
            f"{repeated / total:.1%} have the {', '.join(identity)} of an earlier one: {same / total:.1%} are copies, "
            f"{(repeated - same) / total:.1%} have other inputs. Live metrics count each of them."
        )
        yield Finding("repeated", "predictions", Level.WARN, evidence)


def _count_distinct(rows: DuckDBPyRelation, columns: Sequence[str]) -> int:
    hashed = rows.project(f"{_hash(columns)} AS identity").distinct()
    return int(hashed.aggregate("count(*)").fetchall()[0][0])


def _hash(columns: Sequence[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in columns)
    return f"hash({quoted})"
