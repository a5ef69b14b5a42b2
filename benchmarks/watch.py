"""Measure the check of production on logs without a fault and with a known one, and write benchmarks/watch.md.

The rows are real ones that the model knows. Each trial writes a log as Parquet files, and checks it as production is
checked.
"""

import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.random import Generator
from tqdm import tqdm

from lifecycle.monitoring.check import CheckResult, check
from lifecycle.monitoring.findings import Level
from lifecycle.monitoring.log import open_log
from lifecycle.pipeline import stage
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.params import load_params
from lifecycle.shared.parts import DATA, read_part
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns
from model import contract

DAYS = 28
VERSION = "1"
LEAD = timedelta(hours=2)  # from a prediction to the departure
CLEAN = (200, 500, 1_000, 3_000, 20_000)
FAULTY = (200, 1_500, 3_000)
WEATHER = (
    "temperature",
    "dew_point",
    "humidity",
    "wind_direction",
    "wind_speed",
    "wind_gust",
    "precipitation",
    "pressure",
    "visibility",
)

# A data frame with the columns of the contract, the target, the `time` of the prediction, and whether the outcome is
# `known`; pandas has no types.
Rows = Any
Draw = Callable[[int, int, Generator], Rows]
Change = Callable[[Rows, Generator], Rows]


class Fault(NamedTuple):
    """A fault of production.

    Attributes:
        name: Description.
        change: Function that brings the fault into the rows.
        found_as: Findings that name it: kind and subject.
        month: Month that the rows are drawn from; 0 for any.
    """

    name: str
    change: Change
    found_as: frozenset[tuple[str, str]]
    month: int = 0


@cache
def known() -> Rows:
    """Return the rows of window and holdout."""
    params = load_params()
    table = pa.concat_tables([read_part(part, DATA) for part in (*params.window.parts(), *params.holdout.parts())])
    rows = table.to_pandas()
    # Nanoseconds end in the year 2262.
    rows[contract.TIME] = rows[contract.TIME].astype("datetime64[ms]")
    rows["time"] = rows[contract.TIME] - LEAD
    rows["known"] = True
    return rows


@cache
def of_month(month: int) -> Rows:
    """Return the rows of the first 28 days of a month."""
    rows = known()
    at = rows[contract.TIME].dt
    return rows[(at.month == month) & (at.day <= DAYS)].reset_index(drop=True)


def first_day(month: int) -> pd.Timestamp:
    """Return the first day of a month."""
    return pd.Timestamp(year=int(known()[contract.TIME].dt.year.iloc[0]), month=month, day=1)


def by_row(rows: int, month: int, random: Generator) -> Rows:
    """Draw rows of a month at random."""
    return of_month(month).sample(rows, random_state=random).sort_values("time")


def by_day(rows: int, month: int, random: Generator) -> Rows:
    """Draw as many days of a month as have these rows, and the rows of these days only."""
    day = of_month(month)[contract.TIME].dt.day
    # The last day among them, because a log that ends earlier has stopped.
    days = [DAYS, *(random.permutation(DAYS - 1) + 1)][: math.ceil(rows * DAYS / len(day))]
    of_days = of_month(month)[day.isin(days)]
    return of_days.sample(min(rows, len(of_days)), random_state=random).sort_values("time")


def any_time(rows: int, month: int, random: Generator) -> Rows:
    """Draw rows of all months, predicted evenly over 28 days of one of them."""
    drawn = known().sample(rows, random_state=random)
    return drawn.assign(
        time=first_day(month) - LEAD + pd.to_timedelta(np.linspace(0, DAYS * 86_400, rows, endpoint=False), unit="s")
    )


DRAWS: Mapping[str, Draw] = {"rows": by_row, "days": by_day, "any": any_time}


def some(share: float, column: str, value: Any) -> Change:
    """Replace a share of a column by a value."""

    def change(rows: Rows, random: Generator) -> Rows:
        return rows.assign(**{column: rows[column].mask(random.random(len(rows)) < share, value)})

    return change


def swapped(*columns: str) -> Change:
    """Give each column the values of the next one."""

    def change(rows: Rows, random: Generator) -> Rows:
        del random
        return rows.assign(**{column: rows[columns[place - 1]] for place, column in enumerate(columns)})

    return change


def gone(column: str, value: str) -> Change:
    """Remove the rows with a value."""

    def change(rows: Rows, random: Generator) -> Rows:
        del random
        return rows[rows[column] != value]

    return change


def shifted(years: int, share: float) -> Change:
    """Move a share of the times by years."""

    def change(rows: Rows, random: Generator) -> Rows:
        time = str(contract.TIME)
        wrong = rows[time] + pd.DateOffset(years=years)
        return rows.assign(**{time: rows[time].mask(random.random(len(rows)) < share, wrong)})

    return change


