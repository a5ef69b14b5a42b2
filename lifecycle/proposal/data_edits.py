"""Changes of a proposal in existing data: rows added, removed, changed and relabelled, by period.

Rows are matched by the contract's identity, in any order.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from lifecycle.proposal.row_pairs import aligned, column_types, comparable, duckdb_in_memory, paired, same_value
from lifecycle.shared.console import UserError
from lifecycle.shared.files import sha256
from lifecycle.shared.parts import opened, part_exists, part_files
from lifecycle.shared.text import foreign, table
from model import contract

_EXAMPLES = 3  # number of examples per period
_COLUMNS = 3  # number of columns named in a sentence
_PERIODS = 20  # number of periods in the report


@dataclass(frozen=True)
class Example:
    """A value that differs.

    Attributes:
        identity: The row's values of the identity columns.
        column: Name of the column.
        before: Value in the base.
        after: Value in the proposal.
    """

    identity: tuple[str, ...]
    column: str
    before: str
    after: str


@dataclass(frozen=True)
class PeriodEdits:
    """Changes in the data of a period.

    Attributes:
        period: Name of the period, as in the name of its file.
        holdout: Whether the period is part of the holdout.
        rows_before: Number of rows in the base.
        rows_after: Number of rows in the proposal; 0 if the file is missing.
        added: Number of rows that only the proposal has.
        removed: Number of rows that only the base has.
        changed: Number of rows in both with a different value in at least one input column.
        relabelled: Number of rows in both with a different target.
        columns: Number of changed rows by input column, the most frequent first.
        examples: Some of the values that differ, from the most frequent columns first.
        only_before: Columns that only the base has.
        only_after: Columns that only the proposal has.
        retyped: Old type and new type, by column.
        not_compared: Retyped columns whose values cannot be compared, such as numbers that are now strings.
        unidentified: Identity columns that a side lacks, or that cannot be compared. If there are any, rows cannot be
            matched, and none is counted.
    """

    period: str
    holdout: bool
    rows_before: int
    rows_after: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    relabelled: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    retyped: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    not_compared: tuple[str, ...] = ()
    unidentified: tuple[str, ...] = ()


def data_edits(before: Path, after: Path, periods: Iterable[str], holdout: Collection[str] = ()) -> list[PeriodEdits]:
    """Find the differences between two directories of data.

    Args:
        before: Directory of the base.
        after: Directory of the proposal.
        periods: Periods to compare: those of the window and the holdout of both models.
        holdout: Periods of the holdout.

    Returns:
        The periods that differ, in order. A period that the base does not have is new, not an edit. Neither is a
        different order of the same rows.

    Raises:
        UserError: If a directory is missing, or a file cannot be read.
    """
    for folder in (before, after):
        if not folder.is_dir():
            raise UserError(f"the directory {folder} is missing. `dvc checkout data.dvc` restores its files.")
    edits = []
    for period in sorted(set(periods)):
        files = part_files(period, before), part_files(period, after)
        # New batches are no edit: in a fold, only the batches of the base are compared.
        files = files[0], [file for file in files[1] if _in(after, file) in {_in(before, other) for other in files[0]}]
        if part_exists(period, before) and not _same_bytes(*files):
            rows_before, rows_after = _rows(files[0]), _rows(files[1])
            differences = _differences(*files) if rows_after else {"removed": rows_before}
            if any(differences.values()):
                edits.append(PeriodEdits(period, period in holdout, rows_before, rows_after, **differences))
    return edits


def edits_headline(edits: PeriodEdits) -> str:
    """Return the changes of a period as a sentence of Markdown."""
    return f"{_period(edits)}: {', '.join([*_rows_in_words(edits), *_columns_in_words(edits)])}"


def render_edits(edits: Sequence[PeriodEdits]) -> list[str]:
    """Return lines of Markdown: a sentence for each period, the holdout first, and a table of examples."""
    ordered = sorted(edits, key=lambda period: (not period.holdout, period.period))
    shown = ordered[:_PERIODS]
    lines = [f"- {edits_headline(period)}" for period in shown]
    if len(ordered) > len(shown):
        lines.append(f"- … and {len(ordered) - len(shown):,} more")
    rows = [
        [
            _period(period),
            foreign(", ".join(example.identity)),
            *map(foreign, (example.column, example.before, example.after)),
        ]
        for period in shown
        for example in period.examples
    ]
    if rows:
        header = ["part", foreign(", ".join(contract.IDENTITY)), "column", "before", "after"]
        lines += ["", *table(header, rows, "lllrr").split("\n")]
    return lines


def _in(folder: Path, file: Path) -> Path:
    return file.relative_to(folder)


def _same_bytes(before: Sequence[Path], after: Sequence[Path]) -> bool:
    if len(before) != len(after) or not all(file.exists() for file in after):
        return False
    return all(
        first.stat().st_size == second.stat().st_size and sha256(first) == sha256(second)
        for first, second in zip(before, after, strict=True)
    )


def _rows(files: Sequence[Path]) -> int:
    return sum(opened(file).metadata.num_rows for file in files if file.exists())


def _differences(before: Sequence[Path], after: Sequence[Path]) -> dict[str, Any]:
    """Return the attributes of `PeriodEdits` that describe differences; each is empty or 0 if there are none."""
    try:
        with duckdb_in_memory() as connection:
            present = [[str(file) for file in files if file.exists()] for files in (before, after)]
            return _compare(connection, *map(connection.read_parquet, present))
    except duckdb.Error as error:
        raise UserError(
            f"{before[0]} and {after[0]} cannot be compared: {str(error).splitlines()[0]}. "
            f"`dvc checkout --force data.dvc` restores the versioned files."
        ) from error


def _compare(connection: DuckDBPyConnection, before: DuckDBPyRelation, after: DuckDBPyRelation) -> dict[str, Any]:
    types, new = column_types(before), column_types(after)
    common = [name for name in types if name in new]
    compared = [name for name in common if comparable(types[name], new[name])]
    differences: dict[str, Any] = {
        "only_before": tuple(name for name in types if name not in new),
        "only_after": tuple(name for name in new if name not in types),
        "retyped": {name: (types[name], new[name]) for name in common if types[name] != new[name]},
        "not_compared": tuple(name for name in common if name not in compared),
        "unidentified": tuple(name for name in contract.IDENTITY if name not in compared),
    }
    if not differences["unidentified"]:
        names = [*contract.IDENTITY, *(name for name in compared if name not in contract.IDENTITY)]
        pairs = paired(connection, *aligned(before, after, names), len(contract.IDENTITY))
        differences |= _counts(pairs, dict(enumerate(names)))
    return differences


def _counts(pairs: DuckDBPyRelation, names: Mapping[int, str]) -> dict[str, Any]:
    """Count the differences of pairs of rows; `names` are the columns by position, the identity first."""
    both = "b_number IS NOT NULL AND a_number IS NOT NULL"
    identity = len(contract.IDENTITY)
    differs = {name: f"{both} AND NOT {same_value(at)}" for at, name in names.items() if at >= identity}
    inputs = " OR ".join(f"({sql})" for name, sql in differs.items() if name != contract.TARGET.name) or "false"
    conditions = ["b_number IS NULL", "a_number IS NULL", inputs, *differs.values()]
    counted = pairs.aggregate(", ".join(f"count(*) FILTER ({sql})" for sql in conditions))
    added, removed, changed, *by_column = counted.fetchall()[0]
    frequent = sorted(zip(differs, by_column, strict=True), key=lambda column: (-column[1], column[0]))
    columns = {name: count for name, count in frequent if count}
    shown = [(at, name, differs[name]) for name in islice(columns, _EXAMPLES) for at in names if names[at] == name]
    return {
        "added": added,
        "removed": removed,
        "changed": changed,
        "relabelled": columns.pop(contract.TARGET.name, 0),
        "columns": columns,
        "examples": tuple(islice(_examples(pairs, shown), _EXAMPLES)),
    }


def _examples(pairs: DuckDBPyRelation, columns: Sequence[tuple[int, str, str]]) -> Iterator[Example]:
    """Yield the first rows, by identity, that differ: one of each column before the second of any column.

    Args:
        pairs: Pairs of rows.
        columns: Position, name and SQL condition of a difference, for each column.
    """
    identity = [f"b{at}" for at in range(len(contract.IDENTITY))]
    aggregates = []
    for at, _, differs in columns:
        values = [*identity, f"b{at}", f"a{at}"]
        texts = ", ".join(f"row[{field}]::VARCHAR" for field in range(1, len(values) + 1))
        aggregates.append(f"[[{texts}] FOR row IN min(({', '.join(values)}), {_EXAMPLES}) FILTER ({differs})]")
    by_column = pairs.aggregate(", ".join(aggregates)).fetchall()[0] if aggregates else ()
    for rank in zip_longest(*by_column):
        for (_, name, _), row in zip(columns, rank, strict=True):
            if row:
                *identity_values, before, after = ["null" if text is None else text for text in row]
                yield Example(tuple(identity_values), name, before, after)


def _period(edits: PeriodEdits) -> str:
    return f"{foreign(edits.period)}{' (holdout)' if edits.holdout else ''}"


def _rows_in_words(edits: PeriodEdits) -> list[str]:
    if edits.unidentified:
        names = ", ".join(map(foreign, edits.unidentified))
        before, after = edits.rows_before, edits.rows_after
        return [f"the {before:,} old and {after:,} new rows cannot be matched, because {names} cannot be compared"]
    shown = [f"{foreign(name)} {count:,}" for name, count in islice(edits.columns.items(), _COLUMNS)]
    more = [f"{len(edits.columns) - len(shown)} more columns"] if len(edits.columns) > len(shown) else []
    counted = [
        (edits.removed, "removed"),
        (edits.added, "added"),
        (edits.changed, f"changed ({', '.join([*shown, *more])})"),
        (edits.relabelled, "relabelled"),
    ]
    nonzero = [(count, change) for count, change in counted if count]
    # Only the first has the word "rows".
    return [
        f"{count:,} {'' if number else 'row ' if count == 1 else 'rows '}{change}"
        for number, (count, change) in enumerate(nonzero)
    ]


def _columns_in_words(edits: PeriodEdits) -> list[str]:
    return [
        *(f"column {foreign(name)} removed" for name in edits.only_before),
        *(f"column {foreign(name)} added" for name in edits.only_after),
        *(
            f"column {foreign(name)} was {foreign(before)} and is {foreign(after)}"
            f"{', not compared' if name in edits.not_compared else ''}"
            for name, (before, after) in edits.retyped.items()
        ),
    ]
