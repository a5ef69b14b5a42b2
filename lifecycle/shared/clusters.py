"""Clusters of rows that are not independent of one another, as the contract names them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.shared.inputs import request_columns
from lifecycle.shared.intervals import MOST_GROUPS
from lifecycle.shared.metrics import Floats
from lifecycle.shared.tables import to_codes, to_timestamps
from model import contract

DAY, ROW = "day", "row"


@dataclass(frozen=True)
class Clusters:
    """Clusters of the rows of a table.

    Attributes:
        unit: What a cluster is: "day", "row" or the name of a column.
        numbers: Cluster number of each row, of shape (rows,).
    """

    unit: str
    numbers: NDArray[np.intp]

    @property
    def count(self) -> int:
        """The number of clusters."""
        return len(np.unique(self.numbers))

    def in_words(self) -> str:
        """Return the number of clusters in words, such as "31 days" or "812 values of customer"."""
        return count_in_words(self.unit, self.count)


def count_in_words(unit: str, count: int) -> str:
    """Return a number of clusters in words, such as "31 days" or "812 values of customer"."""
    plural = "s" if count != 1 else ""
    return f"{count:,} {unit}{plural}" if unit in {DAY, ROW} else f"{count:,} value{plural} of {unit}"


def cluster_columns() -> list[str]:
    """Return the columns of the contract that define the clusters."""
    named = {None: (contract.TIME, contract.GROUP), DAY: (contract.TIME,), ROW: ()}
    return [column for column in named.get(contract.CLUSTER, (contract.CLUSTER,)) if column]


def find_clusters(table: pa.Table) -> Clusters:
    """Assign the rows of a table to clusters.

    Args:
        table: Rows with the columns that `cluster_columns` returns. A row with a missing value is a cluster of its own.

    Returns:
        The clusters that the contract names. If it names both a time and a group, the partition with fewer clusters:
        rows of different small clusters are not independent if they share a large one.
    """
    partitions = [_of_column(table.column(name), name) for name in cluster_columns()]
    if not partitions:
        return Clusters(ROW, np.arange(table.num_rows))
    return min(partitions, key=lambda clusters: clusters.count)


def _of_column(column: pa.ChunkedArray, name: str) -> Clusters:
    if name == contract.TIME:
        return Clusters(DAY, to_timestamps(column).astype("datetime64[D]").astype(np.intp))
    codes = to_codes(column)
    alone = np.cumsum(codes < 0).astype(np.intp)
    return Clusters(name, np.where(codes < 0, -alone, codes))


def cluster_sql(row: str) -> dict[str, str]:
    """Return the contract's clusters for DuckDB: by unit, an SQL expression that is the same for rows of one cluster.

    Args:
        row: SQL expression that differs from row to row.
    """
    expressions = {}
    in_the_log = {column.name for column in request_columns()}
    for name in (name for name in cluster_columns() if name in in_the_log):
        if name == contract.TIME:
            expressions[DAY] = f"date_diff('day', DATE '1970-01-01', \"{name}\"::DATE)"
        else:
            expressions[name] = f'hash(coalesce("{name}"::VARCHAR, ({row})::VARCHAR))'
    return expressions or {ROW: f"hash({row})"}


def group_sql(cluster: str) -> str:
    """Return an SQL expression for the group of a cluster, from 0 to 99; see `intervals.groups_of`."""
    return f"(({cluster}) % {MOST_GROUPS})::TINYINT"


def intraclass_correlation(counts: Floats, scores: Floats, size: float) -> float:
    """Return the intraclass correlation of scores, with several scores added up.

    By how much the means of groups of clusters vary, compared with groups of independent rows, is the design effect
    (Kish 1965, section 5.4). Dividing by the size of the clusters gives the correlation.

    Args:
        counts: Number of rows in each bin, of shape (groups, bins).
        scores: Scores of the rows of each bin, of shape (bins, scores).
        size: Number of rows in the cluster of a row, on average.
    """
    rows = counts.sum(axis=1)
    counts, rows = counts[rows > 0], rows[rows > 0]
    share = counts.sum(axis=0) / max(rows.sum(), 1)
    variance = share @ scores**2 - (share @ scores) ** 2
    expected = (len(rows) - 1) * float(variance.sum())
    if expected <= 0:
        return 0.0
    between = rows[:, None] * (counts @ scores / rows[:, None] - share @ scores) ** 2
    return float(np.clip((float(between.sum()) / expected - 1) / (size - 1), 0, 1))
