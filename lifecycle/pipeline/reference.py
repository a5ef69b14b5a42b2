"""The reference of a model: the distributions and metrics that monitoring compares production with.

It is stored with the model's version, so that monitoring needs no training data. Each part of window and holdout is
counted separately: the differences between these parts are normal for the model.
"""

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AliasChoices, Field
from tqdm import tqdm

from lifecycle.pipeline import stage
from lifecycle.pipeline.evaluate import IMPORTANCE
from lifecycle.shared.calibration import Calibration, calibrate
from lifecycle.shared.clusters import cluster_sql, group_sql, intraclass_correlation
from lifecycle.shared.commands import git
from lifecycle.shared.console import UserError
from lifecycle.shared.distributions import (
    PREDICTION,
    VARIABLES,
    Distributions,
    cluster_size,
    count_parts,
    make_variable_bins,
    merge,
)
from lifecycle.shared.expectation import Gap, find_gaps
from lifecycle.shared.histograms import Bins
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.params import Params
from lifecycle.shared.parts import DATA, end_of, part_files, read_part
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.settings import Settings
from lifecycle.shared.tables import to_columns
from model import contract

REFERENCE = "reference.json"

# SQL of a value that differs from row to row, to tell clusters of a single row apart.
_ROW = "hash({})".format(", ".join(f'"{column.name}"' for column in request_columns()))


Alikeness = Literal["share", "level", "missing"]


class Alike(Settings):
    """How much alike the rows of a cluster are: intraclass correlations of a variable, from 0 to 1.

    Attributes:
        share: Of the shares of its bins, on average.
        level: Of any change of the distribution; for a number, also one that moves all values.
        missing: Of whether a value is missing.
    """

    share: float
    level: float
    missing: float


class Reference(Settings):
    """Distributions and metrics of the data that a model was trained and evaluated on.

    Attributes:
        bins: Histogram bins of each variable, from the rows of the window.
        periods: Distributions of each part of window and holdout, by its name, with the model's own predictions.
        holdout: Parts of the holdout.
        times: First and last time of the rows, in ISO 8601; None if rows have no time.
        cluster: What a cluster is, as in `clusters.cluster_sql`; empty in the reference of an older version.
        alike: By variable, how much alike the rows of a cluster are; empty in the reference of an older version.
        cluster_size: Number of rows in the cluster of a row of the window, on average.
        calibration: How outcomes agreed with the predictions on the holdout; None in that of an older version.
        gaps: By metric, how far the holdout was from what its probabilities let expect; empty if they do not.
        data_from: When the data was last changed, in ISO 8601; empty if it is split by time.
        importance: By how much `Task.loss` gets worse when a column is shuffled, for each column; at least 0.
        metrics: Metrics of the holdout with their intervals, as in metrics.json.
    """

    bins: dict[str, Bins]
    periods: Annotated[dict[str, Distributions], Field(validation_alias=AliasChoices("periods", "months"))]
    holdout: tuple[str, ...]
    importance: dict[str, float]
    metrics: dict[str, dict[str, float | None]]
    times: tuple[str, str] | None = None
    cluster: str = ""
    alike: dict[str, Alike] = {}  # noqa: RUF012 - of a frozen model
    cluster_size: float = 1.0
    calibration: Calibration | None = None
    gaps: dict[str, Gap] = {}  # noqa: RUF012 - of a frozen model
    data_from: str = ""

    @property
    def known_until(self) -> datetime:
        """End of the last period that the model was trained or evaluated on; without time, when the data changed."""
        if self.data_from:
            return datetime.fromisoformat(self.data_from)
        return datetime.combine(end_of(max(self.periods)), datetime.min.time(), UTC)

    def window_counts(self, variable: str) -> NDArray[np.int64]:
        """Return the number of rows of the window in each bin of a variable."""
        in_window = [seen.counts[variable] for name, seen in self.periods.items() if name not in self.holdout]
        return np.asarray(np.sum(in_window, axis=0, dtype=np.int64))

    def effect(self, variable: str, size: float, of: Alikeness = "share") -> float:
        """Return the design effect: how many rows in clusters tell as much about a variable as an independent row.

        It is 1 + (size - 1) * correlation (Kish 1965, section 5.4).

        Args:
            variable: Name of the variable.
            size: Number of rows in the cluster of a row, on average; see `distributions.cluster_size`.
            of: What it is to tell about the variable; see `Alike`.
        """
        alike = self.alike.get(variable)
        return 1 + (size - 1) * getattr(alike, of) if alike else 1.0


