"""Clusters of rows that are not independent of one another, as the contract names them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.shared.inputs import request_columns
from lifecycle.shared.intervals import MOST_GROUPS
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
    """Return the contract's clusters as groups for DuckDB: by unit, an SQL expression with values from 0 to 99.

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
    expressions = expressions or {ROW: f"hash({row})"}
    return {unit: f"(({sql}) % {MOST_GROUPS})::TINYINT" for unit, sql in expressions.items()}
