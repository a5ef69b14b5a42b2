"""`python -m lifecycle.prediction_log.feedback FILE`: write the outcomes in a Parquet or CSV file to the log.

The file has the columns prediction_id and outcome. The outcomes go to the same database as those that
the service receives at /feedback.
"""

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import sqlalchemy as sa

from lifecycle.prediction_log.append import append_records
from lifecycle.prediction_log.database import PREDICTIONS, Feedback, Outcome, create_log_engine, is_database
from lifecycle.prediction_log.log_settings import LogSettings, read_environment
from lifecycle.shared import console
from lifecycle.shared.console import UserError
from lifecycle.shared.conversion import RULES, from_texts, rows_in_words
from lifecycle.shared.files import sha256
from model import contract

_BATCH = 500  # outcomes in one statement


def report(source: Path, url: str) -> tuple[int, int | None]:
    """Write the outcomes of a file to the prediction log.

    Args:
        source: Parquet or CSV file with the columns ``prediction_id`` and ``outcome``.
        url: URL of the prediction log, see `append_records`.

    Returns:
        Number of outcomes written, and the number of those whose prediction is not in the log, or None for a log in a
        directory.

    Raises:
        UserError: If the file cannot be read, a row is invalid or the log does not accept records. Nothing has been
            written then.
    """
    try:
        table = _read(source)
        reports: list[Any] = msgspec.convert(table.to_pylist(), list[Feedback])  # type: ignore[valid-type]  # made from the contract
        content = sha256(source)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise UserError(f"{source} cannot be read: {error}") from error
    except msgspec.ValidationError as error:
        raise UserError(f"{source}: {error}. Nothing was written.") from error
    now = time.time()
    batches = [reports[start : start + _BATCH] for start in range(0, len(reports), _BATCH)]
    outcomes = ([Outcome(report.prediction_id, now, report.outcome) for report in batch] for batch in batches)
    append_records(url, f"{source.stem}-{content[:12]}", outcomes)
    return len(reports), _unknown_count(url, batches) if is_database(url) else None


def _read(source: Path) -> pa.Table:
    """Read the columns of a file; outcomes of a CSV file are converted from texts, as `from_texts` does."""
    names = ["prediction_id", "outcome"]
    if source.suffix == ".parquet":
        return pq.read_table(source).select(names)
    options = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
    table = pa.csv.read_csv(source, convert_options=options)
    outcomes, wrong = from_texts(table.column("outcome"), contract.TARGET)
    if wrong.any():
        rows = rows_in_words(table.column("outcome").to_pandas(), wrong)
        raise UserError(f"{source}: outcome: {RULES[contract.TARGET.type].words}{rows}. Nothing was written.")
    return table.set_column(1, "outcome", outcomes)


def _unknown_count(url: str, batches: Iterable[Sequence[Any]]) -> int:
    """Return the number of outcomes whose prediction is not in a database."""
    engine, unknown = create_log_engine(url), 0
    with engine.connect() as connection:
        for batch in batches:
            ids = {report.prediction_id for report in batch}
            known = sa.select(sa.func.count()).select_from(PREDICTIONS).where(PREDICTIONS.c.id.in_(ids))
            unknown += len(ids) - int(connection.execute(known).scalar_one())
    engine.dispose()
    return unknown


def main() -> None:
    """Report the outcomes of the file that the command line names."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the module and FILE
        raise UserError("name the file with the outcomes: python -m lifecycle.prediction_log.feedback FILE")
    written, unknown = report(Path(sys.argv[1]), read_environment(LogSettings).log_url())
    note = f"; the predictions of {unknown:,} of them are not in the log" if unknown else ""
    print(f"{written:,} outcomes written{note}")


if __name__ == "__main__":
    console.run_main(main)
