"""First stage: validate the data, split it and compute the training features.

The holdout keeps the contract's columns, so that `evaluate` can score it as the service scores a request.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from lifecycle.pipeline import stage
from lifecycle.shared.console import UserError
from lifecycle.shared.conversion import to_contract
from lifecycle.shared.files import replacing_folder, require_space, write_json
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.parts import DATA, part_files, read_part, row_count
from lifecycle.shared.tables import ARROW_SCHEMA, to_columns
from lifecycle.shared.validation import HOW_TO_FIX, TELL_APART, as_pandas, row_in_words, validate
from model import contract
from model.features import CODED, NAMES, features

TRAIN_SCHEMA = pa.schema([pa.field(name, pa.float32()) for name in NAMES] + [ARROW_SCHEMA.field(contract.TARGET.name)])

_ROOM = 64 * 2**20  # bytes of free space required in addition to the outputs


def prepare(params: Params, data: Path = DATA, output: Path = stage.PREPARED) -> str:
    """Write the training features, the holdout and the category codes.

    Only one part is in memory at a time.

    Args:
        params: Parameters; split, window and holdout are used.
        data: Directory of the data.
        output: Directory to replace, with train.parquet, holdout.parquet and codes.json.

    Returns:
        One line that summarizes the result.

    Raises:
        UserError: If a part is missing or violates the contract, a row is in window and holdout, or the disk has too
            little free space.
    """
    holdout = params.holdout.parts()
    # At an origin before the last one, the holdout is a part of the window.
    window = [part for part in params.window.parts() if part not in holdout]
    rows = row_count(window, data), row_count(holdout, data)
    # Estimated without compression. DVC's cache takes the same space again.
    require_space(output, 2 * sum(rows) * (len(NAMES) * 4 + 1) + _ROOM)

    codes = _validate(window, holdout, data)
    _require_disjoint(window, holdout, data)
    with replacing_folder(output) as folder:
        write_json(folder / "codes.json", codes)
        with (
            pq.ParquetWriter(folder / "train.parquet", TRAIN_SCHEMA) as train_file,
            pq.ParquetWriter(folder / "holdout.parquet", ARROW_SCHEMA, compression="zstd") as holdout_file,
        ):
            for part in _progress("compute features", [*window, *holdout]):
                table = _read(part, data)
                if not table.num_rows:
                    continue
                table = table.select(ARROW_SCHEMA.names)
                if part in window:
                    matrix = features(to_columns(table), codes)
                    train_file.write_table(
                        pa.table([*matrix.T, table.column(contract.TARGET.name)], schema=TRAIN_SCHEMA)
                    )
                else:
                    holdout_file.write_table(table.cast(ARROW_SCHEMA))
    return (
        f"{rows[0]:,} rows to train on ({params.window.in_words()}), {rows[1]:,} held out ({params.holdout.in_words()})"
    )


def _validate(window: list[str], holdout: list[str], data: Path) -> dict[str, dict[str, int]]:
    """Validate all parts, and return codes for the categories of the training window, in alphabetical order."""
    seen: dict[str, set[str]] = {name: set() for name in CODED}
    outcomes: dict[str, set[Any]] = {"window": set(), "holdout": set()}
    for part in _progress("validate", [*window, *holdout]):
        table = _read(part, data)
        if not table.num_rows:
            continue
        validate(as_pandas(table), source=str(part_files(part, data)[0]), part=part)
        outcomes["window" if part in window else "holdout"].update(_some_outcomes(table))
        for name in CODED if part in window else ():
            seen[name].update(pc.unique(table.column(name)).drop_null().to_pylist())
    for span, values in outcomes.items():
        if not values:
            raise UserError(f"the {span} has no rows. Change it in params.yaml, or add data: `make ingest`.")
        if len(values) == 1:
            nothing = f"nothing to {'learn' if span == 'window' else 'judge by'}"
            raise UserError(
                f"the target {contract.TARGET.name} is {values.pop()} in all rows of the {span}, so there is "
                f"{nothing}. Are the outcomes known yet? Change the {span} in params.yaml, or the data."
            )
    return {name: {category: code for code, category in enumerate(sorted(seen[name]))} for name in CODED}


def _read(part: str, data: Path) -> pa.Table:
    """Read a part, with the types of the contract: a file that another program wrote may have others."""
    return to_contract(read_part(part, data), str(part_files(part, data)[0]), HOW_TO_FIX)


def _some_outcomes(table: pa.Table) -> list[Any]:
    """Return two different outcomes, or the only one."""
    column = table.column(contract.TARGET.name)
    if pa.types.is_floating(column.type):
        limits = pc.min_max(column)
        return [limits["min"].as_py(), limits["max"].as_py()]
    return list(pc.unique(column).to_pylist()[:2])


def _require_disjoint(window: list[str], holdout: list[str], data: Path) -> None:
    """Fail if a row of the holdout, as the contract tells rows apart, is also in the window."""
    import duckdb

    keys = ", ".join(f'"{name}"' for name in contract.IDENTITY)
    with duckdb.connect() as connection:
        for view, parts in (("trained", window), ("judged", holdout)):
            files = [str(file) for part in parts for file in part_files(part, data)]
            connection.read_parquet(files).project(keys).create_view(view)
        both = connection.query(f"SELECT * FROM judged SEMI JOIN trained USING ({keys})")  # noqa: S608 - from the contract
        count = both.aggregate("count(*)").fetchall()[0][0]
        if not count:
            return
        values = both.limit(1).fetchall()[0]
    raise UserError(
        f"{count:,} row{'s' if count > 1 else ''} of the holdout {'are' if count > 1 else 'is'} also in the window, so "
        f"a model would be judged on what it was trained on. The first: {row_in_words(values)}. {TELL_APART}"
    )


def _progress(description: str, parts: list[str]) -> Iterable[str]:
    return tqdm(parts, description, unit="part", disable=None)


if __name__ == "__main__":
    stage.run_stage("prepare", lambda: prepare(load_params()))
