"""A model, its reference, and prediction logs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from lifecycle.pipeline.reference import Reference, make_reference
from lifecycle.prediction_log.database import (
    Outcome,
    Prediction,
    Record,
    create_log_engine,
    create_tables,
    write_records,
)
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.parts import read_part
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import contract_version
from lifecycle.shared.tables import to_columns
from model import contract
from tests.lifecycle.repository import Repository

VERSION = "1"
SINCE, UNTIL = datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 3, 29, tzinfo=UTC)
DAY = 86_400.0


@dataclass(frozen=True)
class Watched:
    """A model with its parameters, its reference and its training window."""

    params: Params
    reference: Reference
    predictor: Predictor
    window: pa.Table

    def sample(self, rows: int, seed: int) -> pa.Table:
        """Draw rows of the training window without replacement."""
        chosen = np.random.default_rng(seed).permutation(self.window.num_rows)[:rows]
        return self.window.take(pa.array(chosen))

    def records(self, rows: pa.Table, version: str = VERSION, until: datetime = UNTIL) -> tuple[pa.Table, pa.Table]:
        """Return the predictions of these rows, evenly over 28 days, and their outcomes, each reported a day later."""
        inputs = [column.name for column in contract.INPUTS]
        inputs_as_json = [
            json.dumps({**row, "scheduled_departure": row["scheduled_departure"].isoformat()})
            for row in rows.select(inputs).to_pylist()
        ]
        ids = [f"{number:032x}" for number in range(rows.num_rows)]
        last = until.timestamp()
        times = np.linspace(last - 28 * DAY, last, rows.num_rows, endpoint=False)
        predictions = {
            "id": ids,
            "time": times,
            "model_version": [version] * rows.num_rows,
            "contract_version": [contract_version()] * rows.num_rows,
            "request_id": ids,
            "inputs": inputs_as_json,
            TASK.output: self.predictor.predict(to_columns(rows)).astype(np.float64),
        }
        feedback = {"prediction_id": ids, "time": times + DAY, "outcome": rows.column(contract.TARGET.name)}
        return pa.table(predictions), pa.table(feedback)


def with_values(rows: pa.Table, column: str, values: Any) -> pa.Table:
    """Replace the values of a column."""
    place = rows.schema.get_field_index(column)
    field = rows.schema.field(column)
    return rows.set_column(place, field, pa.array(values, from_pandas=True).cast(field.type, safe=False))


def numbers(rows: pa.Table, column: str) -> NDArray[np.float64]:
    """Return the values of a column, with NaN for missing ones."""
    return np.array(rows.column(column).to_numpy(zero_copy_only=False), dtype=np.float64)


def write_log(folder: Path, predictions: pa.Table, feedback: pa.Table) -> str:
    """Write a log as Parquet files, and return its directory."""
    for name, table in (("predictions", predictions), ("feedback", feedback)):
        (folder / name).mkdir(parents=True)
        pq.write_table(table, folder / name / "2013-03.parquet")
    return str(folder)


def fill(url: str, *tables: pa.Table) -> None:
    """Write tables of predictions and feedback to a database, as the service does."""
    records: list[Record] = []
    for row in (row for table in tables for row in table.to_pylist()):
        if "inputs" in row:
            inputs, prediction = msgspec.Raw(row.pop("inputs").encode()), row.pop(TASK.output)
            records.append(Prediction(**row, inputs=inputs, prediction=prediction))
        else:
            records.append(Outcome(**row))
    engine = create_log_engine(url)
    with engine.begin() as connection:
        create_tables(connection)
        write_records(connection, records)
    engine.dispose()


@contextmanager
def watched_in(repository: Repository) -> Iterator[Watched]:
    """Yield the model of a repository, and work in its directory meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository.folder)
        params = load_params()
        window = pa.concat_tables([read_part(month) for month in params.window.parts()])
        yield Watched(params, make_reference(params), Predictor.load(Path("artifacts/model")), window)


@pytest.fixture(scope="module")
def watched(finished: Repository) -> Iterator[Watched]:
    """A model of two months, evaluated on a third; the tests of the module run in its repository."""
    with watched_in(finished) as model:
        yield model
