"""Measure the check of production on logs without a fault and with a known one, and write benchmarks/watch.md.

Each trial writes a log of real rows as Parquet files, and checks it as production is checked. The example's rows are
those that the model knows. A made table, adopted with a number as target and with classes, shows the other kinds.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator
from scipy.stats import beta
from tqdm import tqdm

from benchmarks import estimates, kinds
from benchmarks.faults import Fault, Rows, flights, of_a_class, of_a_number, plain_inputs
from benchmarks.monitoring import measured, write_rows
from lifecycle.monitoring.check import CheckResult, check
from lifecycle.monitoring.findings import Level
from lifecycle.monitoring.log import open_log
from lifecycle.pipeline import stage
from lifecycle.pipeline.reference import Reference, make_reference
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.params import load_params
from lifecycle.shared.parts import DATA, read_part
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns
from model import contract
from tests.lifecycle.repository import copied_project

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "benchmarks/watch.md"
DAYS = 28
VERSION = "1"
LEAD = timedelta(hours=2)  # from a prediction to its event
CLEAN, CLEAN_TRIALS = (200, 500, 1_000, 3_000, 20_000), 100
FAULTY, FAULTY_TRIALS = (200, 1_500, 3_000), 10
MANY, MANY_ROUNDS = 10_000_000, 3
TARGETS = {"a number": "minutes", "classes": "band"}

TEMPLATE = """\
# What the check sees

Written by `make -C benchmarks watch` on {cores} cores, Python {python}. Each trial writes a log of {days} days and
checks it as production is checked. The model is that of `params.yaml`, the rows are those of its window and holdout.

## Without a fault

Logs with a finding, of {clean_trials}; 8 are allowed for a size, and 4% of all. *Rows* are drawn at random from {days}
days of a month, and *days* from as few days as have so many rows, the last one among them. *Any* are rows of all
months, for which no bar is set.

{clean}

All in all {alarms} of {all_clean} logs of rows and days: {all_share} (95% CI {all_interval}).

## With a fault

In how many of {faulty_trials} logs, drawn by row, a finding names the fault. At 3,000 rows, 90% of all and 7 of 10 of
each are required.

{faulty}

At 3,000 rows: {found} of {all_faulty} (95% CI {found_interval}).

## Other kinds of target

The table of [kinds.py](kinds.py) with its numbers on different scales, split by row and without a time, adopted with
two targets; 3,000 rows a log.

{others}

## Ten million predictions

The check of Parquet files with {days} days of predictions, half of them with an outcome: medians of {rounds} rounds,
each in a process of its own. 30 seconds and 1,024 MiB are allowed.

| target | seconds | peak MiB |
| --- | ---: | ---: |
{many}

