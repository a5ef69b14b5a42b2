"""The service without its prediction log and without its counters by feature, to see what these cost."""

from typing import Any

from model.serving.prediction_log import PredictionLog
from model.serving.service import ModelService
from model.serving.telemetry import Telemetry


def _forget(*_: Any) -> None:
    """Do nothing."""


PredictionLog.write = _forget  # type: ignore[assignment, method-assign]
Telemetry.scored = _forget  # type: ignore[assignment, method-assign]

__all__ = ["ModelService"]
