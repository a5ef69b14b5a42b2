"""The task of a target with several classes: the model predicts the probability of each."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared import curves
from lifecycle.shared.columns import Target
from lifecycle.shared.metrics import Scores
from lifecycle.shared.tasks.multiclass_scores import MulticlassScores, multiclass_metrics
from lifecycle.shared.tasks.task import Curve, Predictions, Targets, Task


class Multiclass(Task):
    """A target that is one of several classes."""

    loss = "log_loss"
    ranks = "balanced_accuracy"
    output = "probabilities"

    def __init__(self, target: Target) -> None:
        """Create the task of a target."""
        super().__init__(target, multiclass_metrics(target.categories))
        self._position = {name: position for position, name in enumerate(target.categories)}

    def encode(self, values: NDArray[np.generic]) -> Targets:
        """Return the positions of the values among the classes."""
        return np.array([self._position[str(value)] for value in values], dtype=np.intp)

    def summary(self, targets: Targets) -> dict[str, float]:
        """Return the share of each class."""
        shares = np.bincount(targets, minlength=len(self._position)) / max(len(targets), 1)
        return dict(zip(self._position, shares.tolist(), strict=True))

    def summary_in_words(self, summary: Mapping[str, float]) -> str:
        """Return the shares in words, such as "61.0% setosa, 39.0% virginica"."""
        return ", ".join(f"{summary[name]:.1%} {name}" for name in self._position)

    def baseline(self, targets: Targets) -> list[float]:
        """Return the share of each class."""
        return list(self.summary(targets).values())

    def constant(self, baseline: Any, rows: int) -> Predictions:
        """Return the shares for each row."""
        return np.tile(np.array(baseline, dtype=np.float64), (rows, 1))

    def predict(self, pipeline: Any, matrix: NDArray[np.float32]) -> Predictions:
        """Return the probability of each class; 0 for a class that is not in the training data."""
        return self._of_all_classes(pipeline.predict_proba(matrix), pipeline.classes_)

    def load_onnx(self, session: Any) -> Callable[[NDArray[np.float32]], Predictions]:
        """Return a function for the probability of each class."""
        (input_name,) = (node.name for node in session.get_inputs())

        def predict(matrix: NDArray[np.float32]) -> Predictions:
            probabilities: Predictions = session.run(["probabilities"], {input_name: matrix})[0]
            return probabilities

        return predict

    def differences(self, predictions: Predictions, expected: Predictions) -> NDArray[np.float64]:
        """Return the largest absolute difference of the probabilities of a row."""
        return np.asarray(np.abs(predictions.astype(np.float64) - expected).max(axis=1))

    def scores(self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float) -> Scores:
        """Return the scores of probabilities."""
        del threshold
        return MulticlassScores(targets, predictions, bins=bins)

    def curves(self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float) -> dict[str, Curve]:
        """Return the calibration curve of the predicted class, and the confusion matrix."""
        del threshold
        label = predictions.argmax(axis=1)
        names = [*self._position]
        counts = np.zeros((len(names), len(names)), dtype=np.intp)
        np.add.at(counts, (targets, label), 1)
        confusion = [
            (actual, predicted, int(counts[row, column]))
            for row, actual in enumerate(names)
            for column, predicted in enumerate(names)
        ]
        of_label = curves.calibration(label == targets, predictions.max(axis=1), bins)
        return {
            "calibration": Curve(("predicted", "observed", "rows"), [*zip(*of_label, strict=True)]),
            "confusion": Curve(("actual", "predicted", "rows"), confusion),
        }

    def _of_all_classes(self, probabilities: NDArray[np.floating[Any]], present: NDArray[np.intp]) -> Predictions:
        complete = np.zeros((len(probabilities), len(self._position)), dtype=np.float32)
        complete[:, present] = probabilities
        return complete
