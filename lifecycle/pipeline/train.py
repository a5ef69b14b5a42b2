"""Second stage: fit the estimator, export it, and check that the exported model predicts the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.pipeline import stage
from lifecycle.pipeline.export import write_onnx, write_skops
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.console import UserError
from lifecycle.shared.files import replacing_folder, write_json
from lifecycle.shared.histograms import feature_histograms
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import contract_version, json_schema
from lifecycle.shared.tables import to_columns, to_target
from lifecycle.shared.tasks.task import Targets
from model import contract
from model.features import NAMES, features

# The largest difference between the predictions of the fitted pipeline and of the model file that still passes; see
# `Task.differences`. Rounding to single precision causes about 3e-7; a wrong export causes far more.
TOLERANCE = 1e-5


def train(params: Params, prepared: Path = stage.PREPARED, output: Path = stage.MODEL) -> str:
    """Fit the estimator that the parameters name and write the model folder.

    Args:
        params: Parameters; estimator, hyperparameters, seed, format, threshold and window are used.
        prepared: Directory that `prepare` wrote.
        output: Model folder to replace; predictor.py describes its files.

    Returns:
        One line that summarizes the result.

    Raises:
        UserError: If the estimator fails on these settings or data, or if it cannot be exported correctly.
    """
    codes = json.loads((prepared / "codes.json").read_text(encoding="utf-8"))
    matrix, target = _read_train(prepared / "train.parquet")
    try:
        pipeline = params.build_estimator()
        print(f"fitting {params.estimator} on {len(matrix):,} rows and {len(NAMES)} features …", flush=True)
        pipeline.fit(matrix, target)
    except (ValueError, ImportError, OSError) as error:  # a missing shared library raises OSError
        raise UserError(f"{params.estimator} cannot be fitted: {error}") from error

    with replacing_folder(output) as folder:
        if params.model_format == "onnx":
            write_onnx(pipeline, folder / "model.onnx")
        else:
            write_skops(pipeline, folder / "model.skops")
            print("model_format is skops: serving needs exactly this scikit-learn version and is many times slower.")
        write_json(folder / "contract.json", json_schema())
        write_json(
            folder / "metadata.json",
            {
                "name": contract.NAME,
                "contract_version": contract_version(),
                "format": params.model_format,
                "estimator": params.estimator,
                "hyperparameters": params.chosen_hyperparameters().model_dump(),
                "seed": params.seed,
                "window": params.window.model_dump(),
                "rows": len(target),
                "target": TASK.summary(target),
                "baseline": TASK.baseline(target),
                "threshold": params.threshold,
                "features": list(NAMES),
                "codes": codes,
                "histograms": {
                    name: histogram.model_dump() for name, histogram in feature_histograms(matrix, codes).items()
                },
            },
        )
        difference = _difference(pipeline, Predictor.load(folder), prepared / "holdout.parquet")
        size = sum(file.stat().st_size for file in folder.iterdir())
    return (
        f"{params.estimator} as {params.model_format}, {size / 2**20:.1f} MiB, "
        f"differs from scikit-learn by at most {difference:.0e}"
    )


def _read_train(path: Path) -> tuple[NDArray[np.float32], Targets]:
    """Read the feature matrix of shape (rows, features) and the target of shape (rows,)."""
    file = pq.ParquetFile(path)
    matrix = np.empty((file.metadata.num_rows, len(NAMES)), dtype=np.float32)
    targets, start = [], 0
    for batch in file.iter_batches():
        end = start + batch.num_rows
        for position, name in enumerate(NAMES):
            matrix[start:end, position] = batch.column(name)
        targets.append(to_target(pa.Table.from_batches([batch])))
        start = end
    # Some estimators cannot be fitted to a column without any value. If it is constant, none of them uses it.
    matrix[:, np.isnan(matrix).all(axis=0)] = 0
    return matrix, np.concatenate(targets)


def _difference(pipeline: Any, predictor: Predictor, holdout: Path) -> float:
    """Compute the largest difference between the predictions of pipeline and model file on the holdout.

    Raises:
        UserError: If it exceeds `TOLERANCE`.
    """
    worst, differing, rows = 0.0, 0, 0
    for batch in pq.ParquetFile(holdout).iter_batches():
        columns = to_columns(pa.Table.from_batches([batch]))
        expected = TASK.predict(pipeline, features(columns, predictor.metadata["codes"]))
        differences = TASK.differences(predictor.predict(columns), expected, predictor.metadata["target"])
        worst = max(worst, float(differences.max()))
        differing += int((differences > TOLERANCE).sum())
        rows += len(differences)
    if not worst <= TOLERANCE:
        raise UserError(
            f"the exported model differs from the trained one: the predictions of {differing:,} of {rows:,} holdout "
            f"rows differ by more than {TOLERANCE:g}, the largest difference is {worst:.2g}. The export of this "
            f"estimator is wrong for these settings (native categorical splits are a known case). Change the "
            f"estimator, or set `model_format: skops` in params.yaml to save it without an export. The last good model "
            f"is still in place."
        )
    return worst


if __name__ == "__main__":
    stage.run_stage("train", lambda: train(load_params()))
