"""Live performance: metrics of the predictions with known outcomes, compared with those of the holdout.

Rows are counted by probability, outcome and group of clusters. The metric without a group is computed from the counts
without that group, so that ten million rows take no longer than ten thousand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from duckdb import DuckDBPyRelation

from lifecycle.monitoring.findings import Finding, Level
from lifecycle.monitoring.log import CLUSTERED
from lifecycle.pipeline.checks import moved
from lifecycle.shared.intervals import Interval, jackknife
from lifecycle.shared.metrics import METRICS, Scores
from lifecycle.shared.params import Params

# Number of steps of the probability. The error of a metric is a fraction of a step.
_STEPS = 2048
_CHANCE = 0.5  # ROC AUC of random guessing


@dataclass(frozen=True)
class Performance:
    """Performance on the predictions of a period whose outcomes are known.

    Attributes:
        labelled: Number of predictions with a known outcome.
        coverage: Share of predictions with a known outcome, from 0 to 1.
        delay: Median and 90% quantile of the days from a prediction to the report of its outcome.
        base_rate: Share of positive outcomes.
        predicted_rate: Mean predicted probability of the same rows.
        metrics: Metrics with intervals, by name. A metric that is undefined, because all outcomes are the same, is left
            out; limits of an interval are NaN if there are fewer than two clusters.
    """

    labelled: int
    coverage: float
    delay: tuple[float, float]
    base_rate: float
    predicted_rate: float
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
    (summary,) = outcomes.aggregate(
        f"count(*), quantile_cont({days}, [0.5, 0.9]), avg(outcome::INT), avg(probability)"
    ).fetchall()
    labelled, delay, base_rate, predicted_rate = summary
    if not labelled:
        return None
    metrics = _live_metrics(outcomes, params.metrics.confidence)
    return Performance(labelled, labelled / predictions, tuple(delay), base_rate, predicted_rate, metrics)


def _live_metrics(outcomes: DuckDBPyRelation, confidence: float) -> dict[str, Interval]:
    step = f"least((probability * {_STEPS})::INT, {_STEPS - 1}) AS step"
    counted = outcomes.project(f'{step}, probability, outcome, "{_widest(outcomes)}" AS cluster').aggregate(
        "step, outcome, cluster, sum(probability) AS probability, count(*) AS rows", "step, outcome, cluster"
    )
    cells = counted.order("step, outcome, cluster").fetchnumpy()
    rows = cells["rows"].astype(np.uint32)
    # A cell holds the rows of a step and an outcome.
    _, cell = np.unique(2 * cells["step"].astype(np.intp) + cells["outcome"], return_inverse=True)
    groups, group = np.unique(cells["cluster"], return_inverse=True)
    by_group = np.zeros((len(groups), cell.max() + 1), dtype=np.uint32)
    by_group[group, cell] = rows
    everything = by_group.sum(axis=0, dtype=np.uint32)
    target = np.zeros(len(everything), dtype=np.bool_)
    target[cell] = cells["outcome"].astype(np.bool_)
    scores = Scores(target, np.bincount(cell, cells["probability"]) / everything, bins=1)
    whole, without = scores.metrics(everything[None])[0], scores.metrics(everything - by_group)
    return {
        name: jackknife(whole[position], without[:, position], confidence)
        for position, (name, metric) in enumerate(METRICS.items())
        if metric.live and np.isfinite(whole[position])
    }


def _widest(outcomes: DuckDBPyRelation) -> str:
    """Return the cluster column with the fewest groups."""
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
    auc = live.metrics.get("roc_auc")
    flipped = bool(auc and auc.high < _CHANCE)
    if auc and flipped:
        evidence = f"{_in_words(auc)}, worse than guessing: are the outcomes flipped, or has their meaning changed?"
        yield Finding("performance", "roc_auc", Level.ACT, evidence)
    for name, margin in params.monitoring.worse_by_at_most.items():
        interval, before = live.metrics.get(name), promised[name]
        if interval is None or before["value"] is None or (flipped and name == "roc_auc"):
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
