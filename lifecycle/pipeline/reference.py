"""The reference of a model: the distributions and metrics that monitoring compares production with.

It is stored with the model's version, so that monitoring needs no training data. Each part of window and holdout is
counted separately: the differences between these parts are normal for the model.
"""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import duckdb
import pyarrow as pa
from pydantic import AliasChoices, Field
from tqdm import tqdm

from lifecycle.pipeline import stage
from lifecycle.pipeline.evaluate import IMPORTANCE
from lifecycle.shared.commands import git
from lifecycle.shared.distributions import PREDICTION, Distributions, count_distributions, make_variable_bins
from lifecycle.shared.histograms import Bins
from lifecycle.shared.inputs import feature_columns
from lifecycle.shared.params import Params
from lifecycle.shared.parts import DATA, end_of, part_files, read_part
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.settings import Settings
from lifecycle.shared.tables import to_columns
from model import contract

REFERENCE = "reference.json"


class Reference(Settings):
    """Distributions and metrics of the data that a model was trained and evaluated on.

    Attributes:
        bins: Histogram bins of each variable, from the rows of the window.
        periods: Distributions of each part of window and holdout, by its name, with the model's own predictions.
        holdout: Parts of the holdout.
        data_from: When the data was last changed, in ISO 8601; empty if it is split by time.
        importance: By how much `Task.loss` gets worse when a column is shuffled, for each column; at least 0.
        metrics: Metrics of the holdout with their intervals, as in metrics.json.
    """

    bins: dict[str, Bins]
    periods: Annotated[dict[str, Distributions], Field(validation_alias=AliasChoices("periods", "months"))]
    holdout: tuple[str, ...]
    importance: dict[str, float]
    metrics: dict[str, dict[str, float | None]]
    data_from: str = ""

    @property
    def known_until(self) -> datetime:
        """End of the last period that the model was trained or evaluated on; without time, when the data changed."""
        if self.data_from:
            return datetime.fromisoformat(self.data_from)
        return datetime.combine(end_of(max(self.periods)), datetime.min.time(), UTC)


def make_reference(params: Params, data: Path = DATA) -> Reference:
    """Make the reference of the trained model from the parts of its window and holdout.

    Args:
        params: Parameters of the trained model.
        data: Directory of the data.
    """
    window, holdout = params.window.parts(), params.holdout.parts()
    # One thread, so that sums are always computed in the same order.
    connection = duckdb.connect(config={"threads": 1})
    names = ", ".join(f'"{name}"' for name in (*(column.name for column in feature_columns()), contract.TARGET.name))
    files = [str(file) for part in window for file in part_files(part, data)]
    bins = make_variable_bins(connection.read_parquet(files).project(names))
    predictor = Predictor.load(stage.MODEL)
    counted = {}
    for part in tqdm([*window, *holdout], "count", unit="part", disable=None):
        table = read_part(part, data)
        if not table.num_rows:
            continue
        predictions = pa.array(predictor.predict(to_columns(table)).tolist())
        counted[part] = count_distributions(connection.from_arrow(table.append_column(PREDICTION, predictions)), bins)
    with (stage.REPORTS / "plots/importance.csv").open(encoding="utf-8", newline="") as file:
        importance = {row["column"]: max(0.0, float(row[IMPORTANCE[-1]])) for row in csv.DictReader(file)}
    return Reference(
        bins=bins,
        periods=counted,
        holdout=tuple(holdout),
        importance=importance,
        metrics=json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))["model"],
        data_from="" if params.split.by == "time" else _data_changed(),
    )


def _data_changed() -> str:
    """Return when the commit was made that last changed the data; now, if the change is not committed."""
    if git("status", "--porcelain", "--", "data.dvc").strip():
        return datetime.now(UTC).isoformat(timespec="seconds")
    return git("log", "-1", "--format=%cI", "--", "data.dvc").strip()
