"""Third stage: metrics with intervals, by slice and beside a trivial baseline, permutation importance, plots.

The holdout is scored from the model folder, in the contract's columns, the way the service scores a request.
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
# The importance of a column is read off a sample: more rows would not change the order of the columns.
_IMPORTANCE_ROWS = 10_000
_IMPORTANCE_REPEATS = 3

Target = NDArray[np.bool_]
Probability = NDArray[np.float32]
# Row numbers by column and value; WHOLE are all.
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
        params: Their seed, metrics and slices are used.
        model: The model folder.
        holdout: The rows to score.
        output: Folder to write metrics.json, slices.json and plots/ to.

    Returns:
        What was done, in a line.
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
        about = {"rows": len(rows), "base_rate": _rounded(target[rows].mean())}
        by_slice[name][value] = about | _as_json(measured[name, value])
    write_json(output / "slices.json", by_slice)
    with replacing_folder(output / "plots") as folder:
        _plot_curves(folder, target, probability)
        _plot_calibration(folder, target, probability, params.metrics.calibration_bins)
        _plot_confusion(folder, target, probability >= predictor.metadata["threshold"])
        _write_csv(folder / "importance.csv", ("column", "roc_auc_lost", "log_loss_gained"), importance)
    metric, found = METRICS[params.metrics.primary], measured[WHOLE][params.metrics.primary]
    return (
        f"{len(target):,} rows in {scored.clusters.in_words()} scored, "
        f"{metric.label} {found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"
    )


@dataclass(frozen=True)
class Scored:
    """Rows with a model's predictions.

    Attributes:
        target: Of shape (rows,).
        probability: Predicted probability of the target, of shape (rows,).
        clusters: Which rows are not independent of one another.
        slices: Row numbers by column and value.
    """

    target: Target
    probability: Probability
    clusters: Clusters
    slices: Slices


def score(predictor: Predictor, holdout: Path, names: Sequence[str]) -> Scored:
    """Score the rows of a file, a batch at a time.

    Args:
        predictor: The model.
        holdout: The file, with the target.
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
    """The row numbers of each value of each column of a table."""
    slices: Slices = {}
    for name in table.column_names:
        values = to_texts(table.column(name))
        for value in sorted(set(values), key=str):
            slices[name, value or "(missing)"] = np.flatnonzero(values == value)
    return slices


def _measure(scored: Scored, settings: Metrics) -> dict[tuple[str, str], dict[str, Interval]]:
    """The metrics of the whole holdout, under the key WHOLE, and of each slice."""
    groups = groups_of(scored.clusters.numbers)
    parts: Slices = {WHOLE: np.arange(len(groups)), **scored.slices}
    shown = tqdm(parts.items(), "intervals", unit="slice", disable=None)
    return {
        key: _with_intervals(scored.target[rows], scored.probability[rows], groups[rows], settings)
        for key, rows in shown
    }


def _with_intervals(target: Target, probability: Probability, groups: Groups, settings: Metrics) -> dict[str, Interval]:
    scores = Scores(target, probability, bins=settings.calibration_bins)
    values, without = scores.metrics(_once(target))[0], leave_out_each(scores.metrics, groups)
    found = {}
    for position, (name, metric) in enumerate(METRICS.items()):
        value, low, high = jackknife(values[position], without[:, position], settings.confidence)
        most = 1.0 if metric.higher_is_better else np.inf
        found[name] = Interval(value, float(np.clip(low, 0, most)), float(np.clip(high, 0, most)))
    return found


def point_metrics(target: Target, probability: NDArray[np.floating], settings: Metrics) -> NDArray[np.float64]:
    """The metrics of some rows, in the order of `METRICS`."""
    (found,) = Scores(target, probability, bins=settings.calibration_bins).metrics(_once(target))
    return np.asarray(found)


def _once(rows: NDArray[np.generic]) -> Weights:
    return np.ones((1, len(rows)), dtype=np.uint8)


def _importance(predictor: Predictor, holdout: Path, params: Params) -> list[tuple[str, float, float]]:
    """How much worse the model gets when a column of the contract is shuffled (Breiman 2001), most important first.

    Returns:
        For each column its name, the ROC AUC lost and the log loss gained, means of the repeats.
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

    def points(columns: Columns) -> NDArray[np.float64]:
        found = point_metrics(target, predictor.probabilities(columns), params.metrics)
        return np.array([found[_ROC_AUC], found[_LOG_LOSS]])

    def lost(position: int) -> NDArray[np.float64]:
        name = contract.INPUTS[position].name
        draws = np.random.default_rng([params.seed, position])
        repeats = [points(columns | {name: draws.permutation(columns[name])}) for _ in range(_IMPORTANCE_REPEATS)]
        return np.asarray(np.mean(repeats, axis=0) - whole)

    whole = points(columns)
    found = []
    with ThreadPoolExecutor(stage.cores()) as threads:
        losses = threads.map(lost, range(len(contract.INPUTS)))
        total = len(contract.INPUTS)
        shown = tqdm(losses, "permutation importance", total=total, unit="column", disable=None)
        for column, (auc, loss) in zip(contract.INPUTS, shown, strict=True):
            found.append((column.name, _rounded(-auc), _rounded(loss)))
    return sorted(found, key=lambda row: -row[1])


def _with_target(table: pa.Table) -> Columns:
    return {**to_columns(table), contract.TARGET: to_target(table)}


_ROC_AUC, _LOG_LOSS = [*METRICS].index("roc_auc"), [*METRICS].index("log_loss")


def _plot_curves(folder: Path, target: Target, probability: Probability) -> None:
    """ROC and precision-recall curves, thinned to points that are evenly spaced along them."""
    false, true = curves.roc(target, probability)
    along = _thinned(false + true)
    points = zip(false[along], true[along], strict=True)
    _write_csv(folder / "roc.csv", ("false_positive_rate", "true_positive_rate"), points)
    recall, precision = curves.precision_recall(target, probability)
    along = _thinned(recall)
    points = zip(recall[along], precision[along], strict=True)
    _write_csv(folder / "precision_recall.csv", ("recall", "precision"), points)


def _thinned(position: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices of at most `_CURVE_POINTS` points that are about evenly spaced in an ascending position."""
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
        name: {key: None if np.isnan(number) else _rounded(number) for key, number in found._asdict().items()}
        for name, found in intervals.items()
    }


def _rounded(number: float | np.floating) -> float:
    # Further digits differ between machines, and mean nothing.
    return round(float(number), _DIGITS) + 0.0  # no -0.0


if __name__ == "__main__":
    stage.run_stage("evaluate", lambda: evaluate(load_params()))
