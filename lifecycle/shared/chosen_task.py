"""The task of the contract: what depends on the kind of its target."""

from collections.abc import Callable

from lifecycle.shared.columns import Target
from lifecycle.shared.tasks.binary import Binary
from lifecycle.shared.tasks.multiclass import Multiclass
from lifecycle.shared.tasks.regression import Regression
from lifecycle.shared.tasks.task import Task
from model import contract

_TASKS: dict[str, Callable[[Target], Task]] = {"boolean": Binary, "category": Multiclass, "number": Regression}

TASK: Task = _TASKS[contract.TARGET.type](contract.TARGET)
METRICS = TASK.metrics
