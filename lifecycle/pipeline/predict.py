"""`python -m lifecycle.pipeline.predict IN OUT`: score a file in batches, with the features and model of the service.

The suffixes of IN and OUT choose Parquet or CSV. OUT has the rows of IN with the columns of the prediction added, such
as probability and label.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from lifecycle.pipeline.stage import MODEL
from lifecycle.shared import console
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.console import UserError
from lifecycle.shared.conversion import to_contract
from lifecycle.shared.files import replacing_file
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import ARROW_SCHEMA, to_columns
from lifecycle.shared.validation import NOTHING, as_pandas, validate_inputs

ENDINGS = (".parquet", ".csv")
BATCH = 2**16  # rows
_INPUTS = pa.schema([ARROW_SCHEMA.field(column.name) for column in request_columns()])


def predict(source: Path, target: Path, predictor: Predictor) -> int:
    """Score the rows of a file, one batch at a time.

    Args:
        source: File with the contract's inputs as columns. It may have the contract's target, which is copied.
        target: File to write. It is replaced once all rows are scored.
        predictor: Model to score with.

    Returns:
        The number of rows.

    Raises:
        UserError: If a file is neither Parquet nor CSV, is damaged or violates the contract.
    """
    for path in (source, target):
        if path.suffix not in ENDINGS:
            raise UserError(f"{path} is neither Parquet nor CSV; its name has to end with {' or '.join(ENDINGS)}.")
    rows = 0
    with ExitStack() as stack:
        aside = stack.enter_context(replacing_file(target))
        progress = stack.enter_context(tqdm(unit=" rows", desc="predict", disable=None))
        writer: pq.ParquetWriter | pa.csv.CSVWriter | None = None
        for batch in _batches(source):
            table = to_contract(batch, str(source), NOTHING, start=rows, as_texts=source.suffix == ".csv")
            predictions = predictor.predict(to_columns(_checked(table, source, rows)))
            for name, values in TASK.write_output(predictions, threshold=predictor.metadata["threshold"]).items():
                table = table.append_column(name, pa.array(values))
            if writer is None:
                writer = stack.enter_context(table_writer(aside, table.schema, target.suffix))
            writer.write_table(table)
            rows += len(table)
            progress.update(len(table))
        if writer is None:
            raise UserError(f"{source} has no rows.")
        writer.close()
    return rows


def table_writer(path: Path, schema: pa.Schema, ending: str) -> pq.ParquetWriter | pa.csv.CSVWriter:
    """Return a writer of a Parquet or CSV file.

    Args:
        path: File to write.
        schema: Schema of the tables.
        ending: Suffix that chooses the format, one of `ENDINGS`.
    """
    return pq.ParquetWriter(path, schema) if ending == ".parquet" else pa.csv.CSVWriter(path, schema)


def _batches(source: Path) -> Iterator[pa.Table]:
    try:
        if source.suffix == ".parquet":
            for batch in pq.ParquetFile(source).iter_batches(BATCH):
                yield pa.Table.from_batches([batch])
        else:
            # Read as texts, since Arrow would infer types from the first rows.
            with pa.csv.open_csv(source) as reader:
                types = dict.fromkeys(reader.schema.names, pa.string())
            # A quoted "" is an empty text, and nothing between two commas is a missing value.
            texts = pa.csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            )
            with pa.csv.open_csv(source, convert_options=texts) as reader:
                for batch in reader:
                    if batch.num_rows:
                        yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{source} cannot be read: {error}") from error


def _checked(batch: pa.Table, source: Path, start: int) -> pa.Table:
    """Validate a batch whose first row has number ``start`` in its file, and return its inputs.

    Optional columns that the batch does not have are missing values.
    """
    for column in request_columns():
        if column.optional and column.name not in batch.column_names:
            batch = batch.append_column(column.name, pa.nulls(len(batch), ARROW_SCHEMA.field(column.name).type))
    frame = as_pandas(batch)
    frame.index += start
    validate_inputs(frame, source=str(source))
    return batch.select(_INPUTS.names).cast(_INPUTS)


def main() -> None:
    """Score the file named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.pipeline.predict", description=__doc__)
    parser.add_argument("source", type=Path, metavar="IN", help="file to score, .parquet or .csv")
    parser.add_argument("target", type=Path, metavar="OUT", help="file to write, .parquet or .csv")
    parser.add_argument("--model", type=Path, default=MODEL, help="model folder; default: %(default)s")
    arguments = parser.parse_args()
    rows = predict(arguments.source, arguments.target, Predictor.load(arguments.model))
    print(f"{arguments.target}: {rows:,} rows")


if __name__ == "__main__":
    console.run_main(main)