def make_reference(params: Params, data: Path = DATA) -> Reference:
    """Make the reference of the trained model from the parts of its window and holdout.

    Args:
        params: Parameters of the trained model.
        data: Directory of the data.
    """
    window, holdout = params.window.parts(), params.holdout.parts()
    # One thread, so that sums are always computed in the same order.
    connection = duckdb.connect(config={"threads": 1})
    names = ", ".join(f'"{name}"' for name in (*(column.name for column in request_columns()), contract.TARGET.name))
    files = [str(file) for part in window for file in part_files(part, data)]
    rows = connection.read_parquet(files)
    bins = make_variable_bins(rows.project(names))
    sizes = {unit: cluster_size(rows, sql) for unit, sql in cluster_sql(_ROW).items()}
    # The unit of the largest clusters, as for intervals.
    cluster = max(sizes, key=lambda unit: sizes[unit])
    group = group_sql(cluster_sql(_ROW)[cluster])
    predictor = Predictor.load(stage.MODEL)
    counted, by_group, judged = {}, dict[int, list[Distributions]](), list[pa.Table]()
    for part in tqdm([*window, *holdout], "count", unit="part", disable=None):
        table = read_part(part, data)
        if not table.num_rows:
            continue
        predictions = pa.array(predictor.predict(to_columns(table)).tolist())
        scored = table.append_column(PREDICTION, predictions)
        of_groups = count_parts(connection.from_arrow(scored), bins, group)
        counted[part] = merge([*of_groups.values()])
        if part in holdout:
            judged.append(scored)
        else:
            for number, distributions in of_groups.items():
                by_group.setdefault(number, []).append(distributions)
    outcomes = f'*, "{contract.TARGET.name}" AS outcome, {group} AS cluster'
    known = connection.from_arrow(pa.concat_tables(judged)).project(outcomes)
    with (stage.REPORTS / "plots/importance.csv").open(encoding="utf-8", newline="") as file:
        importance = {row["column"]: max(0.0, float(row[IMPORTANCE[-1]])) for row in csv.DictReader(file)}
    return Reference(
        bins=bins,
        periods=counted,
        holdout=tuple(holdout),
        times=_times(connection, [*window, *holdout], data),
        cluster=cluster,
        alike=_alike([merge(parts) for parts in by_group.values()], sizes[cluster]),
        cluster_size=sizes[cluster],
        calibration=calibrate(known, "cluster", params.metrics.confidence),
        gaps=find_gaps(known, "cluster"),
        importance=importance,
        metrics=json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))["model"],
        data_from="" if params.split.by == "time" else _data_changed(),
    )


def _times(connection: duckdb.DuckDBPyConnection, parts: Sequence[str], data: Path) -> tuple[str, str] | None:
    if contract.TIME is None:
        return None
    rows = connection.read_parquet([str(file) for part in parts for file in part_files(part, data)])
    (times,) = rows.aggregate(f'min("{contract.TIME}"), max("{contract.TIME}")').fetchall()
    first, last = (time.isoformat() for time in times)
    return first, last


def _alike(groups: Sequence[Distributions], size: float) -> dict[str, Alike]:
    """Return how much alike the rows of a cluster are, by variable.

    Args:
        groups: Distributions of groups of clusters.
        size: Number of rows in the cluster of a row, on average.
    """
    alike = {}
    numbers = {variable.name for variable in VARIABLES if variable.kind == "number"}
    for name in groups[0].counts if groups and size > 1 else ():
        counts = np.array([group.counts[name] for group in groups], dtype=np.float64)
        missing = counts[:, -1:]
        bins, is_missing = counts, np.hstack([missing, counts.sum(axis=1, keepdims=True) - missing])
        values = counts[:, :-1]
        share = intraclass_correlation(bins, np.eye(bins.shape[1]), size)
        level = (
            intraclass_correlation(values, np.arange(values.shape[1], dtype=np.float64)[:, None], size)
            if name in numbers
            else 0.0
        )
        alike[name] = Alike(
            share=share, level=max(share, level), missing=intraclass_correlation(is_missing, np.eye(2), size)
        )
    return alike


def _data_changed() -> str:
    """Return when the commit was made that last changed the data; now, if the change is not committed.

    Raises:
        UserError: If the clone may lack that commit.
    """
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        raise UserError(
            "this clone was made with `--depth`, so it does not know since when its data is as it is. "
            "`git fetch --unshallow` completes it."
        )
    if git("status", "--porcelain", "--", "data.dvc").strip():
        return datetime.now(UTC).isoformat(timespec="seconds")
    return git("log", "-1", "--format=%cI", "--", "data.dvc").strip()
