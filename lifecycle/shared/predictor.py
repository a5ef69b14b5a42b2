"""The model folder, and the one way to get probabilities out of it: in evaluation, in proposals and in the service.

A model folder holds
    model.onnx      the estimator, from the feature matrix to probabilities (or model.skops, see params.yaml)
    contract.json   the contract it was trained under, as JSON Schema
    metadata.json   estimator, hyperparameters, window, rows, features with their histograms, category codes, threshold
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared.columns import Columns
from lifecycle.shared.console import UserError
from lifecycle.shared.schema import json_schema
from model import contract, features

# Rows scored at a time, so that memory does not grow with their number.
_BATCH = 2**16

Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Predictor:
    """A loaded model.

    Attributes:
        metadata: What metadata.json says.
    """

    def __init__(self, metadata: dict[str, Any], score: Score) -> None:
        """Use `Predictor.load`."""
        self.metadata = metadata
        self._score = score
        self._codes = metadata["codes"]

    @classmethod
    def load(cls, folder: Path) -> "Predictor":
        """Load a model folder.

        Raises:
            UserError: Where it is missing or damaged, or was trained under another contract or other features.
        """
        try:
            metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
            trained_under = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
            score = _LOADERS[metadata["format"]](folder)
            predictor = cls(metadata, score)
            names = metadata["features"]
        except UserError:
            raise
        except Exception as error:  # the libraries raise what they like for a damaged file
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"the model folder {folder} cannot be loaded: {reason}. `make` trains it again.") from error
        if trained_under != json_schema():
            raise UserError(
                f"the model in {folder} was trained under another contract: {_difference(trained_under)}. "
                f"`make` trains it again under model/contract.py."
            )
        if names != list(features.NAMES):
            raise UserError(f"the model in {folder} was trained on other features. `make` trains it again.")
        return predictor

    def probabilities(self, columns: Columns) -> NDArray[np.float32]:
        """Probability of the target for each row.

        Args:
            columns: The contract's inputs by name, each of shape (rows,), as `features.features` takes them.

        Returns:
            Of shape (rows,).
        """
        rows = len(columns[contract.INPUTS[0].name])
        found = np.empty(rows, dtype=np.float32)
        for start in range(0, rows, _BATCH):
            batch = {name: values[start : start + _BATCH] for name, values in columns.items()}
            found[start : start + _BATCH] = self.score(self.features(batch))
        return found

    def features(self, columns: Columns) -> NDArray[np.float32]:
        """The feature matrix of shape (rows, features), with the codes of this model."""
        return features.features(columns, self._codes)

    def score(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of the target for each row of a feature matrix, of shape (rows,)."""
        return self._score(matrix)


def model_hash(folder: Path) -> str:
    """SHA-256 of a model folder's files."""
    found = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        found.update(f"{file.name} {file.stat().st_size}\n".encode())
        found.update(file.read_bytes())
    return found.hexdigest()


def _load_onnx(folder: Path) -> Score:
    from onnxruntime import InferenceSession, SessionOptions

    # With one thread the trees are always added up in the same order: the same answer on any machine, and for a row by
    # itself as among others.
    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    (name,) = (put.name for put in session.get_inputs())

    def score(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        both: NDArray[np.float32] = session.run(["probabilities"], {name: matrix})[0]
        return both[:, 1]

    return score


def _load_skops(folder: Path) -> Score:
    import skops.io

    path = folder / "model.skops"
    strangers = [
        name
        for name in skops.io.get_untrusted_types(file=path)
        if not name.startswith(("sklearn.", "lightgbm.", "numpy.", "collections.")) and name != "functools.partial"
    ]
    if strangers:
        raise UserError(f"{path} contains types that are not loaded unseen: {', '.join(strangers)}.")
    pipeline = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))

    def score(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(pipeline.predict_proba(matrix)[:, 1], dtype=np.float32)

    return score


_LOADERS: dict[str, Callable[[Path], Score]] = {"onnx": _load_onnx, "skops": _load_skops}


def differing_columns(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The columns in which two contracts differ, as JSON Schema."""
    ours, theirs = one.get("properties", {}), other.get("properties", {})
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _difference(other: dict[str, Any]) -> str:
    """In which columns another contract differs from the code's."""
    differing = differing_columns(json_schema(), other)
    return f"it differs in {', '.join(differing)}" if differing else "it differs in the target or the identity"
