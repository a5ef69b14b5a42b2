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

from lifecycle.pipeline import curves, stage
from lifecycle.shared.clusters import Clusters, cluster_columns, find_clusters
from lifecycle.shared.columns import Columns
from lifecycle.shared.files import replacing_folder, write_json
from lifecycle.shared.intervals import Groups, Interval, groups_of, jackknife, leave_out_each
from lifecycle.shared.metrics import METRICS, Scores, Weights
from lifecycle.shared.months import to_columns, to_target, to_texts
from lifecycle.shared.params import Metrics, Params, load_params
from lifecycle.shared.predictor import Predictor
from model import contract

_DIGITS = 6
_CURVE_POINTS = 200
# A sample is enough for the importance: more rows would not change the order of the columns.
_IMPORTANCE_ROWS = 10_000
_IMPORTANCE_REPEATS = 3

Target = NDArray[np.bool_]
Probability = NDArray[np.float32]
# Row numbers by column and value. WHOLE is the key of all rows.
Slices = dict[tuple[str, str], NDArray[np.intp]]
WHOLE = ("", "")


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
    target, probability = scored.target, scored.probability
    measured = _measure(scored, params.metrics)
    baseline = point_metrics(target, np.full(len(target), predictor.metadata["base_rate"]), params.metrics)
    importance = _importance(predictor, holdout, params)

    write_json(
        output / "metrics.json",
        {
            "rows": len(target),
            "clusters": {"unit": scored.clusters.unit, "count": scored.clusters.count},
            "base_rate": _rounded(target.mean()),
            "model": _as_json(measured[WHOLE]),
            "baseline": {
                name: None if np.isnan(value) else _rounded(value)
                for name, value in zip(METRICS, baseline, strict=True)
            },
        },
    )
    by_slice: dict[str, dict[str, Any]] = {name: {} for name in params.slices}
    for (name, value), rows in scored.slices.items():
        size = {"rows": len(rows), "base_rate": _rounded(target[rows].mean())}
        by_slice[name][value] = size | _as_json(measured[name, value])
    write_json(output / "slices.json", by_slice)
    with replacing_folder(output / "plots") as folder:
        _plot_curves(folder, target, probability)
        _plot_calibration(folder, target, probability, params.metrics.calibration_bins)
        _plot_confusion(folder, target, probability >= predictor.metadata["threshold"])
        _write_csv(folder / "importance.csv", ("column", "roc_auc_lost", "log_loss_gained"), importance)
    metric, interval = METRICS[params.metrics.primary], measured[WHOLE][params.metrics.primary]
    return (
        f"{len(target):,} rows in {scored.clusters.in_words()} scored, "
        f"{metric.label} {interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
    )


@dataclass(frozen=True)
class Scored:
    """Rows with a model's predictions.

    Attributes:
        target: Observed target, of shape (rows,).
        probability: Predicted probability of the target, of shape (rows,).
        clusters: Cluster of each row.
        slices: Row numbers by column and value.
    """

    target: Target
    probability: Probability
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
    targets, probabilities = [], []
    for batch in tqdm(file.iter_batches(), "score the holdout", unit="batch", disable=None):
        table = pa.Table.from_batches([batch])
        targets.append(to_target(table))
        probabilities.append(predictor.probabilities(to_columns(table)))
    return Scored(
        np.concatenate(targets),
        np.concatenate(probabilities),
        find_clusters(file.read(cluster_columns())),
        slices_of(file.read(list(names))),
    )


def slices_of(table: pa.Table) -> Slices:
    """Return the row numbers of each value of each column of a table."""
    slices: Slices = {}
    for name in table.column_names:
        values = to_texts(table.column(name))
        for value in sorted(set(values), key=str):
            slices[name, value or "(missing)"] = np.flatnonzero(values == value)
    return slices


def _measure(scored: Scored, settings: Metrics) -> dict[tuple[str, str], dict[str, Interval]]:
    """Compute the metrics of the whole holdout, under the key WHOLE, and of each slice."""
    groups = groups_of(scored.clusters.numbers)
    parts: Slices = {WHOLE: np.arange(len(groups)), **scored.slices}
    progress = tqdm(parts.items(), "intervals", unit="slice", disable=None)
    return {
        key: _with_intervals(scored.target[rows], scored.probability[rows], groups[rows], settings)
        for key, rows in progress
    }


def _with_intervals(target: Target, probability: Probability, groups: Groups, settings: Metrics) -> dict[str, Interval]:
    scores = Scores(target, probability, bins=settings.calibration_bins)
    values, without = scores.metrics(_once(target))[0], leave_out_each(scores.metrics, groups)
    intervals = {}
    for position, (name, metric) in enumerate(METRICS.items()):
        value, low, high = jackknife(values[position], without[:, position], settings.confidence)
        upper_bound = 1.0 if metric.higher_is_better else np.inf
        intervals[name] = Interval(value, float(np.clip(low, 0, upper_bound)), float(np.clip(high, 0, upper_bound)))
    return intervals


