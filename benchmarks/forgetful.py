"""The service without its prediction log and without its counters by feature, to see what these cost."""

from typing import Any

from lifecycle.serving.application import Application
from lifecycle.serving.service import ModelService
from lifecycle.serving.telemetry import Telemetry


def _forget(*_: Any, **__: Any) -> None:
    """Do nothing."""


Application._write = _forget  # type: ignore[method-assign]  # noqa: SLF001 - not for anybody to use
Telemetry.scored = _forget  # type: ignore[method-assign]

__all__ = ["ModelService"]
