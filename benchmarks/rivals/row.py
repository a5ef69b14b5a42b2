"""The request body of the FastAPI rivals."""

from datetime import datetime

from pydantic import BaseModel


class Row(BaseModel):
    """The inputs of a flight."""

    scheduled_departure: datetime
    carrier: str
    flight_number: int
    origin: str
    destination: str
    scheduled_arrival_minute: int
    distance: float
    temperature: float | None
    dew_point: float | None
    humidity: float | None
    wind_direction: float | None
    wind_speed: float | None
    wind_gust: float | None
    precipitation: float | None
    pressure: float | None
    visibility: float | None
    plane_year: int | None
    plane_engines: int | None
    plane_seats: int | None
