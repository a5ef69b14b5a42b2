"""First stage: validate the months, split them by time and compute the training features.

The holdout keeps the contract's columns, so that `evaluate` can score it as the service scores a request.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from lifecycle.pipeline import stage
from lifecycle.shared.files import replacing_folder, require_space, write_json
from lifecycle.shared.months import ARROW_SCHEMA, DATA, month_path, open_month, read_month, to_columns
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.validation import as_pandas, validate
from model import contract
from model.features import CODED, NAMES, features

TRAIN_SCHEMA = pa.schema([pa.field(name, pa.float32()) for name in NAMES] + [ARROW_SCHEMA.field(contract.TARGET.name)])

_ROOM = 64 * 2**20  # bytes of free space required in addition to the outputs


def prepare(params: Params, data: Path = DATA, output: Path = stage.PREPARED) -> str:
    """Write the training features, the holdout and the category codes.

    Only one month at a time is in memory.

    Args:
        params: Parameters; window and holdout are used.
        data: Directory of the month files.
        output: Directory to replace, with train.parquet, holdout.parquet and codes.json.

    Returns:
        One line that summarizes the result.

    Raises:
        UserError: If a month is missing or violates the contract, or the disk has too little free space.
    """
    window, holdout = params.window.months(), params.holdout.months()
    rows = {month: open_month(month_path(month, data)).metadata.num_rows for month in [*window, *holdout]}
    # Estimated without compression. DVC's cache takes the same space again.
    require_space(output, 2 * sum(rows.values()) * (len(NAMES) * 4 + 1) + _ROOM)

    codes = _validate(window, holdout, data)
    with replacing_folder(output) as folder:
        write_json(folder / "codes.json", codes)
        with (
            pq.ParquetWriter(folder / "train.parquet", TRAIN_SCHEMA) as train_file,
            pq.ParquetWriter(folder / "holdout.parquet", ARROW_SCHEMA, compression="zstd") as holdout_file,
        ):
            for month in _progress("compute features", [*window, *holdout]):
                table = read_month(month_path(month, data)).select(ARROW_SCHEMA.names)
                if month in window:
                    matrix = features(to_columns(table), codes)
                    train_file.write_table(
                        pa.table([*matrix.T, table.column(contract.TARGET.name)], schema=TRAIN_SCHEMA)
                    )
                else:
                    holdout_file.write_table(table.cast(ARROW_SCHEMA))
    return (
        f"{sum(rows[m] for m in window):,} rows to train on ({window[0]} to {window[-1]}), "
        f"{sum(rows[m] for m in holdout):,} held out ({holdout[0]} to {holdout[-1]})"
    )


def _validate(window: list[str], holdout: list[str], data: Path) -> dict[str, dict[str, int]]:
    """Validate all months, and return codes for the categories of the training window, in alphabetical order."""
    seen: dict[str, set[str]] = {name: set() for name in CODED}
    for month in _progress("validate", [*window, *holdout]):
        path = month_path(month, data)
        table = read_month(path)
        validate(as_pandas(table), source=str(path), month=month)
        for name in CODED if month in window else ():
            seen[name].update(pc.unique(table.column(name)).drop_null().to_pylist())
    return {name: {category: code for code, category in enumerate(sorted(seen[name]))} for name in CODED}


def _progress(description: str, months: list[str]) -> Iterable[str]:
    return tqdm(months, description, unit="month", disable=None)


if __name__ == "__main__":
    stage.run_stage("prepare", lambda: prepare(load_params()))
