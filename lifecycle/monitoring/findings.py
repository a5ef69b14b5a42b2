"""The kinds of problems that a check reports."""

from enum import IntEnum
from typing import NamedTuple

# Title of each kind of problem. The first kinds can be found in any log, the next need enough rows, then some outcomes,
# and the last ones enough of them.
KNOWN_ANYWAY = {
    "volume": "There are fewer predictions than before",
    "schema": "Requests break the contract",
    "clock": "Times are impossible",
}
KNOWN_OF_ROWS = {
    "missing": "Values are missing",
    "constant": "A column always has the same value",
    "filled": "A value stands in for others",
    "unseen": "Categories are new to the model",
    "vanished": "Categories have vanished",
    "unit": "A column has another unit",
    "swapped": "Columns have each other's values",
    "season": "Columns are those of another season",
    "range": "Values are outside of the training range",
    "repeated": "Predictions are repeated",
    "expected performance": "The model is expected to be worse than promised",
    "drift": "The inputs have drifted",
    "prediction drift": "The predictions have drifted",
}
KNOWN_OF_SOME_OUTCOMES = {"labels": "Outcomes are selected"}
KNOWN_OF_OUTCOMES = {
    "performance": "The model is worse than promised",
    "base rate": "Outcomes differ from the predictions on average",
    "calibration": "The predictions are too extreme",
    "break": "Outcomes have changed within the period",
}
# Found by Prometheus, on the host of production.
ALERT = "alert"
# Found by retraining, in new data.
DATA = "data"
KINDS = {
    **KNOWN_ANYWAY,
    **KNOWN_OF_ROWS,
    **KNOWN_OF_SOME_OUTCOMES,
    **KNOWN_OF_OUTCOMES,
    ALERT: "Alerts have fired",
    DATA: "New data breaks the contract",
}


class Level(IntEnum):
    """Severity of a finding: WARN is for information, ACT needs a person to act."""

    OK = 0
    WARN = 1
    ACT = 2


class Finding(NamedTuple):
    """A problem that a check has found.

    Attributes:
        kind: Kind of the problem, a key of `KINDS`; each kind has its own issue on GitHub.
        subject: Column or metric with the problem.
        level: Severity.
        evidence: Measured facts, as the rest of a sentence that begins with the subject.
        since: First day with the problem, in ISO 8601; empty if it is unknown or no later than the period.
        variables: Names of the variables that it is about, if it is about the inputs.
        affected: SQL condition of the affected predictions; empty if all are, or if it is about something else.
    """

    kind: str
    subject: str
    level: Level
    evidence: str
    since: str = ""
    variables: tuple[str, ...] = ()
    affected: str = ""

    def in_words(self) -> str:
        """Return subject, evidence and the first day."""
        return f"{self.subject} {self.evidence}" + (f" It began on {self.since}." if self.since else "")
