"""Measure the check on logs of growing size and Evidently on a data frame, and write benchmarks/monitoring.md.

The logs repeat the rows of the training window, in shuffled order and with a fault in one column. So it is known which
column has drifted, and both have to report it. Each check runs in a separate process.
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
from lifecycle.prediction_log.database import create_log_engine, create_tables
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.distributions import PREDICTION
from lifecycle.shared.params import load_params
from lifecycle.shared.parts import DATA, read_part
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import contract_version
from lifecycle.shared.tables import to_columns
from model import contract
from tests.lifecycle.serving.postgresql import postgresql_server

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "benchmarks/monitoring.md"
ROWS = (100_000, 1_000_000, 10_000_000)
ROUNDS = 3
VERSION = "1"
FAULT = "humidity"  # sent as a fraction instead of a percentage
UNTIL = datetime(2013, 8, 1, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=28)

TEMPLATE = """\
# The check, measured

Written by `make -C benchmarks monitoring` on {cores} cores, Python {python}: medians of {rounds} rounds, each in a
separate process, imports included. {columns} columns and the probability; half of the predictions have an outcome; one
column has the wrong unit. Memory is the peak of the process, without that of a database server.

| log | predictions | seconds | µs a row | target, s | peak MiB | target |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{logs}

Evidently {evidently} gets the same task, on a pandas data frame of the predictions and one of the {reference:,}
training rows: find the columns that have drifted (Jensen-Shannon distance, threshold 0.1) and the values that are
missing, out of range or unknown, and compute ROC AUC and log loss of the predictions with an outcome. Its frames come
from Parquet files with typed columns, which no log has; the check reads its log. Both take turns. The ratios are
medians over the rounds; the targets apply to the last row:

| predictions | seconds: check | Evidently | ratio (target 10) | peak MiB: check | Evidently | ratio (target 10) |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{pairs}

Both report each time that this column has drifted: {verdict}.
"""


def write_rows(folder: Path, rows: int) -> None:
    """Write predictions and outcomes as Parquet files with the log's columns, and again with typed columns.

    The rows are those of the window; only those of the example have a fault.
    """
    connection = duckdb.connect(config={"memory_limit": "4GB", "temp_directory": str(folder)})
    names = [column.name for column in contract.INPUTS]
    predictor, params = Predictor.load(stage.MODEL), load_params()
    window = pa.concat_tables([read_part(month, DATA) for month in params.window.parts()])
    scored = window.append_column(PREDICTION, pa.array(predictor.predict(to_columns(window)).tolist()))
    connection.register("scored", scored)
    plain = ", ".join(f'"{name}"' for name in names)
    shuffled = f"row_number() OVER (ORDER BY hash({plain})) - 1"
    output = f"{PREDICTION}::DOUBLE" if TASK.output_type == "number" else f"to_json({PREDICTION})::VARCHAR"
    connection.execute(f"CREATE TABLE base AS SELECT {shuffled} AS number, * FROM scored")  # noqa: S608
    seconds = (UNTIL - SINCE).total_seconds() / rows
    inputs = ", ".join(f"'{name}', {_value(name)}" for name in names)
    typed = ", ".join(f'{_value(name)} AS "{name}"' for name in names)
    source = f"FROM range({rows}) AS r(i) JOIN base ON base.number = (i * 7919) % {window.num_rows}"
    queries = {
        "log/predictions": f"SELECT printf('%032x', i) AS id, ({SINCE.timestamp()} + i * {seconds})::DOUBLE AS time, "
        f"'{VERSION}' AS model_version, '{contract_version()}' AS contract_version, printf('%016x', i) AS request_id, "
        f"json_object({inputs})::VARCHAR AS inputs, {output} AS {TASK.output} {source}",
        "log/feedback": f"SELECT printf('%032x', i) AS prediction_id, ({SINCE.timestamp()} + i * {seconds} + 86400)"
        f"::DOUBLE AS time, {contract.TARGET.name} AS outcome {source} WHERE i % 2 = 0",
        "typed": f"SELECT {typed}, {PREDICTION} AS probability, CASE WHEN i % 2 = 0 THEN {contract.TARGET.name} END "
        f"AS {contract.TARGET.name} {source}",
    }
    for path, query in queries.items():
        (folder / path).mkdir(parents=True)
        connection.execute(f"COPY ({query}) TO '{folder / path / 'rows.parquet'}' (FORMAT parquet)")
    reference = f"SELECT {plain}, {PREDICTION} AS probability, {contract.TARGET.name} FROM base"  # noqa: S608
    connection.execute(f"COPY ({reference}) TO '{folder / 'reference.parquet'}'")


def _value(name: str) -> str:
    if name == FAULT:
        return f'"{name}" / 100'
    is_time = next(column.type == "timestamp" for column in contract.INPUTS if column.name == name)
    return f"strftime(\"{name}\", '%Y-%m-%dT%H:%M:%S')" if is_time else f'"{name}"'


def fill(url: str, folder: Path) -> None:
    """Load the rows of the files into a database."""
    engine = create_log_engine(url)
    with engine.begin() as connection:
        create_tables(connection)
    database = (
        adbc_driver_sqlite.dbapi.connect(engine.url.database)
        if engine.dialect.name == "sqlite"
        else adbc_driver_postgresql.dbapi.connect(url)
    )
    with database, database.cursor() as cursor:
        for table in ("predictions", "feedback"):
            rows = duckdb.connect().read_parquet(str(folder / "log" / table / "rows.parquet"))
            cursor.adbc_ingest(table, rows.to_arrow_reader(100_000), mode="append")
        database.commit()
    engine.dispose()


def measured(*command: str | Path) -> dict[str, Any]:
    """Run a check in a process, and return its output together with its seconds."""
    started = time.perf_counter()
    output = subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result | {"seconds": time.perf_counter() - started}


def run_check(url: str, path: Path) -> None:
    """Run the project's check on a log, with the reference in a file, and print the result."""
    reference = Reference.model_validate_json(path.read_text(encoding="utf-8"))
    with open_log(url, SINCE, UNTIL) as log:
        result = check(log, VERSION, reference, load_params())
    wrong_unit = {finding.subject for finding in result.findings if finding.kind == "unit"}
    drifted = {drift.variable.name for drift in result.drifts if drift.drifted and drift.variable.name != PREDICTION}
    answer(result.rows, sorted(drifted | wrong_unit))


