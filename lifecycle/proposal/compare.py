"""Compare candidate and champion on the same rows: the difference of each metric, its interval and its meaning.

The intervals are paired: both models are evaluated without each cluster in turn, so that the difficulty of a day
cancels out. Much smaller differences can be shown than with two separate intervals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.pipeline.evaluate import WHOLE, Slices, score_settings
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.clusters import Clusters
from lifecycle.shared.intervals import Groups, Interval, groups_of, jackknife, leave_out_each, mean_interval
from lifecycle.shared.metrics import Floats, Metric, Weights
from lifecycle.shared.params import Judge
from lifecycle.shared.tasks.task import Predictions, Targets

# With fewer rows, equal models differ by chance too often for a red headline (docs/verdict.md, small holdouts).
ENOUGH_ROWS = 5_000

# "undefined": the metric or its interval does not exist on these rows. "not judged": there is no margin for it.
Verdict = Literal["better", "no worse", "unclear", "worse", "undefined", "not judged"]


@dataclass(frozen=True)
class Difference:
    """A metric of both models, and the candidate's value minus the champion's."""

    champion: float
    candidate: float
    delta: Interval
    verdict: Verdict


@dataclass(frozen=True)
class Part:
    """The comparison on all rows, or on those of a slice.

    Attributes:
        rows: Number of rows.
        clusters: Number of clusters.
        metrics: Differences by metric.
    """

    rows: int
    clusters: int
    metrics: dict[str, Difference]


@dataclass(frozen=True)
class Rows:
    """The rows of a period that both models have scored.

    Attributes:
        targets: Outcomes, of shape (rows,).
        champion: Predictions of the champion.
        candidate: Predictions of the candidate.
        clusters: Clusters of dependent rows.
        slices: Row numbers by column and value.
    """

    targets: Targets
    champion: Predictions
    candidate: Predictions
    clusters: Clusters
    slices: Slices


def compare(rows: Rows, judge: Judge) -> dict[tuple[str, str], Part]:
    """Compare two models on the same rows.

    Args:
        rows: Rows with the predictions of both models.
        judge: Metrics, confidence level and margins.

    Returns:
        The comparison for `WHOLE` and for each slice.
    """
    groups = groups_of(rows.clusters.numbers)
    return {
        key: _compare_part(rows, groups, chosen, judge, whole=key == WHOLE)
        for key, chosen in {WHOLE: np.arange(len(groups)), **rows.slices}.items()
    }


def _compare_part(rows: Rows, groups: Groups, chosen: NDArray[np.intp], judge: Judge, *, whole: bool) -> Part:
    targets = rows.targets[chosen]
    scores = [
        TASK.scores(targets, predictions[chosen], **score_settings(judge))
        for predictions in (rows.champion, rows.candidate)
    ]

    def measure(weights: Weights) -> Floats:
        champion, candidate = (model.metrics(weights) for model in scores)
        return candidate - champion

    champion, candidate = (model.metrics(np.ones((1, len(chosen)), dtype=np.uint8))[0] for model in scores)
    without = leave_out_each(measure, groups[chosen])
    margins = judge.gates.worse_by_at_most if whole else judge.gates.slices_worse_by_at_most
    metrics = {}
    for position, (name, metric) in enumerate(METRICS.items()):
        delta = jackknife(candidate[position] - champion[position], without[:, position], judge.metrics.confidence)
        margin = margins.get(name)
        judged = verdict(metric, delta, margin, len(chosen)) if whole else slice_verdict(metric, delta, margin)
        metrics[name] = Difference(float(champion[position]), float(candidate[position]), delta, judged)
    return Part(len(chosen), len(np.unique(rows.clusters.numbers[chosen])), metrics)


def compare_over_origins(
    differences: Sequence[Mapping[str, float]], judge: Judge, rows: int
) -> dict[str, tuple[Interval, Verdict]]:
    """Compare two recipes over several origins: the mean difference of each metric in a period like these.

    Periods differ in more than their days, so each origin counts as one value, with Student's interval over the
    origins. The interval covers the differences between periods as well as the chance within each.

    Args:
        differences: For each of at least two origins, the candidate's value minus the champion's, by metric.
        judge: Confidence level and margins.
        rows: Number of rows of the holdout.
    """
    verdicts: dict[str, tuple[Interval, Verdict]] = {}
    for name, metric in METRICS.items():
        values = np.array([difference[name] for difference in differences])
        delta = mean_interval(values, judge.metrics.confidence)
        verdicts[name] = delta, verdict(metric, delta, judge.gates.worse_by_at_most.get(name), rows)
    return verdicts


def verdict(metric: Metric, delta: Interval, margin: float | None, rows: int) -> Verdict:
    """Return the meaning of a difference with its interval.

    - "better": the whole interval is on the better side of 0.
    - "no worse": the interval does not reach beyond the margin (a test of non-inferiority).
    - "worse": the whole interval is on the worse side of 0, it is narrow enough to tell the margin from 0, and there
      are enough rows. Otherwise it has to lie beyond the margin by half of its width: one interval in forty lies beyond
      0 by chance, and with few rows chance is large.
    - "unclear": there are too few rows to tell.

    Args:
        metric: Metric of the difference.
        delta: The candidate's value minus the champion's.
        margin: The largest loss that still passes; None if there is no limit.
        rows: Number of rows of the holdout.
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
    """Return the meaning of a difference in a slice: "worse" only if the whole interval lies beyond the margin.

    A slice has few rows, so an interval that reaches beyond the margin says little, and of many slices one looks bad by
    chance.
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
    """Return the smallest difference that such an interval can tell from 0, which is half of its width."""
    return (delta.high - delta.low) / 2


def needed_clusters(delta: Interval, clusters: int, margin: float) -> int:
    """Estimate the number of clusters that narrows an interval to the margin; its width falls with the square root."""
    return int(np.ceil(clusters * (resolution(delta) / margin) ** 2))


def _improvement(metric: Metric, delta: Interval) -> tuple[float, float]:
    """Return both ends of an interval, with the sign such that more is better."""
    low, high = sorted((metric.improvement(delta.low), metric.improvement(delta.high)))
    return low, high
