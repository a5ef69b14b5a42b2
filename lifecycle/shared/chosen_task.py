"""The task of the contract: what depends on the kind of its target."""

import sys

from lifecycle.shared.contract_check import faults
from lifecycle.shared.tasks.kinds import task_of
from model import contract, metrics

_FAULTS = faults(contract)
if _FAULTS:
    # Every command imports this module, most of them before they could report an error.
    sys.exit("\n".join(["error: model/contract.py cannot be used:", *(f"  {fault}" for fault in _FAULTS)]))

TASK = task_of(contract.TARGET, metrics.METRICS)
METRICS = TASK.metrics
