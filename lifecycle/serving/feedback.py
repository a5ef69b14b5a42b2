"""`python -m lifecycle.serving.feedback FILE`: report the outcomes of a Parquet or CSV file.

Its columns are prediction_id and outcome. The outcomes go to the database of PREDICTION_LOG_URL, as those do that the
service gets at /feedback.
"""

import sys
import time
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from lifecycle.serving.environment import load_settings
from lifecycle.serving.prediction_log import PREDICTIONS, Outcome, create_log_engine, create_tables, write_records
from lifecycle.serving.requests import Feedback
from lifecycle.shared import console
from lifecycle.shared.console import UserError

_AT_A_TIME = 500


def report(source: Path, engine: sa.Engine) -> tuple[int, int]:
    """Write the outcomes of a file to the prediction log.

    Args:
        source: With the columns ``prediction_id`` and ``outcome`` (true or false).
        engine: Of the prediction log.

    Returns:
        How many outcomes were written, and how many of them are of predictions that the log does not have.

    Raises:
        UserError: Where the file cannot be read or a row is wrong, before anything is written.
    """
    try:
        # An id may be of digits only.
        options = pa.csv.ConvertOptions(column_types={"prediction_id": pa.string()})
        parquet = source.suffix == ".parquet"
        table = pq.read_table(source) if parquet else pa.csv.read_csv(source, convert_options=options)
        found = msgspec.convert(table.select(["prediction_id", "outcome"]).to_pylist(), list[Feedback])
    except (pa.ArrowException, KeyError, OSError) as error:
        raise UserError(f"{source} cannot be read: {error}") from error
    except msgspec.ValidationError as error:
        raise UserError(f"{source}: {error}. Nothing was written.") from error
    now, unknown = time.time(), 0
    with engine.begin() as connection:
        create_tables(connection)
        for start in range(0, len(found), _AT_A_TIME):
            outcomes = [Outcome(one.prediction_id, now, one.outcome) for one in found[start : start + _AT_A_TIME]]
            ids = {one.prediction_id for one in outcomes}
            known = sa.select(sa.func.count()).select_from(PREDICTIONS).where(PREDICTIONS.c.id.in_(ids))
            unknown += len(ids) - int(connection.execute(known).scalar_one())
            write_records(connection, outcomes)
    return len(found), unknown


def main() -> None:
    """Report the outcomes of a file."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and FILE
        raise UserError("say which file has the outcomes: python -m lifecycle.serving.feedback FILE")
    engine = create_log_engine(load_settings().log_url())
    try:
        written, unknown = report(Path(sys.argv[1]), engine)
    except SQLAlchemyError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"the prediction log cannot be written to, nothing was: {reason}") from error
    print(
        f"{written:,} outcomes"
        + (f", {unknown:,} of them of predictions that the log does not have" if unknown else "")
    )


if __name__ == "__main__":
    console.run_main(main)
