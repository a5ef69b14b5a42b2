"""The rows that candidate and champion are judged on, period by period.

They are those of the base where it has the period: a proposal chooses neither which rows of a known period it is
judged on nor what their outcomes were. Rows that either model was trained on are left out, and so are those that the
champion's contract does not take; all of them are counted. A row is known by the contract's identity and not by its
position: data that was sorted anew or corrected still has the same rows.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.shared.months import ARROW_SCHEMA, month_path, read_month
from model import contract

_KEYS = list(contract.IDENTITY)
_POSITION = "position of the row"  # no column of a contract is called like that


class NotComparableError(Exception):
    """Candidate and champion cannot be compared on these rows; the message says why, for the report."""


@dataclass(frozen=True)
class Side:
    """What the rows have to fit, for one of the two models.

    Attributes:
        who: "candidate" or "champion".
        schema: The contract of the model, as JSON Schema.
        trained_on: Files of the months that the model was trained on.
    """

    who: str
    schema: Mapping[str, Any]
    trained_on: Sequence[Path]

    @property
    def inputs(self) -> list[str]:
        """The columns that the model needs."""
        return list(self.schema["properties"])


@dataclass(frozen=True)
class JudgedRows:
    """The rows of a period that both models can be judged on, in the same order.

    Attributes:
        candidate: With the columns of the code's contract and the target.
        champion: With the inputs of the champion.
        total: Rows of the period before any was left out.
        left_out: How many rows were left out, by why.
        trained_on: How many rows each of the two was trained on, by who.
    """

    candidate: pa.Table
    champion: pa.Table
    total: int
    left_out: dict[str, int] = field(default_factory=dict)
    trained_on: dict[str, int] = field(default_factory=dict)


def judged_rows(months: Sequence[str], own: Path, base: Path | None, candidate: Side, champion: Side) -> JudgedRows:
    """Find the rows of a period that both models can be judged on.

    Args:
        months: Of the period.
        own: Folder of the candidate's month files.
        base: Folder of the base's, where it differs.
        candidate: The candidate.
        champion: The champion.

    Raises:
        NotComparableError: Where a column is missing, the candidate does not take a row that the base has, or no row is
            left.
    """
    ours = pa.concat_tables([_read(month, own) for month in months], promote_options="default")
    known = ours
    if base is not None and all(month_path(month, base).exists() for month in months):
        known = pa.concat_tables([_read(month, base) for month in months], promote_options="default")
    if contract.TARGET not in known.column_names:
        raise NotComparableError(f"the base has no outcomes called {contract.TARGET}")

    inputs = {side.who: _inputs(known, ours, side) for side in (candidate, champion)}
    left_out: dict[str, int] = {}
    kept = np.ones(known.num_rows, dtype=np.bool_)
    for side in (candidate, champion):
        table, present = inputs[side.who]
        taken = present & fits(table, side.schema)
        if side.who == "candidate" and known is not ours and not taken.all():
            raise NotComparableError(
                f"{int((~taken).sum()):,} of {len(taken):,} rows that the base has of {_span(months)} are not in the "
                f"proposal's data, or its contract does not take them: it would be judged on the rows of its choice"
            )
        if not taken.all():
            left_out[f"the {side.who}'s contract does not take"] = int((~taken).sum())
        kept &= taken
    trained_on = {}
    keys = known.select(_KEYS)
    for side in (champion, candidate):
        seen = occurs(keys, side.trained_on)
        if seen.any():
            trained_on[side.who] = left_out[f"the {side.who} was trained on"] = int(seen.sum())
        kept &= ~seen
    if not kept.any():
        reasons = " and ".join(f"{count:,} that {why}" for why, count in left_out.items())
        raise NotComparableError(
            f"of the {known.num_rows:,} rows of {_span(months)} none is left to compare the two on: without {reasons}"
        )
    chosen = pa.array(np.flatnonzero(kept))
    rows = inputs["candidate"][0].append_column(contract.TARGET, known.column(contract.TARGET))
    schema = pa.schema([ARROW_SCHEMA.field(name) for name in rows.column_names])
    return JudgedRows(
        rows.take(chosen).cast(schema),
        inputs["champion"][0].take(chosen),
        known.num_rows,
        left_out,
        trained_on,
    )


def _read(month: str, folder: Path) -> pa.Table:
    return read_month(month_path(month, folder)).replace_schema_metadata()


def _span(months: Sequence[str]) -> str:
    return months[0] if len(months) == 1 else f"{months[0]} to {months[-1]}"


def _inputs(known: pa.Table, ours: pa.Table, side: Side) -> tuple[pa.Table, NDArray[np.bool_]]:
    """The inputs of a side for the known rows, and for which of them there are any.

    The known rows have them, unless the proposal has added a column, or removed one that the champion needs.
    """
    for table in (known, ours):
        if all(name in table.column_names for name in side.inputs):
            if table is known:
                return known.select(side.inputs), np.ones(known.num_rows, dtype=np.bool_)
            return _joined(known, ours, side.inputs)
    missing = [name for name in side.inputs if name not in ours.column_names and name not in known.column_names]
    raise NotComparableError(
        f"the {side.who} needs columns that these rows do not have: {', '.join(missing or side.inputs)}"
    )


def _joined(known: pa.Table, ours: pa.Table, inputs: Sequence[str]) -> tuple[pa.Table, NDArray[np.bool_]]:
    """The inputs of the candidate's rows, in the order of the known ones, by their identity."""
    try:
        keys = ours.select(_KEYS).cast(known.select(_KEYS).schema)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise NotComparableError(f"rows cannot be told apart by {', '.join(_KEYS)}: {error}") from error
    positions = keys.append_column(_POSITION, pa.array(np.arange(ours.num_rows)))
    numbered = known.select(_KEYS).append_column("row", pa.array(np.arange(known.num_rows)))
    both = numbered.join(positions, _KEYS, join_type="left outer", use_threads=False)
    at = np.full(known.num_rows, -1)
    found = both.column(_POSITION)
    at[both.column("row").to_numpy()] = pc.fill_null(found, -1).to_numpy()
    present = at >= 0
    return ours.select(list(inputs)).take(pa.array(np.maximum(at, 0))), present


