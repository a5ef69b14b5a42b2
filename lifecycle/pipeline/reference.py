"""The reference of a model: the distributions and metrics that monitoring compares production with.

It is stored with the model's version, so that monitoring needs no training data. Each month of window and holdout is
counted separately: the differences between these months are normal for the model.
"""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from tqdm import tqdm

from lifecycle.pipeline import stage
from lifecycle.pipeline.evaluate import IMPORTANCE
from lifecycle.shared.distributions import PREDICTION, Distributions, count_distributions, make_variable_bins
from lifecycle.shared.histograms import Bins
from lifecycle.shared.inputs import feature_columns
from lifecycle.shared.months import DATA, month_path, read_month, to_columns
from lifecycle.shared.params import Params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.settings import Settings
from model import contract

REFERENCE = "reference.json"


class Reference(Settings):
    """Distributions and metrics of the data that a model was trained and evaluated on.

    Attributes:
        bins: Histogram bins of each variable, from the rows of the window.
        months: Distributions of each month of window and holdout, with the model's own predictions.
        holdout: Months of the holdout.
        importance: By how much `Task.loss` gets worse when a column is shuffled, for each column; at least 0.
        metrics: Metrics of the holdout with their intervals, as in metrics.json.
    """

    bins: dict[str, Bins]
    months: dict[str, Distributions]
    holdout: tuple[str, ...]
    importance: dict[str, float]
    metrics: dict[str, dict[str, float | None]]

    @property
    def known_until(self) -> datetime:
        """End of the last month that the model was trained or evaluated on."""
        year, month = map(int, max(self.months).split("-"))
        return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def make_reference(params: Params, data: Path = DATA) -> Reference:
    """Make the reference of the trained model from the months of its window and holdout.

    Args:
        params: Parameters of the trained model.
        data: Directory of the month files.
    """
    window, holdout = params.window.months(), params.holdout.months()
    # One thread, so that sums are always computed in the same order.
    connection = duckdb.connect(config={"threads": 1})
    names = ", ".join(f'"{name}"' for name in (*(column.name for column in feature_columns()), contract.TARGET.name))
    bins = make_variable_bins(
        connection.read_parquet([str(month_path(month, data)) for month in window]).project(names)
    )
    predictor = Predictor.load(stage.MODEL)
    counted = {}
    for month in tqdm([*window, *holdout], "count", unit="month", disable=None):
        table = read_month(month_path(month, data))
        predictions = pa.array(predictor.predict(to_columns(table)).tolist())
        counted[month] = count_distributions(connection.from_arrow(table.append_column(PREDICTION, predictions)), bins)
    with (stage.REPORTS / "plots/importance.csv").open(encoding="utf-8", newline="") as file:
        importance = {row["column"]: max(0.0, float(row[IMPORTANCE[-1]])) for row in csv.DictReader(file)}
    return Reference(
        bins=bins,
        months=counted,
        holdout=tuple(holdout),
        importance=importance,
        metrics=json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))["model"],
    )
