"""Suspicions that a model is judged on what it cannot know: said as warnings at the top of the report, never a verdict.

Each check returns sentences of Markdown, none if it suspects nothing.
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

# Share of what the champion lacks to a ROC AUC of 1. On the example the best of four kinds of estimators closes a
# seventh of the gap of the simplest one; a proposal that closes more than half is a discovery or a leak.
_LEAP = 0.5
# Share of the importance of all columns. With more than half, a column decides more than all others together: rather
# one that knows the outcome than one that nobody had thought of.
_IMPORTANCE = 0.5
# ROC AUC of one column. On the example the best column by itself reaches 0.70 and the model 0.75; a column that reaches
# 0.9 by itself leaves nothing to predict.
_ALONE = 0.9
# Rows of each class without which no ROC AUC is computed: with 30 of each, chance has a standard deviation of 0.08.
_CLASS_ROWS = 30
_SAMPLE = 50_000  # rows: the standard deviation of a ROC AUC is below 0.003
_BINS = 128  # of a number: 390 rows of the sample in each
# Share of the holdout's rows that occur in the window under another identity. Fewer than one row in a hundred do not
# move a metric; on the example no row does.
_COPIED = 0.01
# How many times the odds of such a row may be those between the window's own periods. On the example with a few of its
# columns, where 3% to 50% of the rows occur again, the odds rise by up to 2.1 from one month to the next. Odds rather
# than shares: there is no three times 40%.
_TIMES_USUAL = 3
# Share of rows that usually occur again, above which this tells nothing.
_MOSTLY_ALIKE = 0.5
# Share of rows with a time later than the row's own. Wrong clocks, and the hour that autumn repeats, stay below; a time
# that is known only afterwards is later in nearly all rows.
_DATED_AFTER = 0.001

_ASK = "Is it known when the prediction is made?"


def implausible_leap(champion: float, candidate: float) -> list[str]:
    """Whether the candidate closes more than half of the champion's gap to a perfect ROC AUC.

    Args:
        champion: ROC AUC of the champion.
        candidate: ROC AUC of the candidate, on the same rows.
    """
    if not candidate - champion > _LEAP * (1 - champion):
        return []
    closed = (candidate - champion) / (1 - champion)
    said = (
        f"ROC AUC rises from {champion:.4f} to {candidate:.4f}, which is {closed:.0%} of what the champion lacks to a "
        f"perfect model. Is each input known when the prediction is made?"
    )
    return [said]


def dominant_new_column(importance: Mapping[str, float], known: Collection[str]) -> list[str]:
    """Whether a column that the champion does not have carries more than half of the importance.

    Args:
        importance: Log loss gained where a column is shuffled, by column.
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
    """Whether a single column predicts the holdout's target.

    Categories, hours of timestamps and bins of numbers score a row by their rate of the target in training: an id that
    does not come again tells nothing. A number is a score in itself, too, in either direction.

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
    found = []
    for column in contract.INPUTS:
        seen, values = train[column.name][chosen], holdout[column.name][judged]
        scores = _by_rate(*_codes(seen, values, column.type), train_target[chosen])
        aucs = [_roc_auc(target, scores)]
        if column.is_numeric:
            aucs += [max(auc, 1 - auc) for auc in (_roc_auc(target, ranks) for ranks in _ranks(values))]
        if max(aucs) >= _ALONE:
            found.append(f"{foreign(column.name)} alone reaches a ROC AUC of {max(aucs):.3f} on the holdout. {_ASK}")
    return found


def copied_rows(window: Sequence[Path], holdout: Path) -> list[str]:
    """Whether rows of the holdout occur in the training window under another identity.

    A row is the same if all its other columns are, the target among them. Some rows are by nature, so the share is
    compared with that of the window's last period in the earlier ones, or of doubled rows in the only period.

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
    said = (
        f"{share:.1%} of the holdout's rows occur in the training window under another identity, with the same values "
        f"in all other columns; between its own periods {usual:.1%} do. Were rows copied, or moved in time?"
    )
    return [said]


def known_only_later(columns: Columns, time: str) -> list[str]:
    """Whether a timestamp lies after the time of its row.

    Args:
        columns: The time of the rows and those timestamps of the contract that are suspected, of any rows.
        time: Column that has the time of a row.
    """
    found = []
    for column in contract.INPUTS:
        if column.type == "timestamp" and column.name in columns:
            share = float(np.greater(columns[column.name], columns[time]).mean())
            if share > _DATED_AFTER:
                found.append(f"{foreign(column.name)} lies after {foreign(time)} in {share:.1%} of the rows. {_ASK}")
    return found


def trained_on_later_rows(window: NDArray[np.generic], holdout: NDArray[np.generic]) -> list[str]:
    """Whether rows of the training window are later than the first of the holdout.

    Args:
        window: Times of the training rows, of shape (training rows,).
        holdout: Times of the holdout's rows, of shape (rows,).
    """
    first = np.fmin.reduce(holdout)  # of those that are not missing
    later = int(np.greater(window, first).sum())
    said = (
        f"{later:,} of {len(window):,} rows of the training window are later than the first row of the holdout "
        f"({first}): the model has seen the time that it is judged on. End the window earlier."
    )
    return [said] if later else []


def _share(rows: DuckDBPyRelation, among: DuckDBPyRelation) -> float:
    """The share of rows, of one column, that occur among others."""
    total = rows.aggregate("count(*)").fetchall()[0][0]
    found = rows.set_alias("rows").join(among.set_alias("among"), "row = seen", how="semi").aggregate("count(*)")
    return float(found.fetchall()[0][0] / total)


def _sample(rows: int) -> NDArray[np.intp]:
    """The numbers of some rows, the same each time."""
    return np.random.default_rng(0).permutation(rows)[:_SAMPLE]


def _codes(
    train: NDArray[np.generic], holdout: NDArray[np.generic], kind: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The value of each row as a number from 0: of a category itself, of a timestamp its hour, of a number its bin."""
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
    """The rate of the target in training of the value of each row of the holdout; the overall rate for unseen ones."""
    values = int(max(train.max(), holdout.max())) + 1
    rows, positive = np.bincount(train, minlength=values), np.bincount(train, target, minlength=values)
    # As if each value had one more row, of the overall rate: one row of training proves little.
    rates: NDArray[np.float64] = (positive + target.mean()) / (rows + 1)
    return rates[holdout]


def _ranks(values: NDArray[np.generic]) -> list[NDArray[np.float64]]:
    """The ranks of numbers: with missing ones as the smallest, and as the largest."""
    ranks = np.unique(values, return_inverse=True)[1].astype(np.float64)
    return [np.where(np.isnan(values), end, ranks) for end in (-1, len(values))]


def _roc_auc(target: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    false, true = roc(target, score)
    return float(np.trapezoid(true, false))