def doubled(rows: Rows, random: Generator) -> Rows:
    """Send half of the rows twice."""
    return pd.concat([rows, rows.sample(frac=0.5, random_state=random)]).sort_values("time")


def weather_of(month: int) -> Change:
    """Replace the weather by that of another month."""

    def change(rows: Rows, random: Generator) -> Rows:
        other = of_month(month).sample(len(rows), replace=True, random_state=random)
        return rows.assign(**{column: other[column].to_numpy() for column in WEATHER})

    return change


def rate(share: float) -> Change:
    """Draw outcomes whose mean is a share, in the order of the predictions as before."""

    def change(rows: Rows, random: Generator) -> Rows:
        target = rows[contract.TARGET.name].to_numpy(dtype=np.bool_).copy()
        wanted = round(share * len(rows))
        surplus = int(target.sum()) - wanted
        changed = random.choice(np.flatnonzero(target == (surplus > 0)), abs(surplus), replace=False)
        target[changed] = surplus < 0
        return rows.assign(**{contract.TARGET.name: target})

    return change


def labels_of(share_of_negatives: float) -> Change:
    """Report the outcomes of all late flights, and of some others."""

    def change(rows: Rows, random: Generator) -> Rows:
        chosen = random.random(len(rows)) < share_of_negatives
        return rows.assign(known=rows[contract.TARGET.name].to_numpy(dtype=np.bool_) | chosen)

    return change


def random_outcomes(days: int) -> Change:
    """Shuffle the outcomes of the last days."""

    def change(rows: Rows, random: Generator) -> Rows:
        late = rows[contract.TARGET.name].to_numpy(dtype=np.bool_).copy()
        last = np.flatnonzero(rows["time"] >= rows["time"].max().normalize() - timedelta(days=days - 1))
        late[last] = late[random.permutation(last)]
        return rows.assign(**{contract.TARGET.name: late})

    return change


def since_last(days: int, change: Change) -> Change:
    """Bring a fault into the last days only."""

    def of_last(rows: Rows, random: Generator) -> Rows:
        before = rows["time"] < rows["time"].max().normalize() - timedelta(days=days - 1)
        return pd.concat([rows[before], change(rows[~before], random)]).sort_values("time")

    return of_last


def converted(column: str, factor: float, summand: float = 0) -> Change:
    """Send another unit."""

    def change(rows: Rows, random: Generator) -> Rows:
        del random
        return rows.assign(**{column: rows[column] * factor + summand})

    return change


def as_any(*findings: tuple[str, str]) -> frozenset[tuple[str, str]]:
    """Name a fault by any of these findings."""
    return frozenset(findings)


_SWAPPED = [
    ("temperature", "humidity"),
    ("temperature", "dew_point"),
    ("temperature", "visibility"),
    ("wind_speed", "visibility"),
    ("temperature", "humidity", "dew_point"),
]
FAULTS = (
    Fault(
        "temperature -50 in 40%",
        some(0.4, "temperature", -50.0),
        as_any(("range", "temperature"), ("filled", "temperature")),
    ),
    Fault("humidity 0 in 30%", some(0.3, "humidity", 0.0), as_any(("range", "humidity"), ("filled", "humidity"))),
    Fault(
        "wind of 150 mph in 10%",
        some(0.1, "wind_speed", 150.0),
        as_any(("range", "wind_speed"), ("filled", "wind_speed")),
    ),
    Fault("January's weather in June", weather_of(1), as_any(("season", "inputs")), month=6),
    *(
        Fault(f"swapped: {', '.join(columns)}", swapped(*columns), as_any(("swapped", ", ".join(sorted(columns)))))
        for columns in _SWAPPED
    ),
    Fault("1913 in 5%", shifted(-100, 0.05), as_any(("clock", str(contract.TIME)))),
    Fault("2313", shifted(300, 1), as_any(("clock", str(contract.TIME)))),
    Fault("a year ago", shifted(-1, 1), as_any(("clock", str(contract.TIME)))),
    Fault("carrier UA gone", gone("carrier", "UA"), as_any(("vanished", "carrier"))),
    Fault("airport JFK gone", gone("origin", "JFK"), as_any(("vanished", "origin"))),
    Fault("half of the rows doubled", doubled, as_any(("repeated", "predictions"))),
    Fault("8% late", rate(0.08), as_any(("base rate", contract.TARGET.name))),
    Fault("60% late", rate(0.6), as_any(("base rate", contract.TARGET.name))),
    Fault("outcomes of late flights only", labels_of(0), as_any(("labels", "outcomes"))),
    Fault("outcomes of late flights and 20% of others", labels_of(0.2), as_any(("labels", "outcomes"))),
    Fault("random outcomes for 10 days", random_outcomes(10), as_any(("break", "outcomes"))),
    Fault(
        "humidity 0 in 30%, 7 days",
        since_last(7, some(0.3, "humidity", 0.0)),
        as_any(("range", "humidity"), ("filled", "humidity")),
    ),
    Fault(
        "pressure missing in 30%, 7 days", since_last(7, some(0.3, "pressure", np.nan)), as_any(("missing", "pressure"))
    ),
    Fault("kilometres, 7 days", since_last(7, converted("distance", 1.609344)), as_any(("unit", "distance"))),
    Fault("carrier UA gone, 7 days", since_last(7, gone("carrier", "UA")), as_any(("vanished", "carrier"))),
)


