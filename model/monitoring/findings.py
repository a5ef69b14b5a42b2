"""What a check may find."""

from enum import IntEnum
from typing import NamedTuple


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
