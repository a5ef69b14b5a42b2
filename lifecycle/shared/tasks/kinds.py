"""The kinds of targets: one task for each."""

from collections.abc import Callable, Sequence

from lifecycle.shared.columns import Target
from lifecycle.shared.metrics import OwnMetric
from lifecycle.shared.tasks.binary import Binary
from lifecycle.shared.tasks.multiclass import Multiclass
from lifecycle.shared.tasks.regression import Regression
from lifecycle.shared.tasks.task import Task

_TASKS: dict[str, Callable[[Target, Sequence[OwnMetric]], Task]] = {
    "boolean": Binary,
    "category": Multiclass,
    "number": Regression,
}


def task_of(target: Target, own: Sequence[OwnMetric] = ()) -> Task:
    """Return the task of a target, with the metrics of a team."""
    return _TASKS[target.type](target, own)