{estimates}
"""

Task = tuple[str, int, int, int]
Draw = Callable[[int, int, Generator], Rows]


class Trial(NamedTuple):
    """The result of a trial.

    Attributes:
        draw: How rows were drawn.
        size: Number of rows.
        fault: Name of the fault; empty if there was none.
        is_named: Whether a finding names the fault.
        found: Kinds of all findings.
    """

    draw: str
    size: int
    fault: str
    is_named: bool
    found: tuple[str, ...]


def faults() -> tuple[Fault, ...]:
    """Return the faults that fit the contract."""
    if contract.TIME:
        return flights(partial(of_month, 1))
    return plain_inputs() + (of_a_number() if contract.TARGET.type == "number" else of_a_class())


@cache
def known() -> Rows:
    """Return the rows of window and holdout."""
    params = load_params()
    table = pa.concat_tables([read_part(part, DATA) for part in (*params.window.parts(), *params.holdout.parts())])
    rows = table.to_pandas()
    rows["known"] = True
    if contract.TIME:
        # Nanoseconds end in the year 2262.
        rows[contract.TIME] = rows[contract.TIME].astype("datetime64[ms]")
        rows["time"] = rows[contract.TIME] - LEAD
    return rows


@cache
def of_month(month: int) -> Rows:
    """Return the rows of the first 28 days of a month."""
    rows = known()
    at = rows[contract.TIME].dt
    return rows[(at.month == month) & (at.day <= DAYS)].reset_index(drop=True)


def months() -> list[int]:
    """Return the months that the rows are of."""
    return known()[contract.TIME].dt.month.unique().tolist() if contract.TIME else [1]


def first_day(month: int) -> pd.Timestamp:
    """Return the first day of a month."""
    year = int(known()[contract.TIME].dt.year.iloc[0]) if contract.TIME else 2020
    return pd.Timestamp(year=year, month=month, day=1)


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
    seconds = np.linspace(0, DAYS * 86_400, rows, endpoint=False)
    return drawn.assign(time=first_day(month) - LEAD + pd.to_timedelta(seconds, unit="s"))


DRAWS: Mapping[str, Draw] = {"rows": by_row, "days": by_day, "any": any_time}


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
        pq.write_table(pa.table(columns), folder / name / "rows.parquet")


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


def trial(task: Task, path: Path) -> Trial:
    """Run a trial, given how rows are drawn, how many, a seed, and the number of a fault (-1 for none)."""
    draw, size, seed, number = task
    fault = faults()[number] if number >= 0 else None
    random = np.random.default_rng([seed, size])
    month = (fault and fault.month) or months()[seed % len(months())]
    rows = DRAWS[draw](2 * size if fault and fault.removes else size, month, random)
    if fault:
        rows = fault.change(rows, random)
        if fault.removes:
            rows = rows.sample(size, random_state=random).sort_values("time")
    result = checked(rows.reset_index(drop=True), month, *model(path))
    found = [finding for finding in result.findings if finding.level > Level.OK]
    named = fault and any(finding.kind in fault.kinds and finding.subject == fault.subject for finding in found)
    return Trial(draw, size, fault.name if fault else "", bool(named), tuple(finding.kind for finding in found))


def run(tasks: Sequence[Task]) -> list[Trial]:
    """Run trials in processes."""
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(os.cpu_count()) as pool:
        path = Path(name) / "reference.json"
        path.write_text(make_reference(load_params()).model_dump_json(), encoding="utf-8")
        return [*tqdm(pool.map(partial(trial, path=path), tasks, chunksize=4), total=len(tasks), disable=None)]


def interval(number: int, trials: int) -> str:
    """Return the Clopper-Pearson interval of a share."""
    low = beta.ppf(0.025, number, trials - number + 1) if number else 0.0
    high = beta.ppf(0.975, number + 1, trials - number) if number < trials else 1.0
    return f"{low:.1%} to {high:.1%}"


def clean_table(trials: Sequence[Trial]) -> str:
    """Return the number of logs with a finding, by size and draw."""
    lines = ["| size | rows | days | any | findings |", "| ---: | ---: | ---: | ---: | --- |"]
    for size in CLEAN:
        of_size = [trial for trial in trials if trial.size == size]
        counts = [sum(bool(trial.found) for trial in of_size if trial.draw == draw) for draw in DRAWS]
        kinds_found = sorted({kind for trial in of_size for kind in trial.found})
        lines.append(f"| {size:,} | {' | '.join(map(str, counts))} | {', '.join(kinds_found)} |")
    return "\n".join(lines)


def faulty_table(trials: Sequence[Trial], sizes: Sequence[int]) -> str:
    """Return how often each fault is named, by size."""
    lines = [f"| fault | {' | '.join(f'{size:,} rows' for size in sizes)} |", "| --- |" + " ---: |" * len(sizes)]
    for name in dict.fromkeys(trial.fault for trial in trials if trial.fault):
        counts = [
            sum(trial.is_named for trial in trials if (trial.fault, trial.size) == (name, size)) for size in sizes
        ]
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def check_many() -> tuple[float, float]:
    """Check ten million predictions in separate processes; return the median of the seconds and the peak in MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder, reference = Path(name) / "many", Path(name) / "reference.json"
        folder.mkdir()
        write_rows(folder, MANY)
        reference.write_text(make_reference(load_params()).model_dump_json(), encoding="utf-8")
        command = (sys.executable, "-m", "benchmarks.monitoring", "--check", folder / "log", reference)
        runs = [measured(*command) for _ in tqdm(range(MANY_ROUNDS), "many", disable=None)]
    return statistics.median(run["seconds"] for run in runs), max(run["peak"] for run in runs)


