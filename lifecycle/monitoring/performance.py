"""Live performance: what became of the predictions, as far as it is known, against what the holdout has promised.

The rows are counted by probability, outcome and group of clusters. A metric without a group is the metric of the counts
without it, so that ten million rows take no longer than ten thousand.
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

# Of the probability; a metric is right to a fraction of that.
_STEPS = 2048
_CHANCE = 0.5  # the ROC AUC of guessing


@dataclass(frozen=True)
class Performance:
    """What is known of the outcomes of a period.

    Attributes:
        labelled: How many predictions have an outcome.
        coverage: Their share of all predictions.
        delay: Days from the prediction to the report of its outcome: the median, and what nine of ten do not exceed.
        base_rate: The share of positive outcomes.
        predicted_rate: The mean of the probabilities of the same rows.
        metrics: With intervals, by name; of none where all outcomes are the same.
    """

    labelled: int
    coverage: float
    delay: tuple[float, float]
    base_rate: float
    predicted_rate: float
    metrics: Mapping[str, Interval]


def performance(outcomes: DuckDBPyRelation, predictions: int, params: Params) -> Performance | None:
    """What is known of the outcomes of a period.

    Args:
        outcomes: See `log.Log`.
        predictions: How many there are in all.
        params: Their settings of the metrics are used.

    Returns:
        None without any outcome.
    """
    days = "(reported - time) / 86400"
    (about,) = outcomes.aggregate(
        f"count(*), quantile_cont({days}, [0.5, 0.9]), avg(outcome::INT), avg(probability)"
    ).fetchall()
    labelled, delay, base_rate, predicted_rate = about
    if not labelled:
        return None
    metrics = _live_metrics(outcomes, params.metrics.confidence)
    return Performance(labelled, labelled / predictions, tuple(delay), base_rate, predicted_rate, metrics)


def _live_metrics(outcomes: DuckDBPyRelation, confidence: float) -> dict[str, Interval]:
    step = f"least((probability * {_STEPS})::INT, {_STEPS - 1}) AS step"
    counted = outcomes.project(f'{step}, probability, outcome, "{_widest(outcomes)}" AS cluster').aggregate(
        "step, outcome, cluster, sum(probability) AS probability, count(*) AS rows", "step, outcome, cluster"
    )
    found = counted.order("step, outcome, cluster").fetchnumpy()
    rows = found["rows"].astype(np.uint32)
    # A cell holds the rows of a step and an outcome.
    _, cell = np.unique(2 * found["step"].astype(np.intp) + found["outcome"], return_inverse=True)
    groups, group = np.unique(found["cluster"], return_inverse=True)
    by_group = np.zeros((len(groups), cell.max() + 1), dtype=np.uint32)
    by_group[group, cell] = rows
    everything = by_group.sum(axis=0, dtype=np.uint32)
    target = np.zeros(len(everything), dtype=np.bool_)
    target[cell] = found["outcome"].astype(np.bool_)
    scores = Scores(target, np.bincount(cell, found["probability"]) / everything, bins=1)
    whole, without = scores.metrics(everything[None])[0], scores.metrics(everything - by_group)
    return {
        name: jackknife(whole[position], without[:, position], confidence)
        for position, (name, metric) in enumerate(METRICS.items())
        if metric.live and np.isfinite(whole[position])
    }


def _widest(outcomes: DuckDBPyRelation) -> str:
    """The column of groups of clusters that has the fewest of them."""
    columns = [name for name in outcomes.columns if name.startswith(CLUSTERED)]
    counted = outcomes.aggregate(", ".join(f'count(DISTINCT "{name}")' for name in columns)).fetchall()[0]
    return min(zip(counted, columns, strict=True))[1]


def judge(found: Performance, promised: Mapping[str, Mapping[str, float | None]], params: Params) -> Iterator[Finding]:
    """What is worse than promised.

    Args:
        found: Of production.
        promised: The metrics of the holdout, as metrics.json has them. They are as uncertain as the live ones: the two
            intervals are combined as those of independent periods.
        params: Their margins.
    """
    confidence = params.metrics.confidence
    auc = found.metrics.get("roc_auc")
    flipped = bool(auc and auc.high < _CHANCE)
    if auc and flipped:
        said = f"{_in_words(auc)}, worse than guessing: are the outcomes flipped, or do they mean something else now?"
        yield Finding("performance", "roc_auc", Level.ACT, said)
    for name, margin in params.monitoring.worse_by_at_most.items():
        live, before = found.metrics.get(name), promised[name]
        if live is None or before["value"] is None or (flipped and name == "roc_auc"):
            continue
        change = _change(live, before)
        best = max(METRICS[name].improvement(change.low), METRICS[name].improvement(change.high))
        if best < -margin:
            moved_by = moved(change.value, change, confidence, margin)
            said = f"{_in_words(live)}. It {moved_by} since the holdout; at most {margin:g} is allowed."
            yield Finding("performance", name, Level.ACT, said)


def _change(live: Interval, promised: Mapping[str, float | None]) -> Interval:
    """The live value less the promised one, with the interval of the difference of two independent periods."""
    before = Interval(*(np.nan if promised[end] is None else float(promised[end] or 0) for end in Interval._fields))
    reach = float(np.hypot(live.high - live.low, np.nan_to_num(before.high - before.low))) / 2
    value = live.value - before.value
    return Interval(value, value - reach, value + reach)


def _in_words(live: Interval) -> str:
    return f"is {live.value:.3f} [{live.low:.3f}, {live.high:.3f}]"
