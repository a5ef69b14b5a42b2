"""Score a file with the trained model, in batches: `python -m model.predict IN OUT`, each Parquet or CSV by its ending.

The same contract, features and model as in the service. OUT has the rows of IN, and their probability and label.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from model import console, contract
from model.console import UserError
from model.files import replacing_file
from model.months import ARROW_SCHEMA, to_columns
from model.pipeline.stage import MODEL
from model.predictor import Predictor
from model.validation import as_pandas, validate_inputs

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
        for batch in _batches(source):
            table = _checked(batch, f"{source} (from row {rows:,} on)")
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
            # As the contract says, not as it looks in the first rows.
            options = pa.csv.ConvertOptions(column_types=ARROW_SCHEMA, strings_can_be_null=True)
            with pa.csv.open_csv(source, convert_options=options) as reader:
                for batch in reader:
                    if batch.num_rows:
                        yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{source} cannot be read: {error}") from error


def _checked(batch: pa.Table, source: str) -> pa.Table:
    """The inputs of a batch, in the contract's types."""
    if contract.TARGET in batch.column_names:
        batch = batch.drop_columns(contract.TARGET)
    validate_inputs(as_pandas(_typed(batch)), source=source)
    return _typed(batch).select(_INPUTS.names).cast(_INPUTS)


def _typed(batch: pa.Table) -> pa.Table:
    """With numbers in the contract's types, where they can be without loss: what validation takes for right."""
    for position, name in enumerate(batch.column_names):
        if name in _INPUTS.names and batch.schema.field(name).type != _INPUTS.field(name).type:
            try:
                batch = batch.set_column(position, name, batch.column(name).cast(_INPUTS.field(name).type))
            except pa.ArrowInvalid:  # as it is, then: validation says what is wrong with it
                continue
    return batch


def main() -> None:
    """Score a file."""
    if len(sys.argv) != 3:  # noqa: PLR2004 - the program, IN and OUT
        raise UserError("say which file to score and where to write: python -m model.predict IN OUT")
    source, target = map(Path, sys.argv[1:])
    rows = predict(source, target, Predictor.load(MODEL))
    print(f"{target}: {rows:,} rows")


if __name__ == "__main__":
    console.run(main)
