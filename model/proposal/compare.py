"""Candidate and champion on the same rows: the difference of each metric with its interval, and what it means.

The bootstrap is paired: both models are measured on each resample, so that what makes a month easy or hard for both
cancels out, and far smaller differences show than two separate intervals could tell apart.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.params import MetricName, Params
from model.pipeline import stage
from model.pipeline.evaluate import WHOLE, Slices
from model.pipeline.metrics import METRICS, Floats, Interval, Scores, Weights, interval, resamples

Verdict = Literal["better", "no worse", "unclear", "worse"]
_Measured = dict[tuple[str, str], Floats]
# Of these more is better; of the others less.
MORE_IS_BETTER = {"roc_auc", "average_precision"}


@dataclass(frozen=True)
class Difference:
    """A metric of both models, and the candidate's less the champion's."""

    champion: float
    candidate: float
    delta: Interval
    verdict: Verdict


@dataclass(frozen=True)
class Part:
    """All rows, or those of a slice.

    Attributes:
        rows: How many.
        base_rate: Share of them for which the target is true.
        metrics: By name.
    """

    rows: int
    base_rate: float
    metrics: dict[MetricName, Difference]


def compare(
    target: NDArray[np.bool_],
    champion: NDArray[np.floating],
    candidate: NDArray[np.floating],
    slices: Slices,
    params: Params,
) -> dict[tuple[str, str], Part]:
    """Compare two models on the same rows.

    Args:
        target: Of shape (rows,).
        champion: Probabilities of the champion, of shape (rows,).
        candidate: Probabilities of the candidate, of shape (rows,).
        slices: Row numbers by column and value.
        params: Their seed, metrics and margins are used.

    Returns:
        For `WHOLE` and each slice, both models and their difference.
    """
    settings = params.metrics
    whole, sliced = params.gates.worse_by_at_most, params.gates.slices_worse_by_at_most
    parts: Slices = {WHOLE: np.arange(len(target)), **slices}
    models = (champion, candidate)
    scores = {
        key: [Scores(target[rows], model[rows], bins=settings.calibration_bins) for model in models]
        for key, rows in parts.items()
    }

    def measure(weights: Weights) -> _Measured:
        found = {}
        for key, rows in parts.items():
            chosen = weights if key == WHOLE else np.take(weights, rows, axis=1)
            found[key] = np.stack([one.metrics(chosen) for one in scores[key]])  # of shape (models, draws, metrics)
        return found

    drawn = _in_threads(measure, resamples(len(target), count=settings.resamples, seed=params.seed))
    found = {}
    for key, rows in parts.items():
        points = np.stack([one.metrics(np.ones((1, len(rows)), dtype=np.uint8))[0] for one in scores[key]])
        draws = np.concatenate([batch[key] for batch in drawn], axis=1)
        metrics: dict[MetricName, Difference] = {}
        for position, name in enumerate(METRICS):
            ours, theirs = points[1, position], points[0, position]
            delta = interval(ours - theirs, draws[1, :, position] - draws[0, :, position], settings.confidence)
            judge, margins = (verdict, whole) if key == WHOLE else (slice_verdict, sliced)
            judged = judge(name, delta, margins.get(name, 0.0))
            metrics[name] = Difference(float(theirs), float(ours), delta, judged)
        found[key] = Part(len(rows), float(target[rows].mean()) if len(rows) else np.nan, metrics)
    return found


def verdict(name: str, delta: Interval, margin: float) -> Verdict:
    """What a difference with its interval means.

    Better, if the whole interval lies on the better side of 0. No worse, if it does not reach beyond the margin on the
    other side (a test of non-inferiority). Worse, if all of it lies on the worse side and some beyond the margin. Else
    the rows are too few to tell.
    """
    least, most = _improvement(name, delta)
    if least > 0:
        return "better"
    if least >= -margin or np.isnan(least):
        return "no worse"
    return "worse" if most < 0 else "unclear"


def slice_verdict(name: str, delta: Interval, margin: float) -> Verdict:
    """As `verdict`, for a slice: worse, only if the whole interval lies beyond the margin.

    A slice has few rows. That they do not show that nothing is lost, says little; and of many slices one always looks
    bad.
    """
    least, most = _improvement(name, delta)
    if least > 0:
        return "better"
    return "worse" if most < -margin else "no worse"


def _in_threads(measure: Callable[[Weights], _Measured], drawn: Iterator[Weights]) -> list[_Measured]:
    """What is measured of each, in order; with no more of them at a time than there are threads to work on them.

    NumPy lets other threads work while it does.
    """
    cores = stage.cores()
    found: list[_Measured] = []
    waiting: deque[Future[_Measured]] = deque()
    with ThreadPoolExecutor(cores) as threads:
        for weights in drawn:
            if len(waiting) == 2 * cores:
                found.append(waiting.popleft().result())
            waiting.append(threads.submit(measure, weights))
        return found + [one.result() for one in waiting]


def _improvement(name: str, delta: Interval) -> tuple[float, float]:
    """Both ends of an interval, such that more is better."""
    return (delta.low, delta.high) if name in MORE_IS_BETTER else (-delta.high, -delta.low)