def point_metrics(target: Target, probability: NDArray[np.floating], settings: Metrics) -> NDArray[np.float64]:
    """Compute the metrics of some rows, in the order of `METRICS`."""
    (values,) = Scores(target, probability, bins=settings.calibration_bins).metrics(_once(target))
    return np.asarray(values)


def _once(rows: NDArray[np.generic]) -> Weights:
    return np.ones((1, len(rows)), dtype=np.uint8)


def _importance(predictor: Predictor, holdout: Path, params: Params) -> list[tuple[str, float, float]]:
    """Compute how much worse the model gets if a column of the contract is shuffled (Breiman 2001).

    Returns:
        For each column its name, the loss of ROC AUC and the rise of log loss, averaged over the repeats. The most
        important column comes first.
    """
    random = np.random.default_rng(params.seed)
    file = pq.ParquetFile(holdout)
    rows = file.metadata.num_rows
    chosen = np.sort(random.choice(rows, min(rows, _IMPORTANCE_ROWS), replace=False))
    sampled = []
    start = 0
    for batch in file.iter_batches():
        inside = chosen[(chosen >= start) & (chosen < start + batch.num_rows)] - start
        table = pa.Table.from_batches([batch])
        sampled.append({name: values[inside] for name, values in _with_target(table).items()})
        start += batch.num_rows
    columns = {name: np.concatenate([part[name] for part in sampled]) for name in sampled[0]}
    target = columns.pop(contract.TARGET).astype(np.bool_)

    def metrics_of(columns: Columns) -> NDArray[np.float64]:
        values = point_metrics(target, predictor.probabilities(columns), params.metrics)
        return np.array([values[_ROC_AUC], values[_LOG_LOSS]])

    def change_if_shuffled(position: int) -> NDArray[np.float64]:
        name = contract.INPUTS[position].name
        draws = np.random.default_rng([params.seed, position])
        repeats = [metrics_of(columns | {name: draws.permutation(columns[name])}) for _ in range(_IMPORTANCE_REPEATS)]
        return np.asarray(np.mean(repeats, axis=0) - unshuffled)

    unshuffled = metrics_of(columns)
    importance = []
    with ThreadPoolExecutor(stage.cores()) as threads:
        changes = threads.map(change_if_shuffled, range(len(contract.INPUTS)))
        total = len(contract.INPUTS)
        progress = tqdm(changes, "permutation importance", total=total, unit="column", disable=None)
        for column, (auc, loss) in zip(contract.INPUTS, progress, strict=True):
            importance.append((column.name, _rounded(-auc), _rounded(loss)))
    return sorted(importance, key=lambda row: -row[1])


def _with_target(table: pa.Table) -> Columns:
    return {**to_columns(table), contract.TARGET: to_target(table)}


_ROC_AUC, _LOG_LOSS = [*METRICS].index("roc_auc"), [*METRICS].index("log_loss")


def _plot_curves(folder: Path, target: Target, probability: Probability) -> None:
    """Write the ROC and precision-recall curves, thinned to evenly spaced points."""
    false, true = curves.roc(target, probability)
    along = _thinned(false + true)
    points = zip(false[along], true[along], strict=True)
    _write_csv(folder / "roc.csv", ("false_positive_rate", "true_positive_rate"), points)
    recall, precision = curves.precision_recall(target, probability)
    along = _thinned(recall)
    points = zip(recall[along], precision[along], strict=True)
    _write_csv(folder / "precision_recall.csv", ("recall", "precision"), points)


def _thinned(position: NDArray[np.floating]) -> NDArray[np.intp]:
    """Choose at most `_CURVE_POINTS` roughly evenly spaced points; return their indices into ascending positions."""
    even = np.linspace(position[0], position[-1], _CURVE_POINTS)
    return np.unique(np.minimum(np.searchsorted(position, even), len(position) - 1))


def _plot_calibration(folder: Path, target: Target, probability: Probability, bins: int) -> None:
    points = zip(*curves.calibration(target, probability, bins), strict=True)
    _write_csv(folder / "calibration.csv", ("predicted", "observed", "rows"), points)


def _plot_confusion(folder: Path, target: Target, label: Target) -> None:
    names = {True: contract.TARGET, False: f"not {contract.TARGET}"}
    rows = [
        (names[actual], names[predicted], int(((target == actual) & (label == predicted)).sum()))
        for actual in (True, False)
        for predicted in (True, False)
    ]
    _write_csv(folder / "confusion.csv", ("actual", "predicted", "rows"), rows)


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
