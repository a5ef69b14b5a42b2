"""Which rows are not independent of one another: the clusters that the contract names."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.shared.console import UserError
from lifecycle.shared.intervals import MOST_GROUPS
from lifecycle.shared.months import to_codes, to_timestamps
from model import contract

DAY, ROW = "day", "row"


@dataclass(frozen=True)
class Clusters:
    """The clusters of some rows.

    Attributes:
        unit: What a cluster is: "day", "row" or the name of a column.
        numbers: Number of the cluster of each row, of shape (rows,).
    """

    unit: str
    numbers: NDArray[np.intp]

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return len(np.unique(self.numbers))

    def in_words(self) -> str:
        """The clusters, counted: "31 days" or "812 values of customer"."""
        return count_in_words(self.unit, self.count)


def count_in_words(unit: str, count: int) -> str:
    """A number of clusters, such as "31 days" or "812 values of customer"."""
    plural = "s" if count != 1 else ""
    return f"{count:,} {unit}{plural}" if unit in {DAY, ROW} else f"{count:,} value{plural} of {unit}"


def cluster_columns() -> list[str]:
    """The columns of the contract that make the clusters.

    Raises:
        UserError: Where model/contract.py names one that is no input.
    """
    named = {None: (contract.TIME, contract.GROUP), DAY: (contract.TIME,), ROW: ()}
    columns = [column for column in named.get(contract.CLUSTER, (contract.CLUSTER,)) if column]
    unknown = set(columns) - {column.name for column in contract.INPUTS}
    if unknown or (contract.CLUSTER == DAY and not contract.TIME):
        raise UserError(
            f"model/contract.py names {', '.join(sorted(unknown)) or 'no column'} as TIME, GROUP or CLUSTER; each is "
            f"the name of an input, and the cluster may also be {DAY!r} (of TIME) or {ROW!r}."
        )
    return columns


def find_clusters(table: pa.Table) -> Clusters:
    """The clusters of the rows of a table.

    Args:
        table: With the columns that `cluster_columns` names. A row without a value there is a cluster of its own.

    Returns:
        The clusters that the contract names. Where it names both a time and a group, those of which there are fewer:
        rows of different narrow clusters are not independent if they share a wide one.
    """
    found = [_of_column(table.column(name), name) for name in cluster_columns()]
    if not found:
        return Clusters(ROW, np.arange(table.num_rows))
    return min(found, key=lambda clusters: clusters.count)


def _of_column(column: pa.ChunkedArray, name: str) -> Clusters:
    if name == contract.TIME:
        return Clusters(DAY, to_timestamps(column).astype("datetime64[D]").astype(np.intp))
    codes = to_codes(column)
    alone = np.cumsum(codes < 0).astype(np.intp)
    return Clusters(name, np.where(codes < 0, -alone, codes))


def cluster_sql(row: str) -> dict[str, str]:
    """The clusters that the contract names, as groups for DuckDB: for each unit an expression from 0 to 99.

    Args:
        row: An expression that differs from row to row.
    """
    found = {}
    for name in cluster_columns():
        if name == contract.TIME:
            found[DAY] = f"date_diff('day', DATE '1970-01-01', \"{name}\"::DATE)"
        else:
            found[name] = f'hash(coalesce("{name}"::VARCHAR, ({row})::VARCHAR))'
    return {unit: f"(({sql}) % {MOST_GROUPS})::TINYINT" for unit, sql in (found or {ROW: f"hash({row})"}).items()}
