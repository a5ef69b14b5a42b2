"""Find out why rows that the champion was trained on are not recognised in the holdout.

If identities are written differently, for example after a corrected time zone, every row of a period in the champion's
window looks new to it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
from duckdb import DuckDBPyRelation

from lifecycle.proposal.row_pairs import aligned, column_types, comparable, duckdb_in_memory, same_value
from lifecycle.shared.text import foreign
from model import contract

# Share of recognised rows in a period of the champion's window below which identities are written differently.
# Corrections only change a few rows.
_RECOGNISED = 0.5


@dataclass(frozen=True)
class Unrecognised:
    """A period whose rows are not recognised by identity.

    Attributes:
        rows: Number of rows of the candidate.
        matched: Number of them that match a row of the champion by identity.
        column: Identity column without which they match; None if there is no such column.
        matched_without: Number of rows that match without that column.
        before: The champion's value of that column, in a row that matches without it; the identity of the champion's
            first row, if there is no such column.
        after: The candidate's value in the same row; the identity of its first row, if there is no such column.
    """

    rows: int
    matched: int
    column: str | None
    matched_without: int
    before: str
    after: str


def unrecognised(before: pa.Table, after: pa.Table) -> Unrecognised | None:
    """Find out why the candidate's rows of a period do not match the champion's by identity.

    Each identity column is left out in turn. If rows match without it, its values are written differently, such as
    times in another zone or codes in lower case.

    Args:
        before: The period's rows at the champion's commit, with the columns of the contract's identity.
        after: The candidate's rows of the same period, with the same columns.

    Returns:
        The reason; None if at least half of the candidate's rows match, or the champion has no rows.
    """
    if not len(before):
        return None
    names = contract.IDENTITY
    with duckdb_in_memory() as connection:
        tables = connection.from_arrow(before), connection.from_arrow(after)
        types, new = map(column_types, tables)
        compared = {at for at, name in enumerate(names) if comparable(types[name], new[name])}
        sides = aligned(*tables, names)

        def matching(columns: Collection[int]) -> int:
            return _count_matching(*sides, columns) if columns and compared.issuperset(columns) else 0

        every = range(len(names))
        matched = matching(every)
        if matched >= _RECOGNISED * len(after):
            return None
        others = [[at for at in every if at != left_out] for left_out in every]
        without = [matching(columns) for columns in others]
        best = max(every, key=without.__getitem__)
        if without[best] < _RECOGNISED * len(after):
            return Unrecognised(len(after), matched, None, 0, *map(_first_row, sides))
        if matched:
            sides = sides[0], _join(*sides, every, how="anti")
        example = _example(*sides, best, others[best])
        if best not in compared:
            # A number and a string look the same.
            example = f"{example[0]} ({types[names[best]]})", f"{example[1]} ({new[names[best]]})"
        return Unrecognised(len(after), matched, names[best], without[best], *example)


def unrecognised_in_words(period: str, reason: Unrecognised) -> str:
    """Return the reason as a sentence of Markdown."""
    none = f"none of its {reason.rows:,} rows matches"
    few = f"only {reason.matched:,} of its {reason.rows:,} rows match"
    fact = f"the champion's window includes {foreign(period)}, but {few if reason.matched else none} by identity"
    values = f"{foreign(reason.before)} before, {foreign(reason.after)} now"
    if reason.column is None:
        return f"{fact}, whichever identity column is left out (the first row is {values})"
    matches = "they match" if reason.matched_without == reason.rows else f"{reason.matched_without:,} match"
    return f"{fact}; {matches} without {foreign(reason.column)} ({values})"


def _count_matching(before: DuckDBPyRelation, after: DuckDBPyRelation, columns: Iterable[int]) -> int:
    matching = _join(before, after, columns, how="semi")
    return int(matching.aggregate("count(*)").fetchall()[0][0])


def _join(before: DuckDBPyRelation, after: DuckDBPyRelation, columns: Iterable[int], *, how: str) -> DuckDBPyRelation:
    return after.set_alias("a").join(before.set_alias("b"), " AND ".join(map(same_value, columns)), how=how)


def _example(before: DuckDBPyRelation, after: DuckDBPyRelation, at: int, others: Sequence[int]) -> tuple[str, str]:
    """Return the old and the new value of a column, in a row that matches in the other columns.

    If rows match in several ways, such as equal orders of a day, the first rows of both sides are used.
    """
    least = {}
    for side, rows in (("b", before), ("a", after)):
        keys = ", ".join(f"{side}{other}" for other in others)
        least[side] = rows.aggregate(f"{keys}, min({side}{at}) AS {side}{at}", keys)
    both = _join(least["b"], least["a"], others, how="inner").order(", ".join(f"b{other}" for other in others))
    (values,) = both.limit(1).project(f"b{at}::VARCHAR, a{at}::VARCHAR").fetchall()
    return str(values[0]), str(values[1])


def _first_row(rows: DuckDBPyRelation) -> str:
    ordered = rows.order(", ".join(rows.columns)).limit(1)
    (values,) = ordered.project(", ".join(f"{name}::VARCHAR" for name in rows.columns)).fetchall()
    return ", ".join(map(str, values))
