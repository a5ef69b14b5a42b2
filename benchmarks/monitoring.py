"""Measure the check on ever larger logs, beside Evidently on a data frame, and write benchmarks/monitoring.md.

The rows are those of the training window, over and over, in any order, with a fault in one column: what has drifted is
known, and both have to say it. Each check is a process of its own.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi
import duckdb
import pyarrow as pa
from tqdm import tqdm

from benchmarks.answer import answer
from benchmarks.rivals import rivals_python
from lifecycle.monitoring.check import check
from lifecycle.monitoring.log import open_log
from lifecycle.pipeline import stage
from lifecycle.pipeline.reference import Reference, make_reference
from lifecycle.serving.prediction_log import create_log_engine, create_tables
from lifecycle.shared.distributions import PROBABILITY
from lifecycle.shared.months import DATA, month_path, read_month, to_columns
from lifecycle.shared.params import load_params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import contract_version
from model import contract
from tests.lifecycle.serving.postgresql import postgresql_server

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "benchmarks/monitoring.md"
ROWS = (100_000, 1_000_000, 10_000_000)
ROUNDS = 3
VERSION = "1"
FAULT = "humidity"  # comes as a share of 1
UNTIL = datetime(2013, 8, 1, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=28)

TEMPLATE = """\
# The check, measured

Written by `make -C benchmarks monitoring` on {cores} cores, Python {python}: medians of {rounds} rounds, each in a
process of its own with all that it imports. {columns} columns and the probability; half of the predictions have an
outcome; one column comes in another unit. Memory is the peak of the process (what a database server takes beside it
is its own).

| log | predictions | seconds | µs a row | target, s | peak MiB | target |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{logs}

The same question asked of Evidently {evidently} on a pandas data frame of the predictions and one of the {reference:,}
training rows: which columns have drifted (Jensen-Shannon distance, threshold 0.1), what is missing, out of range or
unknown, and the ROC AUC and log loss of what has an outcome. Its frames come from Parquet files with typed columns, as
no log has them; the check reads its log. In turn; the ratios are the medians of the rounds', the targets are those of
the last row:

| predictions | seconds: check | Evidently | ratio (target 10) | peak MiB: check | Evidently | ratio (target 10) |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{pairs}

Both say each time that this has drifted: {verdict}.
"""


def write_rows(folder: Path, rows: int) -> None:
    """Predictions and outcomes as Parquet files in the log's columns, and once more with typed columns."""
    connection = duckdb.connect(config={"memory_limit": "4GB", "temp_directory": str(folder)})
    names = [column.name for column in contract.INPUTS]
    predictor, params = Predictor.load(stage.MODEL), load_params()
    window = pa.concat_tables([read_month(month_path(month, DATA)) for month in params.window.months()])
    scored = window.append_column(PROBABILITY, pa.array(predictor.probabilities(to_columns(window))))
    connection.register("scored", scored)
    in_any_order = "row_number() OVER (ORDER BY hash(scheduled_departure, carrier, flight_number)) - 1"
    connection.execute(f"CREATE TABLE base AS SELECT {in_any_order} AS number, * FROM scored")  # noqa: S608
    seconds = (UNTIL - SINCE).total_seconds() / rows
    inputs = ", ".join(f"'{name}', {_value(name)}" for name in names)
    typed = ", ".join(f'{_value(name)} AS "{name}"' for name in names)
    chosen = f"FROM range({rows}) AS r(i) JOIN base ON base.number = (i * 7919) % {window.num_rows}"
    written = {
        "log/predictions": f"SELECT printf('%032x', i) AS id, ({SINCE.timestamp()} + i * {seconds})::DOUBLE AS time, "
        f"'{VERSION}' AS model_version, '{contract_version()}' AS contract_version, printf('%016x', i) AS request_id, "
        f"json_object({inputs})::VARCHAR AS inputs, probability::DOUBLE AS probability {chosen}",
        "log/feedback": f"SELECT printf('%032x', i) AS prediction_id, ({SINCE.timestamp()} + i * {seconds} + 86400)"
        f"::DOUBLE AS time, {contract.TARGET} AS outcome {chosen} WHERE i % 2 = 0",
        "typed": f"SELECT {typed}, probability, CASE WHEN i % 2 = 0 THEN {contract.TARGET} END AS {contract.TARGET} "
        f"{chosen}",
    }
    for place, query in written.items():
        (folder / place).mkdir(parents=True)
        connection.execute(f"COPY ({query}) TO '{folder / place / 'rows.parquet'}' (FORMAT parquet)")
    plain = ", ".join(f'"{name}"' for name in names)
    known = f"SELECT {plain}, probability, {contract.TARGET} FROM base"  # noqa: S608
    connection.execute(f"COPY ({known}) TO '{folder / 'reference.parquet'}'")


