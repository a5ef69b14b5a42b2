"""How the service runs: from environment variables of the same names, in capitals."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lifecycle.shared.console import UserError

Count = Annotated[int, Field(ge=1)]


def _split(keys: object) -> object:
    return [key.strip() for key in keys.split(",") if key.strip()] if isinstance(keys, str) else keys


class ServingSettings(BaseSettings):
    """Settings of the service; each worker reads them anew.

    Attributes:
        model_folder: What `train` wrote.
        lineage: What `lifecycle.pipeline.lineage` wrote beside it.
        model_version: What the registry calls the model; by default the lineage's own name for it.
        state_folder: Where the spool and the default database lie. Must outlive the container.
        prediction_log_url: SQLAlchemy URL of the database of predictions; a SQLite file in `state_folder` by default.
        prediction_log_when_full: Whether predictions are answered without being logged, or refused, when the spool is
            full because the database has been away for too long.
        prediction_log_spool_mebibytes: The bound of the spool.
        max_rows: Rows in a request.
        max_bytes: Bytes in a request's body.
        max_concurrency: Requests that a worker answers at a time; beyond it, it answers 503.
        request_timeout: Seconds after which a request that has not arrived or is not answered is given up.
        api_keys: Comma separated. If any are given, a request needs one of them.
        workers: Worker processes.
        fast_route: Whether requests pass BentoML's middleware by; see front.py.
    """

    model_config = SettingsConfigDict(frozen=True, protected_namespaces=())

    model_folder: Path = Path("artifacts/model")
    lineage: Path = Path("artifacts/lineage.json")
    model_version: str = ""
    state_folder: Path = Path("state")
    prediction_log_url: str = ""
    prediction_log_when_full: Literal["drop", "refuse"] = "drop"
    prediction_log_spool_mebibytes: Count = 1024
    max_rows: Count = 1000
    max_bytes: Count = 2**20
    max_concurrency: Count = 100
    request_timeout: Annotated[float, Field(gt=0)] = 10.0
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = ()
    workers: Count = 1
    fast_route: bool = True

    def spool_folder(self) -> Path:
        """Where records wait for the database."""
        return self.state_folder / "spool"

    def log_url(self) -> str:
        """The URL of the prediction log's database."""
        return self.prediction_log_url or f"sqlite:///{(self.state_folder / 'predictions.db').resolve()}"


def load_settings(**values: Any) -> ServingSettings:
    """Read the settings from the environment.

    Raises:
        UserError: Naming each variable that has a wrong value.
    """
    try:
        return ServingSettings(**values)
    except ValidationError as error:
        lines = [f"  {str(e['loc'][0]).upper()}: {e['msg']} (it is {e['input']!r})" for e in error.errors()]
        raise UserError("the environment cannot be used:\n" + "\n".join(lines)) from error
