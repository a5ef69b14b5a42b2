"""What is known of a proposal, put together: the candidate, the champion, their comparison, the gate's verdict."""

from dataclasses import dataclass, field
from typing import Any, Literal

from model.params import Params
from model.pipeline.evaluate import WHOLE
from model.pipeline.floors import Check
from model.proposal.changes import Changes
from model.proposal.compare import Part

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
class Comparison:
    """Candidate and champion on the same rows.

    Attributes:
        parts: By column and value; `evaluate.WHOLE` are all rows.
        excluded_champion: Rows of the holdout that the champion was trained on.
        excluded_candidate: Rows of the holdout that the candidate was trained on.
        roc: True positive rate by false positive rate.
        calibration: Observed share by predicted probability.
    """

    parts: dict[tuple[str, str], Part]
    excluded_champion: int
    excluded_candidate: int
    roc: Curves
    calibration: Curves


@dataclass(frozen=True)
class Proposal:
    """All that the report says.

    Attributes:
        commit: Of the champion; None where there is none.
        known_as: What makes it the champion, or why there is none.
        reported: What `evaluate` wrote of the candidate.
        params: The candidate's.
        unchanged: Whether the candidate is the champion, bit for bit.
        comparison: None where there is nothing to compare, or `obstacle` says why it cannot be.
        obstacle: Why the champion cannot score these rows, or cannot be brought up.
        checks: Of the gate.
        accepted_by: Who has accepted a regression.
        changes: Against the champion's commit; None without one.
        candidate: Its file.
        champion: Its file; None without one.
        reproduced: Whether the committed lock was confirmed.
    """

    commit: str | None
    known_as: str
    reported: dict[str, Any]
    params: Params
    candidate: Built
    reproduced: Reproduced
    unchanged: bool = False
    comparison: Comparison | None = None
    obstacle: str = ""
    checks: list[Check] = field(default_factory=list)
    accepted_by: str = ""
    changes: Changes | None = None
    champion: Built | None = None

    @property
    def failed(self) -> list[Check]:
        """The demands that are not met."""
        return [check for check in self.checks if not check.passed]

    @property
    def passed(self) -> bool:
        """Whether it may be merged."""
        return not self.failed or bool(self.accepted_by)

    def compared(self) -> dict[str, Any]:
        """What the registry keeps of it: the champion, and each metric's difference with its interval and verdict."""
        metrics = self.comparison.parts[WHOLE].metrics if self.comparison else {}
        return {
            "passed": self.passed,
            "unchanged": self.unchanged,
            "champion": self.commit,
            "champion_known_as": self.known_as,
            "accepted_by": self.accepted_by,
            "failed": [check.demand for check in self.failed],
            "metrics": {name: {**found.delta._asdict(), "verdict": found.verdict} for name, found in metrics.items()},
        }
