"""The reference: what a model in production is compared with. Kept with its version; no row of the data is needed then.

Each month of window and holdout by itself: how much they differ from one another is what the model has got used to.
"""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from tqdm import tqdm

from lifecycle.pipeline import stage
from lifecycle.shared.distributions import PROBABILITY, Distributions, count_distributions, make_variable_bins
from lifecycle.shared.histograms import Bins
from lifecycle.shared.months import DATA, month_path, read_month, to_columns
from lifecycle.shared.params import Params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.settings import Settings
from model import contract

REFERENCE = "reference.json"


class Reference(Settings):
    """What a model was trained and judged on, in numbers.

    Attributes:
        bins: Of each variable, by the rows of the window.
        months: Of window and holdout, with the model's own probabilities.
        holdout: The months among them that it was judged on.
        importance: By column, the log loss gained where it is shuffled; 0 where none is.
        metrics: Of the holdout, with intervals; as metrics.json has them.
    """

    bins: dict[str, Bins]
    months: dict[str, Distributions]
    holdout: tuple[str, ...]
    importance: dict[str, float]
    metrics: dict[str, dict[str, float | None]]

    @property
    def known_until(self) -> datetime:
        """End of the last month that the model was trained or judged on."""
        year, month = map(int, max(self.months).split("-"))
        return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def make_reference(params: Params, data: Path = DATA) -> Reference:
    """Count the months of window and holdout, as the trained model sees them.

    Args:
        params: Of the trained model.
        data: Folder of the month files.
    """
    window, holdout = params.window.months(), params.holdout.months()
    # With one thread, so that sums are always added up in the same order.
    connection = duckdb.connect(config={"threads": 1})
    names = ", ".join(f'"{column.name}"' for column in contract.INPUTS)
    bins = make_variable_bins(
        connection.read_parquet([str(month_path(month, data)) for month in window]).project(names)
    )
    predictor = Predictor.load(stage.MODEL)
    counted = {}
    for month in tqdm([*window, *holdout], "count", unit="month", disable=None):
        table = read_month(month_path(month, data))
        probabilities = pa.array(predictor.probabilities(to_columns(table)))
        counted[month] = count_distributions(
            connection.from_arrow(table.append_column(PROBABILITY, probabilities)), bins
        )
    with (stage.REPORTS / "plots/importance.csv").open(encoding="utf-8", newline="") as file:
        importance = {row["column"]: max(0.0, float(row["log_loss_gained"])) for row in csv.DictReader(file)}
    return Reference(
        bins=bins,
        months=counted,
        holdout=tuple(holdout),
        importance=importance,
        metrics=json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))["model"],
    )