@contextmanager
def logs(folder: Path, rows: int) -> Iterator[dict[str, str]]:
    """Write the same log in three formats; yield the address of each."""
    write_rows(folder, rows)
    with postgresql_server() as server:
        urls = {
            "Parquet": str(folder / "log"),
            "SQLite": f"sqlite:///{folder / 'log.db'}",
            "PostgreSQL": server.database(),
        }
        for name in ("SQLite", "PostgreSQL"):
            fill(urls[name], folder)
        yield urls


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", nargs=2)
    arguments = parser.parse_args()
    if arguments.check:
        run_check(arguments.check[0], Path(arguments.check[1]))
        return
    our_check = (sys.executable, "-m", "benchmarks.monitoring", "--check")
    evidently = (rivals_python(), "-m", "benchmarks.rivals.evidently_drift")
    lines, pairs, verdicts, versions = list[str](), list[str](), set[str](), set[str]()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "reference.json"
        reference = make_reference(load_params())
        path.write_text(reference.model_dump_json(), encoding="utf-8")
        for rows in ROWS:
            folder = Path(name) / str(rows)
            with logs(folder, rows) as urls:
                for log_format, url in urls.items():
                    runs = [measured(*our_check, url, path) for _ in tqdm(range(ROUNDS), f"{log_format} {rows:,}")]
                    seconds = statistics.median(run["seconds"] for run in runs)
                    peak = max(run["peak"] for run in runs)
                    target = (30, 1024) if rows == ROWS[-1] else ("", "")
                    cells = (f"{rows:,}", f"{seconds:.1f}", f"{seconds / rows * 1e6:.2f}", target[0], f"{peak:,.0f}")
                    lines.append(f"| {log_format} | {' | '.join(map(str, cells))} | {target[1]} |")
                both = [
                    (measured(*our_check, urls["Parquet"], path), measured(*evidently, folder))
                    for _ in tqdm(range(ROUNDS), f"Evidently {rows:,}")
                ]
                pairs.append(
                    f"| {rows:,} | {' | '.join([*_compared('seconds', 1, both), *_compared('peak', 0, both)])} |"
                )
                verdicts |= {", ".join(result["drifted"]) for pair in both for result in pair}
                versions |= {result["version"] for _, result in both}
            shutil.rmtree(folder)
    if len(verdicts) != 1:
        raise SystemExit(f"the checks disagree on the columns that have drifted: {verdicts}")
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        rounds=ROUNDS,
        columns=len(contract.INPUTS),
        logs="\n".join(lines),
        reference=sum(month.rows for name, month in reference.periods.items() if name not in reference.holdout),
        evidently=", ".join(versions),
        pairs="\n".join(pairs),
        verdict=verdicts.pop(),
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


def _compared(key: str, digits: int, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    """Format the median of both checks and the median of their ratio."""
    our_median, rival_median = (statistics.median(pair[position][key] for pair in pairs) for position in (0, 1))
    ratio = statistics.median(rival[key] / ours[key] for ours, rival in pairs)
    return [f"{our_median:,.{digits}f}", f"{rival_median:,.{digits}f}", f"{ratio:.1f}"]


if __name__ == "__main__":
    main()
