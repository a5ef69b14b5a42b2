"""The service without its prediction log and its feature counters, to measure what these cost."""

from typing import Any

from lifecycle.serving.application import Application
from lifecycle.serving.service import ModelService
from lifecycle.serving.telemetry import Telemetry


def _forget(*_: Any, **__: Any) -> None:
    """Do nothing."""


Application._write = _forget  # type: ignore[method-assign]  # noqa: SLF001 - only for this measurement
Telemetry.scored = _forget  # type: ignore[method-assign]

__all__ = ["ModelService"]
