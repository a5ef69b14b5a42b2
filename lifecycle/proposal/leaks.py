"""Suspected leaks: signs that a model uses what it will not know in production, as warnings in the report.

Each check returns sentences of Markdown, and none if it suspects nothing. They never change the verdict.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyRelation
from numpy.typing import NDArray

from lifecycle.pipeline.curves import roc
from lifecycle.proposal.row_pairs import duckdb_in_memory
from lifecycle.shared.columns import Columns
from lifecycle.shared.text import foreign
from model import contract

# Share of the champion's gap to a ROC AUC of 1. On the example, the best of four kinds of estimators closes a seventh
# of the gap of the simplest one; a proposal that closes more than half is a discovery or a leak.
_LEAP = 0.5
# Share of the importance of all columns. With more than half, a column matters more than all others together: it
# rather knows the outcome than is a new idea.
_IMPORTANCE = 0.5
# ROC AUC of a single column. On the example, the best column reaches 0.70 and the model 0.75; a column that reaches 0.9
# leaves nothing to predict.
_ALONE = 0.9
# Least number of rows of each class for a ROC AUC; with 30 of each, its standard deviation by chance is 0.08.
_CLASS_ROWS = 30
_SAMPLE = 50_000  # rows: the standard deviation of a ROC AUC is below 0.003
_BINS = 128  # of a number: 390 rows of the sample in each
# Share of the holdout's rows that occur in the window under another identity. Fewer than one in a hundred do not change
# a metric; on the example there is none.
_COPIED = 0.01
# Largest ratio of the odds of such a row to those between the window's own periods. On the example with few columns,
# where 3% to 50% of the rows occur again, the odds rise by a factor of up to 2.1 from month to month. Odds are used
# because a share of 40% cannot triple.
_TIMES_USUAL = 3
# Usual share of repeated rows above which the check is meaningless.
_MOSTLY_ALIKE = 0.5
# Share of rows with a time later than the row's own. Wrong clocks and the repeated hour in autumn stay below; a time
# that is only known afterwards is later in nearly all rows.
_DATED_AFTER = 0.001

_ASK = "Is it known when the prediction is made?"


def implausible_leap(champion: float, candidate: float) -> list[str]:
    """Warn if the candidate closes more than half of the champion's gap to a perfect ROC AUC.

    Args:
        champion: ROC AUC of the champion.
        candidate: ROC AUC of the candidate, on the same rows.
    """
    if not candidate - champion > _LEAP * (1 - champion):
        return []
    closed = (candidate - champion) / (1 - champion)
    warning = (
        f"ROC AUC rises from {champion:.4f} to {candidate:.4f}, which closes {closed:.0%} of the champion's gap to a "
        f"perfect model. Is each input known when the prediction is made?"
    )
    return [warning]


def dominant_new_column(importance: Mapping[str, float], known: Collection[str]) -> list[str]:
    """Warn if a column that the champion does not have carries more than half of the importance.

    Args:
        importance: Increase of the log loss when a column is shuffled, by column.
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


def predicts_alone(
    train: Columns, train_target: NDArray[np.bool_], holdout: Columns, holdout_target: NDArray[np.bool_]
) -> list[str]:
    """Warn if a single column predicts the holdout's target.

    A category, the hour of a timestamp, or the bin of a number scores a row by its rate of the target in training, so
    that an id that never repeats is no suspect. A number is also a score in itself, in either direction.

    Args:
        train: The contract's inputs of training rows.
        train_target: Their target, of shape (training rows,).
        holdout: The contract's inputs of the holdout.
        holdout_target: Its target, of shape (rows,).
    """
    if min(holdout_target.sum(), (~holdout_target).sum()) < _CLASS_ROWS:
        return []
    chosen, judged = _sample(len(train_target)), _sample(len(holdout_target))
    target = holdout_target[judged]
    warnings = []
    for column in contract.INPUTS:
        seen, values = train[column.name][chosen], holdout[column.name][judged]
        scores = _by_rate(*_codes(seen, values, column.type), train_target[chosen])
        aucs = [_roc_auc(target, scores)]
        if column.is_numeric:
            aucs += [max(auc, 1 - auc) for auc in (_roc_auc(target, ranks) for ranks in _ranks(values))]
        if max(aucs) >= _ALONE:
            warnings.append(f"{foreign(column.name)} alone reaches a ROC AUC of {max(aucs):.3f} on the holdout. {_ASK}")
    return warnings


def copied_rows(window: Sequence[Path], holdout: Path) -> list[str]:
    """Warn if rows of the holdout occur in the training window under another identity.

    Two rows are the same if all their other columns are, including the target. Some rows are the same by chance, so the
    share is compared with that of the window's last period in the earlier ones, or with the share of duplicates if
    there is a single period.

    Args:
        window: Files of the periods of the training window, in order.
        holdout: File of the holdout.
    """
    names = [column.name for column in contract.INPUTS if column.name not in contract.IDENTITY]
    quoted = ('"' + name.replace('"', '""') + '"' for name in (*names, contract.TARGET))
    values = f"hash({', '.join(quoted)})"
    with duckdb_in_memory() as connection:

        def rows(files: Sequence[Path], alias: str) -> DuckDBPyRelation:
            return connection.read_parquet([str(file) for file in files]).project(f"{values} AS {alias}")

        *earlier, last = window
        share = _share(rows([holdout], "row"), rows(window, "seen"))
        if earlier:
            usual = _share(rows([last], "row"), rows(earlier, "seen"))
        else:
            doubled = rows([last], "seen").aggregate("seen, count(*) AS copies", "seen").filter("copies > 1")
            usual = _share(rows([last], "row"), doubled.project("seen"))
    likelier = share * (1 - usual) > _TIMES_USUAL * usual * (1 - share)
    if share <= _COPIED or usual > _MOSTLY_ALIKE or not likelier:
        return []
    warning = (
        f"{share:.1%} of the holdout's rows occur in the training window under another identity, with the same values "
        f"in all other columns; between periods of the window, {usual:.1%} do. Were rows copied or moved in time?"
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


def _by_rate(train: NDArray[np.intp], holdout: NDArray[np.intp], target: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return for each row of the holdout the training rate of the target for its value; the overall rate if unseen."""
    values = int(max(train.max(), holdout.max())) + 1
    rows, positive = np.bincount(train, minlength=values), np.bincount(train, target, minlength=values)
    # Each value gets one more row with the overall rate, because a single training row proves little.
    rates: NDArray[np.float64] = (positive + target.mean()) / (rows + 1)
    return rates[holdout]


def _ranks(values: NDArray[np.generic]) -> list[NDArray[np.float64]]:
    """Return the ranks of numbers, once with missing ones as the smallest and once as the largest."""
    ranks = np.unique(values, return_inverse=True)[1].astype(np.float64)
    return [np.where(np.isnan(values), end, ranks) for end in (-1, len(values))]


def _roc_auc(target: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    false, true = roc(target, score)
    return float(np.trapezoid(true, false))
