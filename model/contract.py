"""The contract: each column the model is given, and what it predicts, stated once.

YOURS TO EDIT. The validation of the data, the features' inputs, the request schema of the service, the monitored
columns and the model card are derived from here. Only what is known at the scheduled departure may be an input.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

NAME = "flight-delay"


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One input column.

    Attributes:
        name: Its name in the data, in requests and in reports.
        type: ``category`` is text, ``timestamp`` is a date and time without a zone, in JSON ``YYYY-MM-DDThh:mm:ss``.
        description: What it means, for the people who read the API page and the model card.
        example: A valid value.
        unit: Unit of measurement.
        minimum: Smallest legal value.
        maximum: Largest legal value.
        categories: The only legal categories. Empty: any that match ``pattern``, also ones unseen in training.
        pattern: Regular expression that the whole of a category must match.
        nullable: Whether the value may be missing.
    """

    name: str
    type: Literal["category", "integer", "number", "timestamp"]
    description: str
    example: str | float
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    pattern: str | None = None
    nullable: bool = False


INPUTS = (
    Column(
        name="scheduled_departure",
        type="timestamp",
        unit="local time at the origin",
        description="When the flight is to leave the gate.",
        example="2013-07-01T17:30:00",
    ),
    Column(
        name="carrier",
        type="category",
        pattern="[A-Z0-9]{2}",
        description="IATA code of the airline.",
        example="UA",
    ),
    Column(
        name="flight_number",
        type="integer",
        minimum=1,
        maximum=9999,
        description="The airline's number for the flight. Identifies the row; no feature is made of it.",
        example=1545,
    ),
    Column(
        name="origin",
        type="category",
        categories=("EWR", "JFK", "LGA"),
        description="IATA code of the airport of departure.",
        example="EWR",
    ),
    Column(
        name="destination",
        type="category",
        pattern="[A-Z0-9]{3}",
        description="IATA code of the airport of arrival.",
        example="IAH",
    ),
    Column(
        name="scheduled_arrival_minute",
        type="integer",
        unit="minutes after midnight, local time at the destination",
        minimum=0,
        maximum=1439,
        description="When the flight is to reach the gate.",
        example=1215,
    ),
    Column(
        name="distance",
        type="number",
        unit="miles",
        minimum=1,
        maximum=12_000,
        description="Distance between the two airports.",
        example=1400,
    ),
    Column(
        name="temperature",
        type="number",
        unit="degrees Fahrenheit",
        minimum=-60,
        maximum=140,
        nullable=True,
        description="Air temperature at the origin in the hour of the scheduled departure.",
        example=84.2,
    ),
    Column(
        name="dew_point",
        type="number",
        unit="degrees Fahrenheit",
        minimum=-80,
        maximum=100,
        nullable=True,
        description="Dew point at the origin in that hour.",
        example=71.6,
    ),
    Column(
        name="humidity",
        type="number",
        unit="percent",
        minimum=0,
        maximum=100,
        nullable=True,
        description="Relative humidity at the origin in that hour.",
        example=66.3,
    ),
    Column(
        name="wind_direction",
        type="number",
        unit="degrees",
        minimum=0,
        maximum=360,
        nullable=True,
        description="Where the wind at the origin blows from. Missing when it is variable.",
        example=190,
    ),
    Column(
        name="wind_speed",
        type="number",
        unit="miles per hour",
        minimum=0,
        maximum=200,
        nullable=True,
        description="Wind speed at the origin in that hour.",
        example=9.2,
    ),
    Column(
        name="wind_gust",
        type="number",
        unit="miles per hour",
        minimum=0,
        maximum=250,
        nullable=True,
        description="Speed of the gusts at the origin in that hour. Missing when there are none.",
        example=20.7,
    ),
    Column(
        name="precipitation",
        type="number",
        unit="inches",
        minimum=0,
        maximum=20,
        nullable=True,
        description="Rain and melted snow at the origin in that hour.",
        example=0.02,
    ),
    Column(
        name="pressure",
        type="number",
        unit="hectopascals at sea level",
        minimum=850,
        maximum=1100,
        nullable=True,
        description="Air pressure at the origin in that hour.",
        example=1012.4,
    ),
    Column(
        name="visibility",
        type="number",
        unit="miles",
        minimum=0,
        maximum=100,
        nullable=True,
        description="Visibility at the origin in that hour.",
        example=10,
    ),
    Column(
        name="plane_year",
        type="integer",
        minimum=1930,
        maximum=2100,
        nullable=True,
        description="Year in which the plane was built.",
        example=2001,
    ),
    Column(
        name="plane_engines",
        type="integer",
        minimum=1,
        maximum=12,
        nullable=True,
        description="Number of engines of the plane.",
        example=2,
    ),
    Column(
        name="plane_seats",
        type="integer",
        minimum=1,
        maximum=1000,
        nullable=True,
        description="Number of seats of the plane.",
        example=149,
    ),
)

# No two rows have the same values here: how a row is recognised across data sets and versions.
IDENTITY = ("scheduled_departure", "carrier", "flight_number", "origin")

# When what a row describes happens; None where rows have no time.
TIME: str | None = "scheduled_departure"
# What several rows belong to, such as a customer or a machine; None where there is no such thing.
GROUP: str | None = None
# Rows of one cluster are not independent of one another: they share a day's weather, or a customer's habits. Intervals
# are computed from whole clusters. "day" (of TIME), "row" (all rows are independent) or the name of an input; None: the
# day, else the group, else the row; where there are both, day or group, whichever has fewer clusters.
CLUSTER: str | None = None

TARGET = "late"
TARGET_DESCRIPTION = (
    "The flight arrives more than 15 minutes after its scheduled arrival, or never: "
    "a cancelled flight and a diverted flight count as late."
)


# Each day of the calendar and no other, so that a pattern is all there is to check.
_LEAP_YEAR = "(?!0000)(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DAY = (
    "(?:(?!0000)[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_TIMESTAMP = f"{_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


def json_schema() -> dict[str, Any]:
    """The contract of one input row as JSON Schema (draft 2020-12), with ``unit`` as an annotation."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": NAME,
        "type": "object",
        "properties": {column.name: _property(column) for column in INPUTS},
        "required": [column.name for column in INPUTS],
        "additionalProperties": False,
        "identity": list(IDENTITY),
        "target": {"name": TARGET, "description": TARGET_DESCRIPTION},
    }


def version() -> str:
    """Twelve hexadecimal digits that change whenever the contract does."""
    return hashlib.sha256(json.dumps(json_schema(), sort_keys=True).encode()).hexdigest()[:12]


def _property(column: Column) -> dict[str, Any]:
    json_type = {"category": "string", "timestamp": "string"}.get(column.type, column.type)
    # Not the format date-time, which wants a zone.
    pattern = _TIMESTAMP if column.type == "timestamp" else column.pattern
    values: dict[str, Any] = {
        "type": [json_type, "null"] if column.nullable else json_type,
        "unit": column.unit,
        "minimum": column.minimum,
        "maximum": column.maximum,
        "enum": list(column.categories) or None,
        "pattern": f"^{pattern}$" if pattern else None,
        "description": column.description,
        "examples": [column.example],
    }
    return {key: value for key, value in values.items() if value is not None}
