"""The task of the contract: what depends on the kind of its target."""

import sys
from collections.abc import Callable

from lifecycle.shared.columns import Target
from lifecycle.shared.contract_check import faults
from lifecycle.shared.tasks.binary import Binary
from lifecycle.shared.tasks.multiclass import Multiclass
from lifecycle.shared.tasks.regression import Regression
from lifecycle.shared.tasks.task import Task
from model import contract

_FAULTS = faults(contract)
if _FAULTS:
    # Every command imports this module, most of them before they could report an error.
    sys.exit("\n".join(["error: model/contract.py cannot be used:", *(f"  {fault}" for fault in _FAULTS)]))

_TASKS: dict[str, Callable[[Target], Task]] = {"boolean": Binary, "category": Multiclass, "number": Regression}

TASK: Task = _TASKS[contract.TARGET.type](contract.TARGET)
METRICS = TASK.metrics
