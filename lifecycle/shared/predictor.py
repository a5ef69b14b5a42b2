"""The model directory, and the one way to predict with it: in evaluation, in proposals and in the service.

A model directory holds
    model.onnx      the estimator, from the feature matrix to predictions (or model.skops, see params.yaml)
    contract.json   the contract it was trained under, as JSON Schema
    metadata.json   estimator, hyperparameters, window, rows, features with their histograms, category codes, threshold
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.columns import Columns
from lifecycle.shared.console import UserError, first_line
from lifecycle.shared.schema import json_schema
from lifecycle.shared.tasks.task import Predictions
from model import features

# Rows scored at a time, so that memory does not grow with their number.
_BATCH = 2**16

Score = Callable[[NDArray[np.float32]], Predictions]


class Predictor:
    """A loaded model.

    Attributes:
        metadata: Contents of metadata.json.
    """

    def __init__(self, metadata: dict[str, Any], score: Score) -> None:
        """Use `Predictor.load` instead."""
        self.metadata = metadata
        self._score = score
        self._codes = metadata["codes"]

    @classmethod
    def load(cls, folder: Path) -> "Predictor":
        """Load a model directory.

        Raises:
            UserError: If it is missing or damaged, or was trained under another contract or on other features.
        """
        try:
            metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
            trained_under = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
            score = _LOADERS[metadata["format"]](folder)
            predictor = cls(metadata, score)
            names = metadata["features"]
        except UserError:
            raise
        except Exception as error:  # the libraries raise all kinds of exceptions for a damaged file
            reason = first_line(error)
            raise UserError(f"the model in {folder} cannot be loaded: {reason}. `make` trains it again.") from error
        if trained_under != json_schema():
            raise UserError(
                f"the model in {folder} was trained under another contract: {_difference(trained_under)}. "
                f"`make` trains it again under model/contract.py."
            )
        if names != list(features.NAMES):
            raise UserError(f"the model in {folder} was trained on other features. `make` trains it again.")
        return predictor

    def predict(self, columns: Columns) -> Predictions:
        """Predict the target of each row.

        Args:
            columns: The contract's inputs by name, each of shape (rows,), as `features.features` takes them.

        Returns:
            Predictions, of shape (rows,), or (rows, classes) for a target with several classes.
        """
        rows = len(next(iter(columns.values())))
        # One batch even without rows, so that the result has its shape.
        starts = range(0, max(rows, 1), _BATCH)
        batches = ({name: values[start : start + _BATCH] for name, values in columns.items()} for start in starts)
        return np.concatenate([self.score(self.features(batch)) for batch in batches])

    def features(self, columns: Columns) -> NDArray[np.float32]:
        """Compute the feature matrix of shape (rows, features), with the category codes of this model."""
        return features.features(columns, self._codes)

    def score(self, matrix: NDArray[np.float32]) -> Predictions:
        """Predict the target of each row of a feature matrix; see `predict`."""
        return self._score(matrix)


def model_hash(folder: Path) -> str:
    """Compute the SHA-256 of a model directory's files, as hexadecimal digits."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _load_onnx(folder: Path) -> Score:
    from onnxruntime import InferenceSession, SessionOptions

    # With one thread the trees are always added up in the same order, so that a row gets the same probability on any
    # machine, alone or among others.
    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    return TASK.load_onnx(session)


def _load_skops(folder: Path) -> Score:
    import skops.io

    path = folder / "model.skops"
    untrusted = [
        name
        for name in skops.io.get_untrusted_types(file=path)
        if not name.startswith(("sklearn.", "lightgbm.", "numpy.", "collections.")) and name != "functools.partial"
    ]
    if untrusted:
        raise UserError(f"{path} contains types that are not trusted: {', '.join(untrusted)}.")
    pipeline = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    return partial(TASK.predict, pipeline)


_LOADERS: dict[str, Callable[[Path], Score]] = {"onnx": _load_onnx, "skops": _load_skops}


def differing_columns(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Return the columns in which two contracts differ, given as JSON Schema."""
    left_columns, right_columns = left.get("properties", {}), right.get("properties", {})
    names = left_columns.keys() | right_columns.keys()
    return sorted(name for name in names if left_columns.get(name) != right_columns.get(name))


def _difference(other: dict[str, Any]) -> str:
    """Say in which columns another contract differs from that of the code."""
    differing = differing_columns(json_schema(), other)
    return f"it differs in {', '.join(differing)}" if differing else "it differs in the target or the identity"
