"""Live performance: metrics of the predictions with known outcomes, compared with those of the holdout.

Rows are counted by group of clusters; see `Task.live`. The metric without a group is computed from the counts without
that group, so that ten million rows take no longer than ten thousand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from duckdb import DuckDBPyRelation

from lifecycle.monitoring.findings import Finding, Level
from lifecycle.monitoring.log import CLUSTERED
from lifecycle.pipeline.checks import moved
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.intervals import Interval, jackknife
from lifecycle.shared.params import Params


@dataclass(frozen=True)
class Performance:
    """Performance on the predictions of a period whose outcomes are known.

    Attributes:
        labelled: Number of predictions with a known outcome.
        coverage: Share of predictions with a known outcome, from 0 to 1.
        delay: Median and 90% quantile of the days from a prediction to the report of its outcome.
        observed: Summary of the outcomes, as of `Task.summary`.
        predicted: The same summary of the predictions.
        metrics: Metrics with intervals, by name. A metric that is undefined, because all outcomes are the same, is left
            out; limits of an interval are NaN if there are fewer than two clusters.
    """

    labelled: int
    coverage: float
    delay: tuple[float, float]
    observed: Mapping[str, float]
    predicted: Mapping[str, float]
    metrics: Mapping[str, Interval]


def performance(outcomes: DuckDBPyRelation, predictions: int, params: Params) -> Performance | None:
    """Compute the performance on the predictions with known outcomes.

    Args:
        outcomes: Rows with outcomes, with the columns that `log.Log` describes.
        predictions: Number of all predictions, with or without an outcome.
        params: Parameters; `metrics` sets the confidence level.

    Returns:
        The performance; None if no outcome is known.
    """
    days = "(reported - time) / 86400"
    (summary,) = outcomes.aggregate(f"count(*), quantile_cont({days}, [0.5, 0.9])").fetchall()
    labelled, delay = summary
    if not labelled:
        return None
    observed, predicted = TASK.live_summaries(outcomes)
    metrics = _live_metrics(outcomes, params.metrics.confidence)
    return Performance(labelled, labelled / predictions, tuple(delay), observed, predicted, metrics)


def _live_metrics(outcomes: DuckDBPyRelation, confidence: float) -> dict[str, Interval]:
    names, whole, without = TASK.live(outcomes, widest(outcomes))
    return {
        name: jackknife(whole[position], without[:, position], confidence)
        for position, name in enumerate(names)
        if np.isfinite(whole[position])
    }


def widest(outcomes: DuckDBPyRelation) -> str:
    """Return the column of the largest clusters: that with the fewest groups.

    Args:
        outcomes: Rows with outcomes, with the columns that `log.Log` describes.
    """
    columns = [name for name in outcomes.columns if name.startswith(CLUSTERED)]
    counted = outcomes.aggregate(", ".join(f'count(DISTINCT "{name}")' for name in columns)).fetchall()[0]
    return min(zip(counted, columns, strict=True))[1]


def judge(live: Performance, promised: Mapping[str, Mapping[str, float | None]], params: Params) -> Iterator[Finding]:
    """Report the metrics that are worse than on the holdout by more than their margins.

    Args:
        live: Performance in production.
        promised: Metrics of the holdout, as in metrics.json. Their intervals are combined with the live ones, as those
            of independent periods.
        params: Parameters; `monitoring.worse_by_at_most` sets the margins.
    """
    confidence = params.metrics.confidence
    guess = TASK.guess()
    ranked = live.metrics.get(guess[0])
    flipped = bool(ranked and ranked.high < guess[1])
    if ranked and flipped:
        evidence = f"{_in_words(ranked)}, worse than guessing: are the outcomes flipped, or has their meaning changed?"
        yield Finding("performance", guess[0], Level.ACT, evidence)
    for name, margin in params.monitoring.worse_by_at_most.items():
        interval, before = live.metrics.get(name), promised[name]
        if interval is None or before["value"] is None or (flipped and name == guess[0]):
            continue
        change = _change(interval, before)
        best = max(METRICS[name].improvement(change.low), METRICS[name].improvement(change.high))
        if best < -margin:
            moved_by = moved(change.value, change, confidence, margin)
            evidence = f"{_in_words(interval)}. It {moved_by} since the holdout; at most {margin:g} is allowed."
            yield Finding("performance", name, Level.ACT, evidence)


def _change(live: Interval, promised: Mapping[str, float | None]) -> Interval:
    """Return the live value minus the promised one, with the interval of a difference of two independent periods."""
    before = Interval(*(np.nan if promised[end] is None else float(promised[end] or 0) for end in Interval._fields))
    reach = float(np.hypot(live.high - live.low, np.nan_to_num(before.high - before.low))) / 2
    value = live.value - before.value
    return Interval(value, value - reach, value + reach)


def _in_words(live: Interval) -> str:
    return f"is {live.value:.3f} [{live.low:.3f}, {live.high:.3f}]"
