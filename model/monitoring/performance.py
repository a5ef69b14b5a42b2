"""Live performance: what became of the predictions, as far as it is known, against what the holdout has promised.

The rows are counted by probability and outcome; a bootstrap draws each count anew (a sum of Poisson numbers with mean 1
is a Poisson number with that many as its mean), so that ten million rows take no longer than ten thousand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from duckdb import DuckDBPyRelation

from model.monitoring.findings import Finding, Level
from model.params import LiveMetricName, Params
from model.pipeline.metrics import METRICS, Interval, Scores, interval

# Of the probability; a metric is right to a fraction of that.
_STEPS = 2048
_AT_A_TIME = 100  # resamples
_GREATER_IS_BETTER = {"roc_auc": True, "average_precision": True, "log_loss": False, "brier_score": False}
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
        metrics: With intervals; of none where all outcomes are the same.
    """

    labelled: int
    coverage: float
    delay: tuple[float, float]
    base_rate: float
    predicted_rate: float
    metrics: Mapping[LiveMetricName, Interval]


def performance(outcomes: DuckDBPyRelation, predictions: int, params: Params) -> Performance | None:
    """What is known of the outcomes of a period.

    Args:
        outcomes: See `log.Log`.
        predictions: How many there are in all.
        params: Their seed and the settings of the metrics are used.

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
    step = f"least((probability * {_STEPS})::INT, {_STEPS - 1}) AS step"
    counted = outcomes.project(f"{step}, probability, outcome").aggregate(
        "step, outcome, avg(probability) AS probability, count(*) AS rows", "step, outcome"
    )
    found = counted.order("step, outcome").fetchnumpy()
    target, rows = found["outcome"].astype(np.bool_), found["rows"]
    scores = Scores(target, found["probability"], bins=1)
    random = np.random.default_rng(params.seed)
    parts = [
        min(_AT_A_TIME, params.metrics.resamples - done) for done in range(0, params.metrics.resamples, _AT_A_TIME)
    ]
    drawn = np.concatenate(
        [scores.metrics(random.poisson(rows, (some, len(rows))).astype(np.uint32)) for some in parts]
    )
    whole = scores.metrics(rows[None].astype(np.uint32))[0]
    metrics = {
        name: interval(whole[place], drawn[:, place], params.metrics.confidence)
        for place, name in enumerate(METRICS)
        if name != "calibration_error" and np.isfinite(whole[place])
    }
    return Performance(labelled, labelled / predictions, tuple(delay), base_rate, predicted_rate, metrics)


def judge(found: Performance, promised: Mapping[str, Any], params: Params) -> Iterator[Finding]:
    """What is worse than promised.

    Args:
        found: Of production.
        promised: The metrics of the holdout, as metrics.json has them.
        params: Their margins.
    """
    auc = found.metrics.get("roc_auc")
    flipped = bool(auc and auc.high < _CHANCE)
    if auc and flipped:
        said = f"{_in_words(auc)}, worse than guessing: are the outcomes flipped, or do they mean something else now?"
        yield Finding("performance", "roc_auc", Level.ACT, said)
    for name, margin in params.monitoring.worse_by_at_most.items():
        live, value = found.metrics.get(name), promised[name]["value"]
        if live is None or value is None or (flipped and name == "roc_auc"):
            continue
        greater = _GREATER_IS_BETTER[name]
        beyond = live.high < value - margin if greater else live.low > value + margin
        if beyond:
            allowed = f"{margin:g} {'less' if greater else 'more'} is allowed"
            said = f"{_in_words(live)}; on the holdout it was {value:.3f}, and {allowed}."
            yield Finding("performance", name, Level.ACT, said)


def _in_words(live: Interval) -> str:
    return f"is {live.value:.3f} [{live.low:.3f}, {live.high:.3f}]"