def occurs(keys: pa.Table, files: Iterable[Path]) -> NDArray[np.bool_]:
    """Whether each row occurs in any of the files.

    Args:
        keys: The columns of the identity.
        files: Month files.

    Returns:
        Of shape (rows,).

    Raises:
        NotComparableError: Where the rows of a file have no such identity.
    """
    found = np.zeros(len(keys), dtype=np.bool_)
    numbered = keys.append_column("row", pa.array(np.arange(len(keys))))
    for file in files:
        try:
            month = pq.read_table(file, columns=_KEYS).cast(keys.schema)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise NotComparableError(
                f"the rows of {file} cannot be told apart by {', '.join(_KEYS)}: {error}"
            ) from error
        both = numbered.join(month, _KEYS, join_type="left semi", use_threads=False)
        found[both.column("row").to_numpy()] = True
    return found


def fits(table: pa.Table, schema: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which rows a contract takes.

    Args:
        table: With the columns of the contract.
        schema: The contract as JSON Schema, as a model folder has it; it may be of another commit.

    Returns:
        Of shape (rows,).
    """
    taken = np.ones(table.num_rows, dtype=np.bool_)
    for name, rules in schema["properties"].items():
        taken &= _fits(table.column(name), rules)
    return taken


def _fits(column: pa.ChunkedArray, rules: Mapping[str, Any]) -> NDArray[np.bool_]:
    types = rules["type"] if isinstance(rules["type"], list) else [rules["type"]]
    missing = pc.is_null(column, nan_is_null=True).to_numpy()
    allowed = np.ones(len(column), dtype=np.bool_)
    if {"number", "integer"} & {*types}:
        is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        numbers = (
            pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy() if is_number else np.full(len(column), np.nan)
        )
        with np.errstate(invalid="ignore"):
            allowed &= np.isfinite(numbers)
            allowed &= numbers >= rules.get("minimum", -np.inf)
            allowed &= numbers <= rules.get("maximum", np.inf)
            if "integer" in types:
                allowed &= numbers == np.floor(numbers)
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        pattern, categories = re.compile(rules.get("pattern", "")), rules.get("enum")
        texts = [text for text in pc.unique(column).to_pylist() if text is not None]
        legal = [text for text in texts if pattern.search(text) and (categories is None or text in categories)]
        allowed &= pc.fill_null(pc.is_in(column, value_set=pa.array(legal, column.type)), fill_value=False).to_numpy()
    elif not pa.types.is_timestamp(column.type):  # of timestamps, JSON Schema says only how they are written
        allowed[:] = False
    return np.asarray(np.where(missing, "null" in types, allowed), dtype=np.bool_)
