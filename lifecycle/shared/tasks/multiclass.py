"""The task of a target with several classes: the model predicts the probability of each."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared import curves
from lifecycle.shared.columns import ColumnType, Target
from lifecycle.shared.metrics import Floats, OwnMetric, Scores
from lifecycle.shared.tasks.multiclass_scores import MulticlassScores, metrics_of_class_sums, multiclass_metrics
from lifecycle.shared.tasks.task import CLASSES, TENTHS, TWENTIETHS, Curve, Predictions, Targets, Task


class Multiclass(Task):
    """A target that is one of several classes."""

    loss = "log_loss"
    ranks = "balanced_accuracy"
    output = "probabilities"
    gated = ("log_loss", "balanced_accuracy", "brier_score")
    output_type: ClassVar[ColumnType] = "category"
    observed_in_words = "Predicted probabilities of the most probable class."
    curve_names = ("calibration", "confusion")
    charts = {"calibration": ("Calibration", "predicted", "observed")}  # noqa: RUF012 - annotated in the base class
    chart_range = (0.0, 1.0)

    def guess(self) -> tuple[str, float]:
        """Return the balanced accuracy of a random class."""
        return "balanced_accuracy", 1 / len(self._position)

    def __init__(self, target: Target, own: Sequence[OwnMetric] = ()) -> None:
        """Create the task of a target."""
        super().__init__(target, multiclass_metrics(target.categories), own)
        self._position = {name: position for position, name in enumerate(target.categories)}

    def encode(self, values: NDArray[np.generic]) -> Targets:
        """Return the positions of the values among the classes."""
        return np.array([self._position[str(value)] for value in values], dtype=np.intp)

    def classes(self, targets: Targets) -> NDArray[np.intp]:
        """Return the targets, which are positions among the classes."""
        return targets

    def summary(self, targets: Targets) -> dict[str, float]:
        """Return the share of each class."""
        shares = np.bincount(targets, minlength=len(self._position)) / max(len(targets), 1)
        return dict(zip(self._position, shares.tolist(), strict=True))

    def summary_in_words(self, summary: Mapping[str, float]) -> str:
        """Return the shares in words, such as "61.0% setosa, 39.0% virginica"."""
        return ", ".join(f"{summary[name]:.1%} {name}" for name in self._position)

    def support(self, targets: Targets) -> int:
        """Return the number of rows outside of the most frequent class."""
        return len(targets) - int(np.bincount(targets, minlength=1).max())

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
        present = np.array(json.loads(session.get_modelmeta().custom_metadata_map[CLASSES]))

        def predict(matrix: NDArray[np.float32]) -> Predictions:
            return self._of_all_classes(session.run(["probabilities"], {input_name: matrix})[0], present)

        return predict

    def differences(
        self, predictions: Predictions, expected: Predictions, summary: Mapping[str, float]
    ) -> NDArray[np.float64]:
        """Return the largest absolute difference of the probabilities of a row."""
        del summary
        return np.asarray(np.abs(predictions.astype(np.float64) - expected).max(axis=1))

    def answer_in_words(self, threshold: float | None) -> str:
        """Say how the label is chosen."""
        del threshold
        return "It labels a row with its most probable class."

    def output_columns(self) -> list[str]:
        """Return the name of the column with the probability of each class."""
        return [f"probability_{name}" for name in self._position]

    def write_output(self, predictions: Predictions, *, threshold: float | None) -> dict[str, NDArray[np.generic]]:
        """Return the label and the probability of each class."""
        del threshold
        labels = np.array([*self._position], dtype=object)[predictions.argmax(axis=1)]
        return {"label": labels, **dict(zip(self.output_columns(), predictions.T, strict=True))}

    def read_output(self, columns: Mapping[str, NDArray[np.generic]]) -> Predictions:
        """Return the probability of each class."""
        return np.column_stack([columns[name] for name in self.output_columns()]).astype(np.float32)

    def answers(self, predictions: Sequence[Any], *, threshold: float | None) -> list[dict[str, Any]]:
        """Return the label and the probability of each class, for each row."""
        del threshold
        names = [*self._position]
        return [
            {"label": names[row.index(max(row))], "probabilities": dict(zip(names, row, strict=True))}
            for row in predictions
        ]

    def read_answers(self, answers: Sequence[Mapping[str, Any]]) -> Predictions:
        """Return the probability of each class."""
        return np.array([[answer["probabilities"][name] for name in self._position] for answer in answers])

    def scores_of_kind(
        self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float | None
    ) -> Scores:
        """Return the scores of probabilities."""
        del threshold
        return MulticlassScores(targets, predictions, bins=bins)

    def curves(
        self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float | None
    ) -> dict[str, Curve]:
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

    def indicators(self, targets: Targets) -> NDArray[np.float64]:
        """Return a 1 in the column of each row's class."""
        return np.eye(len(self._position))[targets]

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """Return the schemas of the label and of the probability of each class."""
        names = [*self._position]
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        return {
            "label": {"type": "string", "enum": names, "description": "The most probable class."},
            "probabilities": {"type": "object", "required": names, "properties": dict.fromkeys(names, probability)},
        }

    def outcome_example(self) -> Any:
        """Return a valid outcome."""
        return next(iter(self._position))

    def outcome_in_words(self, outcome: Any) -> str:
        """Return the class."""
        return str(outcome)

    def to_log(self, prediction: Any) -> Any:
        """Return the probabilities as JSON, in the order of the classes."""
        return json.dumps(prediction)

    def logged_sql(self) -> str:
        """Return the probabilities as a list."""
        return f"""from_json("{self.output}", '["DOUBLE"]')"""

    def observed(self, predictions: Predictions) -> NDArray[np.floating[Any]]:
        """Return the probability of the predicted class."""
        return np.asarray(predictions.max(axis=1))

    def observed_edges(self, summary: Mapping[str, float]) -> tuple[float, ...]:
        """Return tenths."""
        del summary
        return TENTHS

    def variables(self) -> dict[str, tuple[Literal["number", "category"], str]]:
        """Return the predicted class and its probability."""
        label = f"[{', '.join(self._quoted())}][list_position(prediction, list_max(prediction))]"
        return {"predicted class": ("category", label), "probability": ("number", "list_max(prediction)")}

    def binned_by(self) -> str:
        """Return nothing: the bins are fixed."""
        return ""

    def bins(self, quantiles: Sequence[float]) -> dict[str, tuple[tuple[float, ...], tuple[str, ...]]]:
        """Return a bin for each class, and bins of a twentieth."""
        del quantiles
        return {"predicted class": ((), tuple(sorted(self._position))), "probability": (TWENTIETHS, ())}

    def explained(self, predictions: Predictions, of: Predictions) -> NDArray[np.floating[Any]]:
        """Return the probability of the class that is predicted for the row."""
        return predictions[:, int(np.argmax(of))]

    def explained_in_words(self, of: Predictions) -> str:
        """Return the probability of the predicted class in words."""
        return f"probability of {self.target.categories[int(np.argmax(of))]}"

    def _of_all_classes(self, probabilities: NDArray[np.floating[Any]], present: NDArray[np.intp]) -> Predictions:
        complete = np.zeros((len(probabilities), len(self._position)), dtype=np.float32)
        complete[:, present] = probabilities
        return complete

    def live(self, outcomes: Any, cluster: str) -> tuple[list[str], Floats, Floats]:
        """Compute the live metrics from sums by cluster."""
        classes = f"[{', '.join(self._quoted())}]"
        of_outcome = f"prediction[list_position({classes}, outcome)]"
        label = f"{classes}[list_position(prediction, list_max(prediction))]"
        epsilon = float(np.finfo(np.float64).eps)
        sums = [
            f"sum(-ln(greatest(least({of_outcome}, {1 - epsilon!r}), {epsilon!r})))",
            f"sum(list_sum(list_transform(prediction, lambda p: p ** 2)) - 2 * {of_outcome} + 1)",
            *(f"count(*) FILTER (outcome = {name})" for name in self._quoted()),
            *(f"count(*) FILTER (outcome = {name} AND {label} = outcome)" for name in self._quoted()),
        ]
        by_group = np.array(outcomes.aggregate(", ".join(sums), f'"{cluster}"').fetchall(), dtype=np.float64)
        whole = by_group.sum(axis=0, keepdims=True)
        return self._live_names(), metrics_of_class_sums(whole)[0], metrics_of_class_sums(whole - by_group)

    def expected(self, rows: Any, cluster: str) -> tuple[list[str], Floats, Floats]:
        """Compute the expected metrics from sums by cluster: a row counts as p rows of each class."""
        most = "list_max(prediction)"
        logarithms = f"list_transform(prediction, lambda p: p * ln(greatest(p, {float(np.finfo(np.float64).eps)!r})))"
        sums = [
            f"sum(-list_sum({logarithms}))",
            "sum(1 - list_sum(list_transform(prediction, lambda p: p ** 2)))",
            *(f"sum(prediction[{position + 1}])" for position in self._position.values()),
            *(
                f"sum(CASE WHEN list_position(prediction, {most}) = {position + 1} THEN {most} ELSE 0 END)"
                for position in self._position.values()
            ),
        ]
        by_group = np.array(rows.aggregate(", ".join(sums), f'"{cluster}"').fetchall(), dtype=np.float64)
        whole = by_group.sum(axis=0, keepdims=True)
        return self._live_names(), metrics_of_class_sums(whole)[0], metrics_of_class_sums(whole - by_group)

    def _live_names(self) -> list[str]:
        """Return the names of the metrics that `metrics_of_class_sums` computes."""
        return ["log_loss", "brier_score", "balanced_accuracy", *(f"recall_{name}" for name in self._position)]

    def answer_sql(self) -> dict[str, tuple[str, str]]:
        """Return the outcomes of each class and its probability."""
        return {
            name: (f"(outcome = {quoted})::INT", f"prediction[{position + 1}]")
            for (name, position), quoted in zip(self._position.items(), self._quoted(), strict=True)
        }

    def live_summaries(self, outcomes: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Return the share of each class among the outcomes, and its mean probability."""
        shares = [f"avg((outcome = {name})::INT)" for name in self._quoted()]
        means = [f"avg(prediction[{position + 1}])" for position in self._position.values()]
        (values,) = outcomes.aggregate(", ".join([*shares, *means])).fetchall()
        count = len(self._position)
        return tuple(dict(zip(self._position, part, strict=True)) for part in (values[:count], values[count:]))  # type: ignore[return-value]  # two of them

    def _quoted(self) -> list[str]:
        """Return the classes as SQL literals."""
        return ["'" + name.replace("'", "''") + "'" for name in self._position]
