"""The data of a proposal: candidate, champion, their comparison and the verdict of the gates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lifecycle.pipeline.checks import Check, in_words
from lifecycle.pipeline.evaluate import WHOLE
from lifecycle.proposal.asked import Asked
from lifecycle.proposal.changes import Changes
from lifecycle.proposal.compare import Part, Verdict
from lifecycle.proposal.contract_changes import ContractChange
from lifecycle.shared.intervals import Interval
from lifecycle.shared.params import Judge, Params

# Whether the dvc.lock of this run equals the committed one.
Reproduced = Literal["bit for bit", "in metrics only", "not", "no lock committed"]


@dataclass(frozen=True)
class Built:
    """Size and speed of a model.

    Attributes:
        seconds: Training time in seconds; None if it was not trained here.
        size: Size of the model directory in bytes.
        latency: Time to predict a row in milliseconds; None if it could not be measured.
    """

    seconds: float | None
    size: int
    latency: float | None


@dataclass(frozen=True)
class Curves:
    """The curves of champion and candidate, at the same evenly spaced places.

    Attributes:
        low: First place.
        high: Last place.
        values: Values of the curve, by "champion" and "candidate".
    """

    low: float
    high: float
    values: dict[str, list[float]]


@dataclass(frozen=True)
class Chart:
    """A chart of the curves of champion and candidate.

    Attributes:
        title: Title of the chart.
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        curves: Curves of both models.
    """

    title: str
    x: str
    y: str
    curves: Curves


@dataclass(frozen=True)
class Origins:
    """Both recipes at several origins, trained on the data before each period and judged on the period.

    Attributes:
        periods: Periods of the origins, in order; the last one is the holdout.
        differences: For each period, the candidate's value minus the champion's, by metric.
        metrics: Mean difference with its interval over the origins, and its verdict, by metric.
    """

    periods: tuple[str, ...]
    differences: tuple[Mapping[str, float], ...]
    metrics: Mapping[str, tuple[Interval, Verdict]]


@dataclass(frozen=True)
class Comparison:
    """Candidate and champion on the same rows.

    Attributes:
        clusters: Number and unit of the clusters, for example "31 days".
        parts: Comparison by column and value; `evaluate.WHOLE` stands for all rows.
        origins: Comparison of the recipes over several origins; None if only the holdout is judged.
        rows: Number of rows of the holdout before any was left out.
        left_out: Number of rows left out, by reason.
        charts: Curves of both models, such as the ROC curves.
    """

    clusters: str
    parts: dict[tuple[str, str], Part]
    origins: Origins | None
    rows: int
    left_out: Mapping[str, int]
    charts: tuple[Chart, ...]

    def primary(self, judge: Judge) -> tuple[Interval, Verdict]:
        """Return the deciding difference and verdict: of the primary metric, over the origins if there are several."""
        if self.origins:
            return self.origins.metrics[judge.metrics.primary]
        difference = self.parts[WHOLE].metrics[judge.metrics.primary]
        return difference.delta, difference.verdict


@dataclass(frozen=True)
class Judged:
    """The judgement of a proposal by the judge of its base, or by its own.

    Attributes:
        judge: Gates, metrics, slices and threshold.
        checks: Checks of the gates.
        comparison: Comparison with the champion; None if there is none.
    """

    judge: Judge
    checks: tuple[Check, ...]
    comparison: Comparison | None = None

    @property
    def failed(self) -> list[Check]:
        """The failed checks, the deciding one first."""
        return [check for check in self.checks if not check.passed]


@dataclass(frozen=True)
class Proposal:
    """The content of the report.

    Attributes:
        commit: Commit of the champion; None if there is none.
        known_as: Where the champion is recorded, or the reason why there is none.
        reported: Content of the candidate's metrics.json.
        params: Parameters of the candidate.
        candidate: Size and speed of the candidate.
        reproduced: Whether the committed lock was confirmed.
        judged: Judgement by the judge of the base.
        own: Judgement by the proposal's own judge, if that differs.
        judge_changes: Name, old value and new value of each change of the judge.
        judge_obstacle: Reason why the judge of the base could not be used.
        warnings: Warnings to read before trusting the comparison.
        unchanged: Whether the candidate is the champion, bit for bit.
        obstacle: Reason why the models could not be compared.
        accepted_by: GitHub user who accepted a regression.
        changes: Changes against the champion's commit; None without a champion.
        champion: Size and speed of the champion; None without a champion.
        asked: Use of the holdout by earlier proposals.
        data_edits: Changes in periods that the base has, in Markdown.
        contract_changes: Changes of the contract that clients notice.
    """

    commit: str | None
    known_as: str
    reported: dict[str, Any]
    params: Params
    candidate: Built
    reproduced: Reproduced
    judged: Judged
    own: Judged | None = None
    judge_changes: Sequence[tuple[str, Any, Any]] = ()
    judge_obstacle: str = ""
    warnings: Sequence[str] = ()
    unchanged: bool = False
    obstacle: str = ""
    accepted_by: str = ""
    changes: Changes | None = None
    champion: Built | None = None
    asked: Asked | None = None
    data_edits: str = ""
    contract_changes: Sequence[ContractChange] = ()

    @property
    def failed(self) -> list[Check]:
        """The checks that fail by the judge of the base."""
        return self.judged.failed

    @property
    def passed(self) -> bool:
        """Whether the proposal may be merged."""
        return not self.failed or bool(self.accepted_by)

    @property
    def comparison(self) -> Comparison | None:
        """The comparison by the judge of the base."""
        return self.judged.comparison

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the primary metric; "worse" if any other metric is worse."""
        comparison = self.comparison
        if comparison is None:
            return None
        _, primary = comparison.primary(self.judged.judge)
        verdicts = {difference.verdict for difference in comparison.parts[WHOLE].metrics.values()}
        if comparison.origins:
            verdicts |= {verdict for _, verdict in comparison.origins.metrics.values()}
        return "worse" if "worse" in verdicts else primary

    @property
    def too_few_rows(self) -> bool:
        """Whether the only failed checks are those with too few rows to tell."""
        primary = self.judged.judge.metrics.primary
        unclear = [check for check in self.failed if check.rule == "difference" and check.metric == primary]
        return self.verdict == "unclear" and len(unclear) == len(self.failed)

    def compared(self) -> dict[str, Any]:
        """Return the values for the registry: the champion, and each metric's difference, interval and verdict."""
        metrics = self.comparison.parts[WHOLE].metrics if self.comparison else {}
        confidence = self.judged.judge.metrics.confidence
        return {
            "passed": self.passed,
            "unchanged": self.unchanged,
            "verdict": self.verdict,
            "champion": self.commit,
            "champion_known_as": self.known_as,
            "accepted_by": self.accepted_by,
            "failed": [in_words(check, confidence) for check in self.failed],
            "metrics": {
                name: {**_or_none(difference.delta), "verdict": difference.verdict}
                for name, difference in metrics.items()
            },
            "origins": self._over_origins(),
        }

    def _over_origins(self) -> dict[str, Any]:
        origins = self.comparison.origins if self.comparison else None
        if origins is None:
            return {}
        return {
            "periods": list(origins.periods),
            "metrics": {
                name: {**_or_none(delta), "verdict": verdict} for name, (delta, verdict) in origins.metrics.items()
            },
        }


def _or_none(delta: Interval) -> dict[str, float | None]:
    return {end: None if np.isnan(value) else value for end, value in delta._asdict().items()}
