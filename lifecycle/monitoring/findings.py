"""What a check may find."""

from enum import IntEnum
from typing import NamedTuple

# Each kind of trouble, in words. What is first is known of any log, the others take enough rows, the last outcomes.
KNOWN_ANYWAY = {
    "volume": "Fewer predictions than there were",
    "schema": "Requests break the contract",
    "clock": "Times that cannot be",
}
KNOWN_OF_ROWS = {
    "missing": "Values are missing",
    "constant": "A column always has the same value",
    "unseen": "Categories that the model has never seen",
    "unit": "A column comes in another unit",
    "range": "Values outside of the training data",
    "drift": "The inputs have drifted",
    "prediction drift": "The predictions have drifted",
}
KNOWN_OF_OUTCOMES = {"performance": "The model is worse than promised"}
# And what only new data tells.
DATA = "data"
KINDS = KNOWN_ANYWAY | KNOWN_OF_ROWS | KNOWN_OF_OUTCOMES | {DATA: "New data breaks the contract"}


class Level(IntEnum):
    """How much it matters: somebody should know, or somebody has to do something."""

    OK = 0
    WARN = 1
    ACT = 2


class Finding(NamedTuple):
    """A trouble.

    Attributes:
        kind: Of the trouble; each has its own issue.
        subject: The column or the metric that it is about.
        level: How much it matters.
        evidence: What was found, in a sentence.
    """

    kind: str
    subject: str
    level: Level
    evidence: str
