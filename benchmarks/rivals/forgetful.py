"""The service without its prediction log and without its counters by feature, to see what these cost."""

from typing import Any

from model.serving.service import ModelService
from model.serving.spool import Spool
from model.serving.telemetry import Telemetry


def _forget(*_: Any) -> None:
    """Do nothing."""


Spool.write = _forget  # type: ignore[assignment, method-assign]
Telemetry.scored = _forget  # type: ignore[assignment, method-assign]

__all__ = ["ModelService"]
