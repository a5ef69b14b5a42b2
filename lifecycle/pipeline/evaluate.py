"""Third stage: metrics with intervals, by slice and for a trivial baseline; permutation importance; plots.

The stage scores the holdout as the service scores a request: with the model folder, in the contract's columns.
"""

import csv
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from lifecycle.pipeline import stage
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.clusters import Clusters, cluster_columns, find_clusters
from lifecycle.shared.columns import Columns
from lifecycle.shared.files import replacing_folder, write_json
from lifecycle.shared.inputs import feature_columns
from lifecycle.shared.intervals import Groups, Interval, groups_of, jackknife, leave_out_each
from lifecycle.shared.metrics import Weights
from lifecycle.shared.params import Judge, Params, load_params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns, to_target, to_texts
from lifecycle.shared.tasks.task import Predictions, Targets
from model import contract

_DIGITS = 6
_MISSING = "(missing)"
# A sample is enough for the importance: more rows would not change the order of the columns.
_IMPORTANCE_ROWS = 10_000
_IMPORTANCE_REPEATS = 3
# The time grows with the square of the number of columns, so a wide table gets a smaller sample: at most so many values
# are shuffled and predicted from for each column and repeat.
_IMPORTANCE_VALUES = 1_000_000
_FEWEST_IMPORTANCE_ROWS = 500

# Row numbers by column and value. WHOLE is the key of all rows.
Slices = dict[tuple[str, str], NDArray[np.intp]]
WHOLE = ("", "")
# Header of importance.csv.
IMPORTANCE = (
    "column",
    *(f"{name}_{'lost' if METRICS[name].higher_is_better else 'gained'}" for name in (TASK.ranks, TASK.loss)),
)


def evaluate(
    params: Params,
    model: Path = stage.MODEL,
    holdout: Path = stage.PREPARED / "holdout.parquet",
    output: Path = stage.REPORTS,
) -> str:
    """Score the holdout and write the reports.

    Args:
        params: Parameters; seed, metrics and slices are used.
        model: Model folder.
        holdout: Parquet file of the rows to score.
        output: Directory to write metrics.json, slices.json and plots/ to.

    Returns:
        One line that summarizes the result.
    """
    predictor = Predictor.load(model)
    scored = score(predictor, holdout, params.slices)
    targets, predictions = scored.targets, scored.predictions
    measured = _measure(scored, params)
    baseline = point_metrics(targets, TASK.constant(predictor.metadata["baseline"], len(targets)), params)
    importance = _importance(predictor, holdout, params)

    write_json(
        output / "metrics.json",
        {
            "rows": len(targets),
            "clusters": {"unit": scored.clusters.unit, "count": scored.clusters.count},
            "target": _summary(targets),
            "model": _as_json(measured[WHOLE]),
            "baseline": {
                name: None if np.isnan(value) else _rounded(value)
                for name, value in zip(METRICS, baseline, strict=True)
            },
        },
    )
    by_slice: dict[str, dict[str, Any]] = {name: {} for name in params.slices}
    for (name, value), rows in scored.slices.items():
        size = {"rows": len(rows), "target": _summary(targets[rows])}
        by_slice[name][value] = size | _as_json(measured[name, value])
    write_json(output / "slices.json", by_slice)
    with replacing_folder(output / "plots") as folder:
        for name, curve in TASK.curves(targets, predictions, **score_settings(params)).items():
            _write_csv(folder / f"{name}.csv", curve.header, curve.rows)
        _write_csv(folder / "importance.csv", IMPORTANCE, importance)
    metric, interval = METRICS[params.metrics.primary], measured[WHOLE][params.metrics.primary]
    return (
        f"{len(targets):,} rows in {scored.clusters.in_words()} scored, "
        f"{metric.label} {interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
    )


@dataclass(frozen=True)
class Scored:
    """Rows with a model's predictions.

    Attributes:
        targets: Observed targets, of shape (rows,).
        predictions: Predictions of the model.
        clusters: Cluster of each row.
        slices: Row numbers by column and value.
    """

    targets: Targets
    predictions: Predictions
    clusters: Clusters
    slices: Slices


def score(predictor: Predictor, holdout: Path, names: Sequence[str]) -> Scored:
    """Score the rows of a file, one batch at a time.

    Args:
        predictor: Model to score with.
        holdout: Parquet file with the contract's columns and the target.
        names: Columns to slice by.
    """
    file = pq.ParquetFile(holdout)
    targets, predictions = [], []
    for batch in tqdm(file.iter_batches(), "score the holdout", unit="batch", disable=None):
        table = pa.Table.from_batches([batch])
        targets.append(to_target(table))
        predictions.append(predictor.predict(to_columns(table)))
    return Scored(
        np.concatenate(targets),
        np.concatenate(predictions),
        find_clusters(file.read(cluster_columns())),
        slices_of(file.read(list(names))),
    )


def slices_of(table: pa.Table) -> Slices:
    """Return the row numbers of each value of each column of a table."""
    slices: Slices = {}
    for name in table.column_names:
        values = to_texts(table.column(name))
        for value in sorted(set(values), key=str):
            slices[name, _slice_name(value)] = np.flatnonzero(values == value)
    return slices


def _slice_name(value: str | None) -> str:
    """Return the name of the slice with a value; values have different names."""
    if value is None:
        return _MISSING
    return f"'{value}'" if value.strip("'") in {"", _MISSING} else value