def write_log(folder: Path, rows: Rows, predictor: Predictor) -> None:
    """Write rows as Parquet files with the columns of the prediction log."""
    names = [column.name for column in contract.INPUTS]
    schema = read_part(load_params().window.parts()[0], DATA).select(names).schema
    inputs = pa.Table.from_pandas(rows[names], schema=schema, preserve_index=False, safe=False)
    connection = duckdb.connect()
    connection.register("inputs", inputs)
    values = ", ".join(f"'{name}', {_as_json(name)}" for name in names)
    as_json = connection.sql(f"SELECT json_object({values})::VARCHAR AS inputs FROM inputs").fetchnumpy()["inputs"]  # noqa: S608
    ids = np.array([f"{number:032x}" for number in range(len(rows))])
    seconds = rows["time"].astype("datetime64[ms]").astype("int64").to_numpy() / 1_000
    predictions = predictor.predict(to_columns(inputs))
    logged = {
        "id": ids,
        "time": seconds,
        "model_version": [VERSION] * len(rows),
        "inputs": as_json,
        TASK.output: [TASK.to_log(prediction) for prediction in predictions.tolist()],
    }
    is_known = rows["known"].to_numpy(dtype=np.bool_)
    outcomes = pa.array(rows[contract.TARGET.name].to_numpy()[is_known].tolist())
    reported = {"prediction_id": ids[is_known], "time": seconds[is_known] + 86_400, "outcome": outcomes}
    for name, columns in (("predictions", logged), ("feedback", reported)):
        (folder / name).mkdir(parents=True)
        pa.parquet.write_table(pa.table(columns), folder / name / "rows.parquet")


def _as_json(name: str) -> str:
    is_time = next(column.type == "timestamp" for column in contract.INPUTS if column.name == name)
    return f"strftime(\"{name}\"::TIMESTAMP, '%Y-%m-%dT%H:%M:%S')" if is_time else f'"{name}"'


@cache
def model(path: Path) -> tuple[Reference, Predictor]:
    """Read the reference, which is made once, and load the model."""
    return Reference.model_validate_json(path.read_text(encoding="utf-8")), Predictor.load(stage.MODEL)


def checked(rows: Rows, month: int, reference: Reference, predictor: Predictor) -> CheckResult:
    """Check a log of rows that were predicted in the first 28 days of a month."""
    since = datetime.fromtimestamp((first_day(month) - LEAD).timestamp(), UTC)
    until = since + timedelta(days=DAYS)
    with tempfile.TemporaryDirectory() as name:
        write_log(Path(name) / "log", rows, predictor)
        with open_log(f"{name}/log", since, until) as log:
            return check(log, VERSION, reference, load_params())


def trial(task: tuple[str, int, int, int], path: Path) -> dict[str, Any]:
    """Run a trial: draw, size, seed and fault (-1 for none)."""
    draw, size, seed, number = task
    reference, predictor = model(path)
    fault = FAULTS[number] if number >= 0 else None
    random = np.random.default_rng([seed, size])
    months = known()[contract.TIME].dt.month.unique()
    month = (fault and fault.month) or int(months[seed % len(months)])
    rows = DRAWS[draw](size, month, random)
    if fault:
        rows = fault.change(rows, random)
    result = checked(rows.reset_index(drop=True), month, reference, predictor)
    found = [
        (finding.kind, finding.subject, finding.evidence) for finding in result.findings if finding.level > Level.OK
    ]
    return {"draw": draw, "size": size, "seed": seed, "fault": fault and fault.name, "found": found}


def run(tasks: Sequence[tuple[str, int, int, int]], path: Path) -> list[dict[str, Any]]:
    """Run trials in processes."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return [*tqdm(pool.map(partial(trial, path=path), tasks, chunksize=4), total=len(tasks), disable=None)]
