"""The location of the prediction log, from environment variables."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lifecycle.shared.addresses import sqlite_url
from lifecycle.shared.console import UserError


class LogSettings(BaseSettings):
    """Where the prediction log is; each field is an environment variable of the same name in capitals.

    Attributes:
        state_folder: Directory of the spool and of the default database. It has to outlive the container.
        prediction_log_url: SQLAlchemy URL of the database; by default a SQLite file in `state_folder`.
    """

    model_config = SettingsConfigDict(frozen=True, protected_namespaces=())

    state_folder: Path = Path("state")
    prediction_log_url: str = ""

    def spool_folder(self) -> Path:
        """Return the directory in which records wait for the database."""
        return self.state_folder / "spool"

    def log_url(self) -> str:
        """Return the URL of the database."""
        return self.prediction_log_url or sqlite_url(self.state_folder / "predictions.db")


_Kind = TypeVar("_Kind", bound=LogSettings)


def read_environment(kind: type[_Kind], **values: Any) -> _Kind:
    """Read settings from the environment.

    Args:
        kind: Class of the settings.
        **values: Values that take precedence over the environment.

    Raises:
        UserError: If a variable has an invalid value; the message names each of them.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        lines = [f"  {str(e['loc'][0]).upper()}: {e['msg']} (it is {e['input']!r})" for e in error.errors()]
        raise UserError("invalid environment variables:\n" + "\n".join(lines)) from error
