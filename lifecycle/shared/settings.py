"""The base class of all settings: strict, frozen, and without unknown keys."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Typed, immutable settings. A value of another type, an unknown key or a missing key is an error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