def of_a_project(output: Path) -> None:
    """Run the trials of an adopted table, in its directory, and write the results."""
    count = len(faults())
    clean = [("any", 3_000, seed, -1) for seed in range(CLEAN_TRIALS)]
    faulty = [("any", 3_000, seed, number) for number in range(count) for seed in range(FAULTY_TRIALS)]
    results = {"trials": run([*clean, *faulty]), "many": check_many()}
    output.write_text(json.dumps(results), encoding="utf-8")


def other_kinds() -> tuple[str, dict[str, tuple[float, float]]]:
    """Adopt the table with each target; return the results, and what `check_many` returns, by kind."""
    sections, many = [], {}
    for title, target in TARGETS.items():
        with tempfile.TemporaryDirectory() as name:
            project, table = copied_project(Path(name) / "project"), kinds.table()
            for place in range(8):
                table[f"number_{place}"] = (table[f"number_{place}"] * (place + 1) + place).round(3)
            others = [other for other in kinds.TARGETS.values() if other != target]
            table.drop(columns=others).to_csv(project.folder / "table.csv", index=False)
            project.must(sys.executable, "-m", "lifecycle.adoption", "table.csv", target)
            project.commit("Adopted")
            output = Path(name) / "trials.json"
            # Another process, because a process has one contract.
            command = (sys.executable, "-m", "benchmarks.watch", "--project", str(output))
            subprocess.run(command, cwd=project.folder, check=True)
            results = json.loads(output.read_text(encoding="utf-8"))
        trials, many[title] = [Trial(*trial) for trial in results["trials"]], results["many"]
        clean = [trial for trial in trials if not trial.fault]
        alarms = sum(bool(trial.found) for trial in clean)
        sections.append(
            f"### {title[0].upper()}{title[1:]}\n\nWithout a fault, {alarms} of {len(clean)} logs have a finding.\n\n"
            + faulty_table(trials, [3_000])
        )
    return "\n\n".join(sections), many


def main() -> None:
    """Run all trials, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--project", type=Path)
    arguments = parser.parse_args()
    if arguments.project:
        of_a_project(arguments.project)
        return
    clean = run([(draw, size, seed, -1) for size in CLEAN for draw in DRAWS for seed in range(CLEAN_TRIALS)])
    numbers = range(len(faults()))
    faulty = run([("rows", size, seed, n) for size in FAULTY for n in numbers for seed in range(FAULTY_TRIALS)])
    covered = [trial for trial in clean if trial.draw != "any"]
    alarms = sum(bool(trial.found) for trial in covered)
    large = [trial for trial in faulty if trial.size == FAULTY[-1]]
    found = sum(trial.is_named for trial in large)
    others, many = other_kinds()
    many = {"true or false": check_many(), **many}
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        days=DAYS,
        rounds=MANY_ROUNDS,
        clean_trials=CLEAN_TRIALS,
        clean=clean_table(clean),
        alarms=alarms,
        all_clean=len(covered),
        all_share=f"{alarms / len(covered):.1%}",
        all_interval=interval(alarms, len(covered)),
        faulty_trials=FAULTY_TRIALS,
        faulty=faulty_table(faulty, FAULTY),
        found=found,
        all_faulty=len(large),
        found_interval=interval(found, len(large)),
        others=others,
        many="\n".join(f"| {kind} | {seconds:.1f} | {peak:,.0f} |" for kind, (seconds, peak) in many.items()),
        estimates=estimates.section(),
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
