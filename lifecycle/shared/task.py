"""The task of the contract: what depends on the kind of its target."""

from lifecycle.shared.tasks.binary import Binary
from lifecycle.shared.tasks.multiclass import Multiclass
from lifecycle.shared.tasks.regression import Regression
from lifecycle.shared.tasks.task import Task
from model import contract

_TASKS = {"boolean": Binary, "category": Multiclass, "number": Regression}

TASK: Task = _TASKS[contract.TARGET.type](contract.TARGET)
METRICS = TASK.metrics
