"""`python -m lifecycle.pipeline.predict IN OUT`: score a file in batches, with the features and model of the service.

IN and OUT are Parquet or CSV by their suffix. OUT has the rows of IN with two columns more, probability and label.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from lifecycle.pipeline.stage import MODEL
from lifecycle.shared import console
from lifecycle.shared.console import UserError
from lifecycle.shared.files import replacing_file
from lifecycle.shared.months import ARROW_SCHEMA, to_columns
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.validation import as_pandas, validate_inputs
from model import contract

_ENDINGS = (".parquet", ".csv")
_BATCH = 2**16  # rows
_INPUTS = pa.schema([ARROW_SCHEMA.field(column.name) for column in contract.INPUTS])


def predict(source: Path, target: Path, predictor: Predictor) -> int:
    """Score the rows of a file, a batch at a time.

    Args:
        source: Its columns are the contract's inputs; the contract's target may be among them, and goes through.
        target: Replaced when all rows are scored.
        predictor: The model.

    Returns:
        The number of rows.

    Raises:
        UserError: Where a file is none of the kinds, is damaged, or breaks the contract.
    """
    for path in (source, target):
        if path.suffix not in _ENDINGS:
            raise UserError(f"{path} is neither Parquet nor CSV; the name has to end in {' or '.join(_ENDINGS)}.")
    rows = 0
    with ExitStack() as stack:
        aside = stack.enter_context(replacing_file(target))
        progress = stack.enter_context(tqdm(unit=" rows", desc="predict", disable=None))
        writer: pq.ParquetWriter | pa.csv.CSVWriter | None = None
        for batch in map(_typed, _batches(source)):
            table = _checked(batch, source, rows)
            probabilities = predictor.probabilities(to_columns(table))
            labels = probabilities >= predictor.metadata["threshold"]
            table = batch.append_column("probability", pa.array(probabilities)).append_column("label", pa.array(labels))
            if writer is None:
                kind = pq.ParquetWriter if target.suffix == ".parquet" else pa.csv.CSVWriter
                writer = stack.enter_context(kind(aside, table.schema))
            writer.write_table(table)
            rows += len(table)
            progress.update(len(table))
        if writer is None:
            raise UserError(f"{source} has no rows.")
        writer.close()
    return rows


def _batches(source: Path) -> Iterator[pa.Table]:
    try:
        if source.suffix == ".parquet":
            for batch in pq.ParquetFile(source).iter_batches(_BATCH):
                yield pa.Table.from_batches([batch])
        else:
            # As texts, not as it looks in the first rows: the contract says what they are.
            with pa.csv.open_csv(source) as reader:
                names = reader.schema.names
            texts = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
            with pa.csv.open_csv(source, convert_options=texts) as reader:
                for batch in reader:
                    if batch.num_rows:
                        yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{source} cannot be read: {error}") from error


def _typed(batch: pa.Table) -> pa.Table:
    """With each column in the contract's type, where it can be without loss: validation says what the others are."""
    for position, name in enumerate(batch.column_names):
        if name in ARROW_SCHEMA.names:
            with suppress(pa.ArrowInvalid):
                batch = batch.set_column(position, name, _cast(batch.column(name), ARROW_SCHEMA.field(name).type))
    return batch


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    # Whole numbers among which some are missing are written as 2001.0 by pandas.
    by_way_of = pa.float64() if pa.types.is_string(column.type) and pa.types.is_integer(kind) else column.type
    return column.cast(by_way_of).cast(kind)


def _checked(batch: pa.Table, source: Path, start: int) -> pa.Table:
    """The inputs of a batch whose first row is number ``start`` of its file."""
    if contract.TARGET in batch.column_names:
        batch = batch.drop_columns(contract.TARGET)
    frame = as_pandas(batch)
    frame.index += start
    validate_inputs(frame, source=str(source))
    return batch.select(_INPUTS.names).cast(_INPUTS)


def main() -> None:
    """Score a file."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.pipeline.predict", description=__doc__)
    parser.add_argument("source", type=Path, metavar="IN", help="file to score, .parquet or .csv")
    parser.add_argument("target", type=Path, metavar="OUT", help="file to write, .parquet or .csv")
    parser.add_argument("--model", type=Path, default=MODEL, help="model folder; default: %(default)s")
    arguments = parser.parse_args()
    rows = predict(arguments.source, arguments.target, Predictor.load(arguments.model))
    print(f"{arguments.target}: {rows:,} rows")


if __name__ == "__main__":
    console.run_main(main)