def _measure(scored: Scored, judge: Judge) -> dict[tuple[str, str], dict[str, Interval]]:
    """Compute the metrics of the whole holdout, under the key WHOLE, and of each slice."""
    groups = groups_of(scored.clusters.numbers)
    parts: Slices = {WHOLE: np.arange(len(groups)), **scored.slices}
    progress = tqdm(parts.items(), "intervals", unit="slice", disable=None)
    return {
        key: _with_intervals(scored.targets[rows], scored.predictions[rows], groups[rows], judge)
        for key, rows in progress
    }


def _with_intervals(targets: Targets, predictions: Predictions, groups: Groups, judge: Judge) -> dict[str, Interval]:
    scores = TASK.scores(targets, predictions, **score_settings(judge))
    values, without = scores.metrics(_once(targets))[0], leave_out_each(scores.metrics, groups)
    intervals = {}
    for position, (name, metric) in enumerate(METRICS.items()):
        value, low, high = jackknife(values[position], without[:, position], judge.metrics.confidence)
        most = 1.0 if metric.higher_is_better else np.inf
        low, high = (float(np.clip(limit, metric.least, most)) for limit in (low, high))
        intervals[name] = Interval(value, low, high)
    return intervals


def point_metrics(targets: Targets, predictions: Predictions, judge: Judge) -> NDArray[np.float64]:
    """Compute the metrics of some rows, in the order of `METRICS`."""
    (values,) = TASK.scores(targets, predictions, **score_settings(judge)).metrics(_once(targets))
    return np.asarray(values)


def score_settings(judge: Judge) -> dict[str, Any]:
    """Return the settings that `Task.scores` and `Task.curves` take."""
    return {"bins": judge.metrics.calibration_bins, "threshold": judge.threshold}


def _summary(targets: Targets) -> dict[str, float]:
    return {name: _rounded(value) for name, value in TASK.summary(targets).items()}


def _once(rows: NDArray[np.generic]) -> Weights:
    return np.ones((1, len(rows)), dtype=np.uint8)


def _importance(predictor: Predictor, holdout: Path, params: Params) -> list[tuple[str, float, float]]:
    """Compute how much worse the model gets if a column of the contract is shuffled (Breiman 2001).

    Returns:
        For each column its name, and by how much the metrics `TASK.ranks` and `TASK.loss` get worse, averaged over the
        repeats. The most important column comes first.
    """
    random = np.random.default_rng(params.seed)
    file = pq.ParquetFile(holdout)
    rows = file.metadata.num_rows
    affordable = max(_FEWEST_IMPORTANCE_ROWS, _IMPORTANCE_VALUES // len(feature_columns()))
    chosen = np.sort(random.choice(rows, min(rows, _IMPORTANCE_ROWS, affordable), replace=False))
    sampled = []
    start = 0
    for batch in file.iter_batches():
        inside = chosen[(chosen >= start) & (chosen < start + batch.num_rows)] - start
        table = pa.Table.from_batches([batch])
        sampled.append({name: values[inside] for name, values in _with_target(table).items()})
        start += batch.num_rows
    columns = {name: np.concatenate([part[name] for part in sampled]) for name in sampled[0]}
    targets = columns.pop(contract.TARGET.name)
    measured = [[*METRICS].index(name) for name in (TASK.ranks, TASK.loss)]

    def metrics_of(columns: Columns) -> NDArray[np.float64]:
        return point_metrics(targets, predictor.predict(columns), params)[measured]

    def change_if_shuffled(position: int) -> NDArray[np.float64]:
        name = feature_columns()[position].name
        draws = np.random.default_rng([params.seed, position])
        repeats = [metrics_of(columns | {name: draws.permutation(columns[name])}) for _ in range(_IMPORTANCE_REPEATS)]
        return np.asarray(np.mean(repeats, axis=0) - unshuffled)

    unshuffled = metrics_of(columns)
    importance = []
    with ThreadPoolExecutor(stage.cores()) as threads:
        changes = threads.map(change_if_shuffled, range(len(feature_columns())))
        total = len(feature_columns())
        progress = tqdm(changes, "permutation importance", total=total, unit="column", disable=None)
        for column, changes_of_metrics in zip(feature_columns(), progress, strict=True):
            ranks, loss = (
                -METRICS[name].improvement(change)
                for name, change in zip((TASK.ranks, TASK.loss), changes_of_metrics, strict=True)
            )
            importance.append((column.name, _rounded(ranks), _rounded(loss)))
    return sorted(importance, key=lambda row: -row[1])


def _with_target(table: pa.Table) -> Columns:
    return {**to_columns(table), contract.TARGET.name: to_target(table)}


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_rounded(v) if isinstance(v, float | np.floating) else v for v in row] for row in rows)


def _as_json(intervals: dict[str, Interval]) -> dict[str, dict[str, float | None]]:
    return {
        name: {key: None if np.isnan(number) else _rounded(number) for key, number in interval._asdict().items()}
        for name, interval in intervals.items()
    }


def _rounded(number: float | np.floating) -> float:
    # Further digits are noise, and differ between machines.
    return round(float(number), _DIGITS) + 0.0  # turns -0.0 into 0.0


if __name__ == "__main__":
    stage.run_stage("evaluate", lambda: evaluate(load_params()))