def _value(name: str) -> str:
    if name == FAULT:
        return f'"{name}" / 100'
    is_time = next(column.type == "timestamp" for column in contract.INPUTS if column.name == name)
    return f"strftime(\"{name}\", '%Y-%m-%dT%H:%M:%S')" if is_time else f'"{name}"'


def fill(url: str, folder: Path) -> None:
    """Put what is in the files into a database."""
    engine = create_log_engine(url)
    with engine.begin() as connection:
        create_tables(connection)
    into = (
        adbc_driver_sqlite.dbapi.connect(engine.url.database)
        if engine.dialect.name == "sqlite"
        else adbc_driver_postgresql.dbapi.connect(url)
    )
    with into, into.cursor() as cursor:
        for table in ("predictions", "feedback"):
            rows = duckdb.connect().read_parquet(str(folder / "log" / table / "rows.parquet"))
            cursor.adbc_ingest(table, rows.to_arrow_reader(100_000), mode="append")
        into.commit()
    engine.dispose()


def measured(*command: str | Path) -> dict[str, Any]:
    """What a process answers, its seconds and the peak of its memory in MiB."""
    started = time.perf_counter()
    said = subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found | {"seconds": time.perf_counter() - started}


def ask_ours(url: str, reference: Path) -> None:
    """Check a log."""
    known = Reference.model_validate_json(reference.read_text(encoding="utf-8"))
    with open_log(url, SINCE, UNTIL) as log:
        found = check(log, VERSION, known, load_params())
    named = {finding.subject for finding in found.findings if finding.kind == "unit"}
    drifted = {one.variable.name for one in found.drifts if one.drifted and one.variable.name != PROBABILITY}
    answer(found.rows, sorted(drifted | named))


@contextmanager
def logs(folder: Path, rows: int) -> Iterator[dict[str, str]]:
    """The same log in three places."""
    write_rows(folder, rows)
    with postgresql_server() as server:
        found = {
            "Parquet": str(folder / "log"),
            "SQLite": f"sqlite:///{folder / 'log.db'}",
            "PostgreSQL": server.database(),
        }
        for name in ("SQLite", "PostgreSQL"):
            fill(found[name], folder)
        yield found


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", nargs=2)
    arguments = parser.parse_args()
    if arguments.check:
        ask_ours(arguments.check[0], Path(arguments.check[1]))
        return
    ours = (sys.executable, "-m", "benchmarks.monitoring", "--check")
    theirs = (rivals_python(), "-m", "benchmarks.rivals.evidently_drift")
    lines, pairs, verdicts, versions = list[str](), list[str](), set[str](), set[str]()
    with tempfile.TemporaryDirectory() as name:
        reference = Path(name) / "reference.json"
        made = make_reference(load_params())
        reference.write_text(made.model_dump_json(), encoding="utf-8")
        for rows in ROWS:
            folder = Path(name) / str(rows)
            with logs(folder, rows) as places:
                for place, url in places.items():
                    found = [measured(*ours, url, reference) for _ in tqdm(range(ROUNDS), f"{place} {rows:,}")]
                    seconds = statistics.median(one["seconds"] for one in found)
                    peak = max(one["peak"] for one in found)
                    target = (30, 1024) if rows == ROWS[-1] else ("", "")
                    cells = (f"{rows:,}", f"{seconds:.1f}", f"{seconds / rows * 1e6:.2f}", target[0], f"{peak:,.0f}")
                    lines.append(f"| {place} | {' | '.join(map(str, cells))} | {target[1]} |")
                both = [
                    (measured(*ours, places["Parquet"], reference), measured(*theirs, folder))
                    for _ in tqdm(range(ROUNDS), f"Evidently {rows:,}")
                ]
                pairs.append(
                    f"| {rows:,} | {' | '.join([*_compared('seconds', 1, both), *_compared('peak', 0, both)])} |"
                )
                verdicts |= {", ".join(one["drifted"]) for pair in both for one in pair}
                versions |= {evidently["version"] for _, evidently in both}
            shutil.rmtree(folder)
    if len(verdicts) != 1:
        raise SystemExit(f"they differ: {verdicts}")
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        rounds=ROUNDS,
        columns=len(contract.INPUTS),
        logs="\n".join(lines),
        reference=sum(month.rows for name, month in made.months.items() if name not in made.holdout),
        evidently=", ".join(versions),
        pairs="\n".join(pairs),
        verdict=verdicts.pop(),
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


def _compared(what: str, digits: int, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    """The median of each of both, and that of their ratio."""
    ours, theirs = (statistics.median(pair[one][what] for pair in pairs) for one in (0, 1))
    ratio = statistics.median(b[what] / a[what] for a, b in pairs)
    return [f"{ours:,.{digits}f}", f"{theirs:,.{digits}f}", f"{ratio:.1f}"]


if __name__ == "__main__":
    main()
