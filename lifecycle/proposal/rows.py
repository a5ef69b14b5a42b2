"""The rows that candidate and champion are judged on, by period.

If the base has the period, its rows and outcomes are used, so that a proposal chooses neither. Rows that either model
was trained on, and rows that the champion's contract does not accept, are left out and counted. Rows are matched by the
contract's identity, not by position, so that sorted or corrected data still has the same rows.
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

from lifecycle.shared.parts import part_exists, read_part
from lifecycle.shared.tables import ARROW_SCHEMA
from model import contract

_KEYS = list(contract.IDENTITY)
_POSITION = "position of the row"  # no column of a contract has this name


class NotComparableError(Exception):
    """Candidate and champion cannot be compared on these rows. The message gives the reason, for the report."""


@dataclass(frozen=True)
class Side:
    """The requirements of one of the two models for the rows.

    Attributes:
        who: "candidate" or "champion".
        schema: Contract of the model, as JSON Schema.
        trained_on: Files of the data that the model was trained on.
    """

    who: str
    schema: Mapping[str, Any]
    trained_on: Sequence[Path]

    @property
    def inputs(self) -> list[str]:
        """The input columns of the model."""
        return list(self.schema["properties"])


@dataclass(frozen=True)
class JudgedRows:
    """The rows of a period that both models can be judged on, in the same order.

    Attributes:
        candidate: Rows with the columns of the current contract and the target.
        champion: The same rows with the inputs of the champion.
        total: Number of rows of the period before any was left out.
        left_out: Number of rows left out, by reason.
        trained_on: Number of rows that a model was trained on, by "candidate" and "champion".
    """

    candidate: pa.Table
    champion: pa.Table
    total: int
    left_out: dict[str, int] = field(default_factory=dict)
    trained_on: dict[str, int] = field(default_factory=dict)


def judged_rows(parts: Sequence[str], own: Path, base: Path | None, candidate: Side, champion: Side) -> JudgedRows:
    """Find the rows of a period that both models can be judged on.

    Args:
        parts: Parts of the data that the period consists of.
        own: Directory of the candidate's data.
        base: Directory of the base's data, if it differs.
        candidate: Requirements of the candidate.
        champion: Requirements of the champion.

    Raises:
        NotComparableError: If a column is missing, the candidate does not accept a row of the base, or no row is left.
    """
    own_rows = pa.concat_tables([read_part(part, own) for part in parts], promote_options="default")
    known = own_rows
    if base is not None and all(part_exists(part, base) for part in parts):
        known = pa.concat_tables([read_part(part, base) for part in parts], promote_options="default")
    if contract.TARGET.name not in known.column_names:
        raise NotComparableError(f"the data of the base has no column {contract.TARGET.name}")

    inputs = {side.who: _inputs(known, own_rows, side) for side in (candidate, champion)}
    left_out: dict[str, int] = {}
    kept = np.ones(known.num_rows, dtype=np.bool_)
    for side in (candidate, champion):
        table, present = inputs[side.who]
        accepted = present & fits(table, side.schema)
        if side.who == "candidate" and known is not own_rows and not accepted.all():
            raise NotComparableError(
                f"{int((~accepted).sum()):,} of {len(accepted):,} rows of the base in {_span(parts)} are missing in "
                f"the proposal, or its contract does not accept them, so it would choose the rows it is judged on"
            )
        if not accepted.all():
            left_out[f"the {side.who}'s contract does not accept"] = int((~accepted).sum())
        kept &= accepted
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
            f"none of the {known.num_rows:,} rows of {_span(parts)} is left to compare the models, without {reasons}"
        )
    chosen = pa.array(np.flatnonzero(kept))
    rows = inputs["candidate"][0].append_column(contract.TARGET.name, known.column(contract.TARGET.name))
    schema = pa.schema([ARROW_SCHEMA.field(name) for name in rows.column_names])
    return JudgedRows(
        rows.take(chosen).cast(schema),
        inputs["champion"][0].take(chosen),
        known.num_rows,
        left_out,
        trained_on,
    )


def _span(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{parts[0]} to {parts[-1]}"


def _inputs(known: pa.Table, own: pa.Table, side: Side) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return the inputs of a side for the known rows, and the rows for which they exist.

    The known rows have them, unless the proposal has added a column, or removed one that the champion needs.
    """
    for table in (known, own):
        if all(name in table.column_names for name in side.inputs):
            if table is known:
                return known.select(side.inputs), np.ones(known.num_rows, dtype=np.bool_)
            return _joined(known, own, side.inputs)
    missing = [name for name in side.inputs if name not in own.column_names and name not in known.column_names]
    raise NotComparableError(
        f"the {side.who} needs columns that these rows do not have: {', '.join(missing or side.inputs)}"
    )


def _joined(known: pa.Table, own: pa.Table, inputs: Sequence[str]) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return the inputs of the candidate's rows in the order of the known rows, matched by identity."""
    try:
        keys = own.select(_KEYS).cast(known.select(_KEYS).schema)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise NotComparableError(f"rows cannot be matched by {', '.join(_KEYS)}: {error}") from error
    positions = keys.append_column(_POSITION, pa.array(np.arange(own.num_rows)))
    numbered = known.select(_KEYS).append_column("row", pa.array(np.arange(known.num_rows)))
    both = numbered.join(positions, _KEYS, join_type="left outer", use_threads=False)
    at = np.full(known.num_rows, -1)
    matched = both.column(_POSITION)
    at[both.column("row").to_numpy()] = pc.fill_null(matched, -1).to_numpy()
    present = at >= 0
    return own.select(list(inputs)).take(pa.array(np.maximum(at, 0))), present


def occurs(keys: pa.Table, files: Iterable[Path]) -> NDArray[np.bool_]:
    """Return whether each row occurs in any of the files.

    Args:
        keys: Identity columns of the rows.
        files: Files of the data.

    Returns:
        Booleans, of shape (rows,).

    Raises:
        NotComparableError: If the rows of a file do not have these columns.
    """
    occurring = np.zeros(len(keys), dtype=np.bool_)
    numbered = keys.append_column("row", pa.array(np.arange(len(keys))))
    for file in files:
        try:
            rows = pq.read_table(file, columns=_KEYS).cast(keys.schema)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise NotComparableError(f"the rows of {file} cannot be matched by {', '.join(_KEYS)}: {error}") from error
        both = numbered.join(rows, _KEYS, join_type="left semi", use_threads=False)
        occurring[both.column("row").to_numpy()] = True
    return occurring


def fits(table: pa.Table, schema: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return which rows a contract accepts.

    Args:
        table: Rows with the columns of the contract.
        schema: Contract as JSON Schema, from a model directory, maybe of another commit.

    Returns:
        Booleans, of shape (rows,).
    """
    accepted = np.ones(table.num_rows, dtype=np.bool_)
    for name, rules in schema["properties"].items():
        accepted &= _fits(table.column(name), rules)
    return accepted


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
    elif pa.types.is_boolean(column.type):
        allowed[:] = "boolean" in types
    elif not pa.types.is_timestamp(column.type):  # JSON Schema only states the format of timestamps
        allowed[:] = False
    return np.asarray(np.where(missing, "null" in types, allowed), dtype=np.bool_)
