"""The kinds of targets: one task for each."""

from collections.abc import Callable

from lifecycle.shared.columns import Target
from lifecycle.shared.tasks.binary import Binary
from lifecycle.shared.tasks.multiclass import Multiclass
from lifecycle.shared.tasks.regression import Regression
from lifecycle.shared.tasks.task import Task

_TASKS: dict[str, Callable[[Target], Task]] = {"boolean": Binary, "category": Multiclass, "number": Regression}


def task_of(target: Target) -> Task:
    """Return the task of a target."""
    return _TASKS[target.type](target)
