"""The contract: each input column of the model, and its target. Everything is declared once, here.

YOURS TO EDIT. Validation, the request schema of the service, the monitored columns and the model card are derived from
this file. An input may only hold what is known at the time of the prediction.
"""

from lifecycle.shared.columns import Column, Target

NAME = "flight-delay"

INPUTS: tuple[Column, ...] = (
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
        role="identity",
        minimum=1,
        maximum=9999,
        description="The airline's number for the flight. It tells flights of the same minute apart.",
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

# These columns identify a row, also across data sets and versions: no two rows have the same values.
IDENTITY: tuple[str, ...] = ("scheduled_departure", "carrier", "flight_number", "origin")

# The time of the event that a row describes; None if rows have no time.
TIME: str | None = "scheduled_departure"
# What several rows belong to, such as a customer or a machine; None if there is nothing like that.
GROUP: str | None = None
# Rows of one cluster are not independent of one another: they share a day's weather, or a customer's habits. Intervals
# are computed from whole clusters. "day" (of TIME), "row" (all rows are independent) or the name of an input. If None,
# clusters are the days of TIME or the values of GROUP; with both, whichever are fewer; with neither, the rows.
CLUSTER: str | None = None

TARGET = Target(
    name="late",
    type="boolean",
    description=(
        "The flight arrives more than 15 minutes after its scheduled arrival, or never: "
        "a cancelled flight and a diverted flight count as late."
    ),
)
