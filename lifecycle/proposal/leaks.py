"""Suspected leaks: signs that a model uses what it will not know in production, as warnings in the report.

Each check returns sentences of Markdown, and none if it suspects nothing. They never change the verdict.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyRelation
from numpy.typing import NDArray

from lifecycle.proposal.row_pairs import duckdb_in_memory
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.columns import Columns
from lifecycle.shared.inputs import feature_columns
from lifecycle.shared.tasks.task import Predictions, Targets
from lifecycle.shared.text import foreign
from model import contract

# Share of the champion's gap to a perfect value of the metric `Task.ranks`, such as a ROC AUC of 1. On the example, the
# best of four kinds of estimators closes a seventh of the gap of the simplest one; a proposal that closes more than
# half is a discovery or a leak.
_LEAP = 0.5
# Share of the importance of all columns. With more than half, a column matters more than all others together: it is
# more likely to encode the outcome than to be a new idea.
_IMPORTANCE = 0.5
# Metric `Task.ranks` of a single column. On the example, the best column reaches a ROC AUC of 0.70 and the model 0.75;
# a column that reaches 0.9 leaves nothing to predict.
_ALONE = 0.9
# Least `Task.support`; with 30 rows of each class, the standard deviation of a ROC AUC by chance is 0.08.
_SUPPORT = 30
_SAMPLE = 50_000  # rows: the standard deviation of a ROC AUC is below 0.003
_BINS = 128  # of a number: 390 rows of the sample in each
# Share of the holdout's rows that occur in the window under another identity. Fewer than one in a hundred do not change
# a metric; on the example there is none.
_COPIED = 0.01
# Largest ratio of the odds of such a row to those between the window's own parts. On the example with few columns,
# where 3% to 50% of the rows occur again, the odds rise by a factor of up to 2.1 from month to month. Odds are used
# because a share of 40% cannot triple.
_TIMES_USUAL = 3
# Usual share of repeated rows above which the check is meaningless.
_MOSTLY_ALIKE = 0.5
# Share of rows with a time later than the row's own. Wrong clocks and the repeated hour in autumn stay below; a time
# that is only known afterwards is later in nearly all rows.
_DATED_AFTER = 0.001

_RANKS = METRICS[TASK.ranks]
_ASK = "Is it known when the prediction is made?"


def implausible_leap(champion: float, candidate: float) -> list[str]:
    """Warn if the candidate closes more than half of the champion's gap to a perfect model.

    Args:
        champion: Metric `Task.ranks` of the champion.
        candidate: Metric of the candidate, on the same rows.
    """
    if not candidate - champion > _LEAP * (1 - champion):
        return []
    closed = (candidate - champion) / (1 - champion)
    warning = (
        f"{_RANKS.label} rises from {champion:.4f} to {candidate:.4f}, which closes {closed:.0%} of the champion's gap "
        f"to a perfect model. Is each input known when the prediction is made?"
    )
    return [warning]


def dominant_new_column(importance: Mapping[str, float], known: Collection[str]) -> list[str]:
    """Warn if a column that the champion does not have carries more than half of the importance.

    Args:
        importance: By how much `Task.loss` gets worse when a column is shuffled, by column.
        known: Columns of the champion's contract.
    """
    gained = {name: max(0.0, loss) for name, loss in importance.items()}
    total = sum(gained.values())
    return [
        f"{foreign(name)}, which the champion does not have, carries {loss / total:.0%} of the importance of all "
        f"columns. {_ASK}"
        for name, loss in gained.items()
        if name not in known and loss > _IMPORTANCE * total
    ]


def predicts_alone(train: Columns, train_targets: Targets, holdout: Columns, holdout_targets: Targets) -> list[str]:
    """Warn if a single column predicts the holdout's target.

    A category, the hour of a timestamp, or the bin of a number predicts the mean target of its training rows, so an id
    that never repeats raises no warning. Half of the holdout predicts the other half too, so that a number whose scale
    has changed since training is found as well.

    Args:
        train: The contract's inputs of training rows.
        train_targets: Their targets, of shape (training rows,).
        holdout: The contract's inputs of the holdout.
        holdout_targets: Its targets, of shape (rows,).
    """
    if TASK.support(holdout_targets) < _SUPPORT:
        return []
    chosen, judged = _sample(len(train_targets)), _sample(len(holdout_targets))
    indicators, targets = TASK.indicators(train_targets[chosen]), holdout_targets[judged]
    warnings = []
    for column in feature_columns():
        seen, values = train[column.name][chosen], holdout[column.name][judged]
        predictions = [_means(*_codes(seen, values, column.type), indicators)]
        if column.is_numeric:
            predictions.append(_by_other_half(values, column.type, TASK.indicators(targets)))
        reached = max(_ranking_metric(targets, predicted) for predicted in predictions)
        if reached >= _ALONE:
            warnings.append(
                f"{foreign(column.name)} alone reaches a {_RANKS.label} of {reached:.3f} on the holdout. {_ASK}"
            )
    return warnings


def _ranking_metric(targets: Targets, predictions: Predictions) -> float:
    """Return the metric `Task.ranks` of predictions."""
    scores = TASK.scores(targets, predictions, bins=1, threshold=0.5 if TASK.has_threshold else None)
    every_row = np.ones((1, len(targets)), dtype=np.uint8)
    return float(scores.metrics(every_row)[0][[*METRICS].index(TASK.ranks)])


def copied_rows(window: Sequence[Sequence[Path]], holdout: Path) -> list[str]:
    """Warn if rows of the holdout occur in the training window under another identity.

    Two rows are the same if all their other columns are, including the target. Some rows are the same by chance, so the
    share is compared with that of the window's last part in the earlier ones, or with the share of duplicates if there
    is a single part.

    Args:
        window: Files of each part of the training window, in order.
        holdout: File of the holdout.
    """
    names = [column.name for column in contract.INPUTS if column.name not in contract.IDENTITY]
    quoted = ('"' + name.replace('"', '""') + '"' for name in (*names, contract.TARGET.name))
    values = f"hash({', '.join(quoted)})"
    with duckdb_in_memory() as connection:

        def rows(files: Sequence[Path], alias: str) -> DuckDBPyRelation:
            return connection.read_parquet([str(file) for file in files]).project(f"{values} AS {alias}")

        *earlier, last = window
        before = [file for files in earlier for file in files]
        share = _share(rows([holdout], "row"), rows([*before, *last], "seen"))
        if before:
            usual = _share(rows(last, "row"), rows(before, "seen"))
        else:
            doubled = rows(last, "seen").aggregate("seen, count(*) AS copies", "seen").filter("copies > 1")
            usual = _share(rows(last, "row"), doubled.project("seen"))
    likelier = share * (1 - usual) > _TIMES_USUAL * usual * (1 - share)
    if share <= _COPIED or usual > _MOSTLY_ALIKE or not likelier:
        return []
    warning = (
        f"{share:.1%} of the holdout's rows occur in the training window under another identity, with the same values "
        f"in all other columns; between parts of the window, {usual:.1%} do. Were rows copied or moved in time?"
    )
    return [warning]


def known_only_later(columns: Columns, time: str) -> list[str]:
    """Warn if a timestamp is later than the time of its row.

    Args:
        columns: Time of the rows, and the timestamps to check.
        time: Name of the column with the time of the rows.
    """
    warnings = []
    for column in contract.INPUTS:
        if column.type == "timestamp" and column.name in columns:
            share = float(np.greater(columns[column.name], columns[time]).mean())
            if share > _DATED_AFTER:
                warnings.append(
                    f"{foreign(column.name)} is later than {foreign(time)} in {share:.1%} of the rows. {_ASK}"
                )
    return warnings


def trained_on_later_rows(window: NDArray[np.generic], holdout: NDArray[np.generic]) -> list[str]:
    """Warn if rows of the training window are later than the first row of the holdout.

    Args:
        window: Times of the training rows, of shape (training rows,).
        holdout: Times of the holdout's rows, of shape (rows,).
    """
    first = np.fmin.reduce(holdout)  # ignores missing times
    later = int(np.greater(window, first).sum())
    warning = (
        f"{later:,} of {len(window):,} rows of the training window are later than the first row of the holdout "
        f"({first}): the model has seen the period that it is judged on. End the window earlier."
    )
    return [warning] if later else []


def _share(rows: DuckDBPyRelation, among: DuckDBPyRelation) -> float:
    """Return the share of rows that occur among other rows."""
    total = rows.aggregate("count(*)").fetchall()[0][0]
    common = rows.set_alias("rows").join(among.set_alias("among"), "row = seen", how="semi").aggregate("count(*)")
    return float(common.fetchall()[0][0] / total)


def _sample(rows: int) -> NDArray[np.intp]:
    """Return the numbers of a random sample of rows, always the same."""
    return np.random.default_rng(0).permutation(rows)[:_SAMPLE]


def _codes(
    train: NDArray[np.generic], holdout: NDArray[np.generic], kind: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return a code from 0 for each value: of a category the category, of a timestamp the hour, of a number the bin."""
    both = np.concatenate([train, holdout])
    if kind == "category":
        codes = pa.array(both).dictionary_encode(null_encoding="encode").indices.to_numpy()
    elif kind == "timestamp":
        codes = np.where(np.isnat(both), 24, both.astype("datetime64[h]").astype(np.int64) % 24)
    else:
        ordered = np.sort(train[~np.isnan(train)])
        edges = np.unique(ordered[np.linspace(0, len(ordered) - 1, _BINS).astype(np.intp)]) if len(ordered) else ordered
        codes = np.where(np.isnan(both), len(edges) + 1, np.searchsorted(edges, both))
    return codes[: len(train)], codes[len(train) :]


