"""The settings of the service, from environment variables."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import NoDecode

from lifecycle.prediction_log.log_settings import LogSettings

Count = Annotated[int, Field(ge=1)]


def _split(keys: object) -> object:
    return [key.strip() for key in keys.split(",") if key.strip()] if isinstance(keys, str) else keys


class ServingSettings(LogSettings):
    """Settings of the service, which each worker reads when it starts.

    Attributes:
        model_folder: Model directory that `train` wrote.
        lineage: File that `lifecycle.pipeline.lineage` wrote next to it.
        model_version: Version of the model in the registry; by default the version that the lineage states.
        prediction_log_when_full: Whether predictions are answered without being logged (`drop`) or refused (`refuse`)
            while the spool is full, because the database has been down for too long.
        prediction_log_spool_mebibytes: Largest size of the spool.
        max_rows: Largest number of rows in a request.
        max_bytes: Largest size of a request's body.
        max_concurrency: Number of requests that a worker answers at a time; it answers further ones with 503.
        request_timeout: Seconds within which a request has to arrive and be answered.
        api_keys: Valid API keys, separated by commas. If there are any, a request needs one of them.
        workers: Number of worker processes.
        fast_route: Whether requests bypass BentoML's middleware; see front.py.
    """

    model_folder: Path = Path("artifacts/model")
    lineage: Path = Path("artifacts/lineage.json")
    model_version: str = ""
    prediction_log_when_full: Literal["drop", "refuse"] = "drop"
    prediction_log_spool_mebibytes: Count = 1024
    max_rows: Count = 1000
    max_bytes: Count = 2**20
    max_concurrency: Count = 100
    request_timeout: Annotated[float, Field(gt=0)] = 10.0
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = ()
    workers: Count = 1
    fast_route: bool = True
