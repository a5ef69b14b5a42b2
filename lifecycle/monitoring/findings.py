"""The kinds of problems that a check reports."""

from enum import IntEnum
from typing import NamedTuple

# Title of each kind of problem. The first kinds can be found in any log, the next need enough rows, the last outcomes.
KNOWN_ANYWAY = {
    "volume": "There are fewer predictions than before",
    "schema": "Requests break the contract",
    "clock": "Times are impossible",
}
KNOWN_OF_ROWS = {
    "missing": "Values are missing",
    "constant": "A column always has the same value",
    "unseen": "Categories are new to the model",
    "unit": "A column has another unit",
    "range": "Values are outside of the training range",
    "drift": "The inputs have drifted",
    "prediction drift": "The predictions have drifted",
}
KNOWN_OF_OUTCOMES = {"performance": "The model is worse than promised"}
# Found by retraining, in new data.
DATA = "data"
KINDS = KNOWN_ANYWAY | KNOWN_OF_ROWS | KNOWN_OF_OUTCOMES | {DATA: "New data breaks the contract"}


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
    """

    kind: str
    subject: str
    level: Level
    evidence: str