def _means(train: NDArray[np.intp], holdout: NDArray[np.intp], indicators: NDArray[np.float64]) -> Predictions:
    """Return for each row of the holdout the mean indicators of the training rows with its code.

    Args:
        train: Codes of the training rows.
        holdout: Codes of the rows of the holdout. An unseen one gets the overall mean.
        indicators: Indicators of the training rows, of shape (training rows,) or (training rows, classes).
    """
    codes = int(max(train.max(), holdout.max())) + 1
    rows = np.bincount(train, minlength=codes)
    sums = np.zeros((codes, *indicators.shape[1:]))
    np.add.at(sums, train, indicators)
    # Each code gets one more row with the overall mean, because a single training row proves little.
    means: Predictions = ((sums + indicators.mean(axis=0)).T / (rows + 1)).T
    return np.asarray(means[holdout])


def _by_other_half(values: NDArray[np.generic], kind: str, indicators: NDArray[np.float64]) -> Predictions:
    """Return for each row the mean indicators of the rows with its code in the other half.

    Args:
        values: Values of rows in random order.
        kind: Type of their column.
        indicators: Their indicators, of shape (rows,) or (rows, classes).
    """
    means = np.empty(indicators.shape)
    even = np.arange(len(values)) % 2 == 0
    for half in (even, ~even):
        means[half] = _means(*_codes(values[~half], values[half], kind), indicators[~half])
    return means
