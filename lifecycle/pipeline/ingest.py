"""Add a month to the data: `python -m lifecycle.pipeline.ingest MONTH` fetches it, validates it and writes its file."""

import argparse
import re
from pathlib import Path

import pyarrow.parquet as pq

from lifecycle.shared import console
from lifecycle.shared.console import UserError
from lifecycle.shared.conversion import to_arrow
from lifecycle.shared.files import replacing_file
from lifecycle.shared.months import ARROW_SCHEMA, DATA, month_path
from lifecycle.shared.validation import as_pandas, validate
from model import contract, data


class NoRowsError(UserError):
    """Raised if the source has no rows for a month."""


def ingest(month: str, folder: Path = DATA) -> bool:
    """Fetch a month, validate it and write its file. The same rows give the same bytes.

    Args:
        month: Month to fetch, as ``YYYY-MM``.
        folder: Directory of the month files.

    Returns:
        Whether the file is new or has changed.

    Raises:
        UserError: If the source does not have the month or its rows violate the contract. Nothing is written then.
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise UserError(f"{month!r} is not a month. Write year and month as YYYY-MM.")
    rows = data.fetch(month)
    if rows.empty:
        raise NoRowsError(f"the source has no rows for {month}; see `fetch` in model/data.py.")
    source = f"fetch({month!r})"
    table = to_arrow(rows, source)
    validate(as_pandas(table), source=source, month=month)
    # Sorted, so that the file does not depend on the order in which the source returns rows.
    table = table.sort_by([(name, "ascending") for name in contract.IDENTITY or ARROW_SCHEMA.names])

    path = month_path(month, folder)
    with replacing_file(path) as aside:
        pq.write_table(table.replace_schema_metadata(), aside, compression="zstd", compression_level=19)
        return not path.exists() or path.read_bytes() != aside.read_bytes()


def main() -> None:
    """Ingest a month, and print whether its file changed."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.pipeline.ingest", description=__doc__)
    parser.add_argument("month", help="month to add, as YYYY-MM")
    month = parser.parse_args().month
    path = month_path(month)
    if ingest(month):
        print(f"{path}: {pq.read_metadata(path).num_rows:,} rows. Run `make` to use them.")
    else:
        print(f"{path} is up to date.")


if __name__ == "__main__":
    console.run_main(main)
