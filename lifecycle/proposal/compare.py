"""Candidate and champion on the same rows: the difference of each metric with its interval, and what it means.

The intervals are paired: both models are measured without each cluster, so that what makes a day easy or hard for both
cancels out, and far smaller differences show than two separate intervals could tell apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.pipeline.evaluate import WHOLE, Probability, Slices, Target
from lifecycle.shared.clusters import Clusters
from lifecycle.shared.intervals import Groups, Interval, groups_of, jackknife, leave_out_each, mean_interval
from lifecycle.shared.metrics import METRICS, Floats, Metric, Scores, Weights
from lifecycle.shared.params import Judge

# With fewer rows, equal models are too often found to differ for a red headline (docs/verdict.md, small holdouts).
ENOUGH_ROWS = 5_000

# "undefined": the metric or its interval does not exist on these rows. "not judged": there is no margin for it.
Verdict = Literal["better", "no worse", "unclear", "worse", "undefined", "not judged"]


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
        clusters: How many clusters they are in.
        base_rate: Share of them for which the target is true.
        metrics: By name.
    """

    rows: int
    clusters: int
    base_rate: float
    metrics: dict[str, Difference]


@dataclass(frozen=True)
class Rows:
    """The rows of a period that both models have scored.

    Attributes:
        target: Of shape (rows,).
        champion: Probabilities of the champion, of shape (rows,).
        candidate: Probabilities of the candidate, of shape (rows,).
        clusters: Which rows are not independent of one another.
        slices: Row numbers by column and value.
    """

    target: Target
    champion: Probability
    candidate: Probability
    clusters: Clusters
    slices: Slices


def compare(rows: Rows, judge: Judge) -> dict[tuple[str, str], Part]:
    """Compare two models on the same rows.

    Args:
        rows: With the predictions of both.
        judge: Its metrics and margins are used.

    Returns:
        For `WHOLE` and each slice, both models and their difference.
    """
    groups = groups_of(rows.clusters.numbers)
    return {
        key: _compare_part(rows, groups, chosen, judge, whole=key == WHOLE)
        for key, chosen in {WHOLE: np.arange(len(groups)), **rows.slices}.items()
    }


def _compare_part(rows: Rows, groups: Groups, chosen: NDArray[np.intp], judge: Judge, *, whole: bool) -> Part:
    target, settings = rows.target[chosen], judge.metrics
    scores = [
        Scores(target, probability[chosen], bins=settings.calibration_bins)
        for probability in (rows.champion, rows.candidate)
    ]

    def measure(weights: Weights) -> Floats:
        champion, candidate = (one.metrics(weights) for one in scores)
        return candidate - champion

    champion, candidate = (one.metrics(np.ones((1, len(chosen)), dtype=np.uint8))[0] for one in scores)
    without = leave_out_each(measure, groups[chosen])
    margins = judge.gates.worse_by_at_most if whole else judge.gates.slices_worse_by_at_most
    metrics = {}
    for position, (name, metric) in enumerate(METRICS.items()):
        delta = jackknife(candidate[position] - champion[position], without[:, position], settings.confidence)
        margin = margins.get(name)
        judged = verdict(metric, delta, margin, len(chosen)) if whole else slice_verdict(metric, delta, margin)
        metrics[name] = Difference(float(champion[position]), float(candidate[position]), delta, judged)
    base_rate = float(target.mean()) if len(target) else np.nan
    return Part(len(chosen), len(np.unique(rows.clusters.numbers[chosen])), base_rate, metrics)


def compare_over_origins(
    differences: Sequence[Mapping[str, float]], judge: Judge, rows: int
) -> dict[str, tuple[Interval, Verdict]]:
    """What several origins say of the two recipes: the mean difference of each metric in a period like these.

    Periods differ in more than their days: the differences of the origins are one value each, and the interval is
    Student's over them. It holds what differs from period to period as well as the chance within each.

    Args:
        differences: Each metric of the candidate less the champion's, by name, for each origin; at least two origins.
        judge: Its confidence and margins are used.
        rows: Rows of the holdout.
    """
    found: dict[str, tuple[Interval, Verdict]] = {}
    for name, metric in METRICS.items():
        values = np.array([difference[name] for difference in differences])
        delta = mean_interval(values, judge.metrics.confidence)
        found[name] = delta, verdict(metric, delta, judge.gates.worse_by_at_most.get(name), rows)
    return found


def verdict(metric: Metric, delta: Interval, margin: float | None, rows: int) -> Verdict:
    """Say what a difference with its interval means.

    Better, if the whole interval lies on the better side of 0. No worse, if it does not reach beyond the margin on the
    other side (a test of non-inferiority). Worse, if all of it lies on the worse side of 0, it is narrow enough to tell
    the margin from 0, and there are enough rows; otherwise it has to lie beyond the margin by half of its width: one
    interval in forty lies beyond 0 by chance, and with few rows chance is large. Else there are too few rows to tell.

    Args:
        metric: Metric that the difference is of.
        delta: The candidate's value less the champion's.
        margin: How much worse the candidate may be; None if there is no limit.
        rows: Rows of the holdout.
    """
    if not np.isfinite([delta.low, delta.high]).all():
        return "undefined"
    if margin is None:
        return "not judged"
    least, most = _improvement(metric, delta)
    if least > 0:
        return "better"
    if least >= -margin:
        return "no worse"
    tells = rows >= ENOUGH_ROWS and resolution(delta) <= margin
    beyond = 0 if tells else -margin - resolution(delta)
    return "worse" if most < beyond else "unclear"


def slice_verdict(metric: Metric, delta: Interval, margin: float | None) -> Verdict:
    """As `verdict`, for a slice: worse, only if the whole interval lies beyond the margin.

    A slice has few rows. That they do not show that nothing is lost, says little; and of many slices one always looks
    bad.
    """
    if not np.isfinite([delta.low, delta.high]).all():
        return "undefined"
    if margin is None:
        return "not judged"
    least, most = _improvement(metric, delta)
    if least > 0:
        return "better"
    return "worse" if most < -margin else "no worse"


def resolution(delta: Interval) -> float:
    """The smallest difference that rows with such an interval can tell from none: half of the interval's width."""
    return (delta.high - delta.low) / 2


def needed_clusters(delta: Interval, clusters: int, margin: float) -> int:
    """About how many clusters would narrow an interval to the margin: its width falls with the root of their number."""
    return int(np.ceil(clusters * (resolution(delta) / margin) ** 2))


def _improvement(metric: Metric, delta: Interval) -> tuple[float, float]:
    """Both ends of an interval, such that more is better."""
    low, high = sorted((metric.improvement(delta.low), metric.improvement(delta.high)))
    return low, high
