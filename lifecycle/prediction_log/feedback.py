"""`python -m lifecycle.prediction_log.feedback FILE`: write the outcomes in a Parquet or CSV file to the log.

The file has the columns prediction_id and outcome. The outcomes go to the same database as those that
the service receives at /feedback.
"""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from lifecycle.prediction_log.database import (
    PREDICTIONS,
    Feedback,
    Outcome,
    create_log_engine,
    create_tables,
    write_records,
)
from lifecycle.prediction_log.log_settings import LogSettings, read_environment
from lifecycle.shared import console
from lifecycle.shared.console import UserError

_BATCH = 500  # outcomes in one statement


def report(source: Path, engine: sa.Engine) -> tuple[int, int]:
    """Write the outcomes of a file to the prediction log.

    Args:
        source: Parquet or CSV file with the columns ``prediction_id`` and ``outcome``.
        engine: Engine of the prediction log.

    Returns:
        Number of outcomes written, and the number of those whose prediction is not in the log.

    Raises:
        UserError: If the file cannot be read or a row is invalid. Nothing has been written then.
    """
    try:
        # An id that consists of digits would be read as a number.
        options = pa.csv.ConvertOptions(column_types={"prediction_id": pa.string()})
        parquet = source.suffix == ".parquet"
        table = pq.read_table(source) if parquet else pa.csv.read_csv(source, convert_options=options)
        reports: list[Any] = msgspec.convert(table.select(["prediction_id", "outcome"]).to_pylist(), list[Feedback])  # type: ignore[valid-type]  # made from the contract
    except (pa.ArrowException, KeyError, OSError) as error:
        raise UserError(f"{source} cannot be read: {error}") from error
    except msgspec.ValidationError as error:
        raise UserError(f"{source}: {error}. Nothing was written.") from error
    now, unknown_count = time.time(), 0
    with engine.begin() as connection:
        create_tables(connection)
        for start in range(0, len(reports), _BATCH):
            batch = reports[start : start + _BATCH]
            outcomes = [Outcome(report.prediction_id, now, report.outcome) for report in batch]
            ids = {report.prediction_id for report in batch}
            known = sa.select(sa.func.count()).select_from(PREDICTIONS).where(PREDICTIONS.c.id.in_(ids))
            unknown_count += len(ids) - int(connection.execute(known).scalar_one())
            write_records(connection, outcomes)
    return len(reports), unknown_count


def main() -> None:
    """Report the outcomes of the file that the command line names."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the module and FILE
        raise UserError("name the file with the outcomes: python -m lifecycle.prediction_log.feedback FILE")
    engine = create_log_engine(read_environment(LogSettings).log_url())
    try:
        written, unknown_count = report(Path(sys.argv[1]), engine)
    except SQLAlchemyError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"nothing was written: the prediction log does not accept records: {reason}") from error
    note = f"; the predictions of {unknown_count:,} of them are not in the log" if unknown_count else ""
    print(f"{written:,} outcomes written{note}")


if __name__ == "__main__":
    console.run_main(main)
