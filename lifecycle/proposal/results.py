"""What is known of a proposal, put together: the candidate, the champion, their comparison, the gate's verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lifecycle.pipeline.checks import Check, in_words
from lifecycle.pipeline.evaluate import WHOLE
from lifecycle.proposal.asked import Asked
from lifecycle.proposal.changes import Changes
from lifecycle.proposal.compare import Part, Verdict
from lifecycle.shared.intervals import Interval
from lifecycle.shared.params import Judge, Params

# Whether CI's dvc.lock is what was committed.
Reproduced = Literal["bit for bit", "in metrics only", "not", "no lock committed"]


@dataclass(frozen=True)
class Built:
    """A model file as a thing.

    Attributes:
        seconds: Of training; None where it was not trained here.
        size: Bytes.
        latency: Milliseconds to predict a row; None where it could not be measured.
    """

    seconds: float | None
    size: int
    latency: float | None


@dataclass(frozen=True)
class Curves:
    """The champion's and the candidate's curve, at the same evenly spaced places.

    Attributes:
        low: The first place.
        high: The last place.
        values: By who.
    """

    low: float
    high: float
    values: dict[str, list[float]]


@dataclass(frozen=True)
class Origins:
    """Both recipes at several points in time: trained on what came before each period, and judged on the period.

    Attributes:
        periods: Of the origins, the first at first; the last one is the holdout.
        differences: For each period, each metric of the candidate less the champion's, by name.
        metrics: The mean difference of each metric with its interval over the origins, and its verdict.
    """

    periods: tuple[str, ...]
    differences: tuple[Mapping[str, float], ...]
    metrics: Mapping[str, tuple[Interval, Verdict]]


@dataclass(frozen=True)
class Comparison:
    """Candidate and champion on the same rows.

    Attributes:
        clusters: What the intervals leave out at a time, counted: for example "31 days".
        parts: The holdout by column and value; `evaluate.WHOLE` are all rows.
        origins: The recipes over several origins; None where only the holdout is judged.
        rows: Rows of the holdout before any was left out.
        left_out: How many were left out, by why.
        roc: True positive rate by false positive rate.
        calibration: Observed share by predicted probability.
    """

    clusters: str
    parts: dict[tuple[str, str], Part]
    origins: Origins | None
    rows: int
    left_out: Mapping[str, int]
    roc: Curves
    calibration: Curves

    def primary(self, judge: Judge) -> tuple[Interval, Verdict]:
        """The difference that decides: of the primary metric, over the origins where there are several."""
        if self.origins:
            return self.origins.metrics[judge.metrics.primary]
        found = self.parts[WHOLE].metrics[judge.metrics.primary]
        return found.delta, found.verdict


@dataclass(frozen=True)
class Judged:
    """A proposal by one judge: that of its base, or its own.

    Attributes:
        judge: By what it is judged.
        checks: Of the gate.
        comparison: None where there is nothing to compare, or it could not be compared.
    """

    judge: Judge
    checks: tuple[Check, ...]
    comparison: Comparison | None = None

    @property
    def failed(self) -> list[Check]:
        """The demands that are not met; what decides comes first."""
        return [check for check in self.checks if not check.passed]


@dataclass(frozen=True)
class Proposal:
    """All that the report says.

    Attributes:
        commit: Commit of the champion; None where there is none.
        known_as: What makes it the champion, or why there is none.
        reported: What `evaluate` wrote of the candidate.
        params: The candidate's.
        candidate: The candidate's model file.
        reproduced: Whether the committed lock was confirmed.
        judged: By the judge of the base.
        own: By the judge that the proposal brings, where that is another one.
        judge_changes: Name, value before and value after, of what the proposal changes of its judge.
        judge_obstacle: Why the judge of the base could not be used.
        warnings: What a reader should know before trusting the comparison.
        unchanged: Whether the candidate is the champion, bit for bit.
        obstacle: Why the two could not be compared.
        accepted_by: Who has accepted a regression.
        changes: Against the champion's commit; None without one.
        champion: The champion's model file; None without one.
        asked: How often the holdout has judged.
        data_edits: What has changed in periods that the base has, in Markdown.
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

    @property
    def failed(self) -> list[Check]:
        """The demands of the base's judge that are not met."""
        return self.judged.failed

    @property
    def passed(self) -> bool:
        """Whether it may be merged."""
        return not self.failed or bool(self.accepted_by)

    @property
    def comparison(self) -> Comparison | None:
        """By the judge of the base."""
        return self.judged.comparison

    @property
    def verdict(self) -> Verdict | None:
        """What the comparison says of the primary metric, with the guards: nothing is better beside a worse metric."""
        comparison = self.comparison
        if comparison is None:
            return None
        _, found = comparison.primary(self.judged.judge)
        shown = {difference.verdict for difference in comparison.parts[WHOLE].metrics.values()}
        if comparison.origins:
            shown |= {one for _, one in comparison.origins.metrics.values()}
        return "worse" if "worse" in shown else found

    @property
    def too_few_rows(self) -> bool:
        """Whether nothing speaks against it but that the rows are too few to tell."""
        primary = self.judged.judge.metrics.primary
        unclear = [check for check in self.failed if check.rule == "difference" and check.metric == primary]
        return self.verdict == "unclear" and len(unclear) == len(self.failed)

    def compared(self) -> dict[str, Any]:
        """What the registry keeps of it: the champion, and each metric's difference with its interval and verdict."""
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
            "metrics": {name: {**_or_none(found.delta), "verdict": found.verdict} for name, found in metrics.items()},
            "origins": self._over_origins(),
        }

    def _over_origins(self) -> dict[str, Any]:
        origins = self.comparison.origins if self.comparison else None
        if origins is None:
            return {}
        return {
            "periods": list(origins.periods),
            "metrics": {name: {**_or_none(delta), "verdict": said} for name, (delta, said) in origins.metrics.items()},
        }


def _or_none(delta: Interval) -> dict[str, float | None]:
    return {end: None if np.isnan(value) else value for end, value in delta._asdict().items()}
