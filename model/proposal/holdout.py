"""The rows that candidate and champion are compared on: the candidate's holdout, less any that either was trained on.

A row is known by the contract's identity and not by its position: data that was sorted anew or corrected has the same
rows still.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model import contract
from model.months import month_path, month_range
from model.proposal.champion import NoChampionError


@dataclass(frozen=True)
class Unseen:
    """Which rows of a holdout neither model was trained on.

    Attributes:
        rows: Their numbers, of shape (unseen rows,).
        excluded_champion: How many the champion was trained on.
        excluded_candidate: How many the candidate was trained on.
    """

    rows: NDArray[np.intp]
    excluded_champion: int
    excluded_candidate: int


def unseen(holdout: Path, candidate: Iterable[Path], champion: Iterable[Path]) -> Unseen:
    """Find the rows of a holdout that neither model was trained on.

    Args:
        holdout: File of the holdout.
        candidate: Files of the months the candidate was trained on.
        champion: Files of the months the champion was trained on.

    Raises:
        NoChampionError: Where the champion's rows have no such identity.
    """
    table = pq.read_table(holdout, columns=list(contract.IDENTITY))
    trained = [_occurs(table, files) for files in (champion, candidate)]
    rows = np.flatnonzero(~trained[0] & ~trained[1])
    return Unseen(rows, int(trained[0].sum()), int(trained[1].sum()))


def window_files(folder: Path, first: str, last: str) -> list[Path]:
    """The files of a window's months."""
    return [month_path(month, folder) for month in month_range(first, last)]


def _occurs(table: pa.Table, files: Iterable[Path]) -> NDArray[np.bool_]:
    """Whether each row of a table occurs in any of the files, of shape (rows,)."""
    found = np.zeros(len(table), dtype=np.bool_)
    numbered = table.append_column("row", pa.array(np.arange(len(table))))
    keys = list(contract.IDENTITY)
    for file in files:
        try:
            month = pq.read_table(file, columns=keys).cast(table.schema)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise NoChampionError(f"the rows of {file} cannot be told apart by {', '.join(keys)}: {error}") from error
        both = numbered.join(month, keys, join_type="left semi", use_threads=False)
        found[both.column("row").to_numpy()] = True
    return found
