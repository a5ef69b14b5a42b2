"""The base of all settings: strict, frozen, and closed to keys that nobody knows."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Typed settings. A value of another type, an unknown key and a missing key are errors, and nothing can be set."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
