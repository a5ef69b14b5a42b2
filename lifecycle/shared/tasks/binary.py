"""The task of a target that is true or false: the model predicts its probability."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared import curves
from lifecycle.shared.columns import ColumnType, Target
from lifecycle.shared.metrics import Floats, OwnMetric, Scores
from lifecycle.shared.tasks.binary_scores import BINARY_METRICS, BinaryScores, expected_metrics
from lifecycle.shared.tasks.task import TENTHS, TWENTIETHS, Curve, Predictions, Targets, Task

# Number of steps of the probability in live metrics. The error of a metric is a fraction of a step.
_STEPS = 2048
# Least probability whose logarithm is computed; the metrics of rows have the same one.
_LEAST = float(np.finfo(np.float64).eps)


class Binary(Task):
    """A target that is true or false."""

    loss = "log_loss"
    ranks = "roc_auc"
    output = "probability"
    has_threshold = True
    gated = ("roc_auc", "log_loss", "brier_score", "calibration_error")
    output_type: ClassVar[ColumnType] = "number"
    observed_in_words = "Predicted probabilities."
    curve_names = ("roc", "precision_recall", "calibration", "confusion")
    charts = {  # noqa: RUF012 - annotated in the base class
        "roc": ("ROC", "false positive rate", "true positive rate"),
        "calibration": ("Calibration", "predicted", "observed"),
    }
    chart_range = (0.0, 1.0)

    def __init__(self, target: Target, own: Sequence[OwnMetric] = ()) -> None:
        """Create the task of a target."""
        super().__init__(target, BINARY_METRICS, own)

    def guess(self) -> tuple[str, float]:
        """Return the ROC AUC of random probabilities."""
        return "roc_auc", 0.5

    def encode(self, values: NDArray[np.generic]) -> Targets:
        """Return the booleans."""
        return values.astype(np.bool_)

    def classes(self, targets: Targets) -> NDArray[np.intp]:
        """Return 1 for true and 0 for false."""
        return targets.astype(np.intp)

    def summary(self, targets: Targets) -> dict[str, float]:
        """Return the base rate: the share of positive targets."""
        return {"base_rate": float(targets.mean()) if len(targets) else np.nan}

    def summary_in_words(self, summary: Mapping[str, float]) -> str:
        """Return the base rate in words, such as "34.1% late"."""
        return f"{summary['base_rate']:.1%} {self.target.name}"

    def support(self, targets: Targets) -> int:
        """Return the number of rows of the rarer class."""
        return int(min(targets.sum(), (~targets).sum()))

    def baseline(self, targets: Targets) -> float:
        """Return the base rate."""
        return float(targets.mean())

    def constant(self, baseline: Any, rows: int) -> Predictions:
        """Return the base rate for each row."""
        return np.full(rows, float(baseline))

    def predict(self, pipeline: Any, matrix: NDArray[np.float32]) -> Predictions:
        """Return the probability that the target is true."""
        return np.asarray(pipeline.predict_proba(matrix)[:, 1], dtype=np.float32)

    def load_onnx(self, session: Any) -> Callable[[NDArray[np.float32]], Predictions]:
        """Return a function for the probability that the target is true."""
        (input_name,) = (node.name for node in session.get_inputs())

        def predict(matrix: NDArray[np.float32]) -> Predictions:
            of_both_classes: Predictions = session.run(["probabilities"], {input_name: matrix})[0]
            return of_both_classes[:, 1]

        return predict

    def differences(
        self, predictions: Predictions, expected: Predictions, summary: Mapping[str, float]
    ) -> NDArray[np.float64]:
        """Return the absolute differences of the probabilities."""
        del summary
        return np.abs(predictions.astype(np.float64) - expected)

    def answer_in_words(self, threshold: float | None) -> str:
        """Return the threshold in words."""
        return f"It labels a row {self.target.name} if the probability is at least {threshold:g}."

    def write_output(self, predictions: Predictions, *, threshold: float | None) -> dict[str, NDArray[np.generic]]:
        """Return the probability and the label."""
        return {self.output: predictions, "label": self._label(predictions, threshold)}

    def answers(self, predictions: Sequence[Any], *, threshold: float | None) -> list[dict[str, Any]]:
        """Return probability and label of each row."""
        return [{"probability": probability, "label": probability >= threshold} for probability in predictions]

    def read_answers(self, answers: Sequence[Mapping[str, Any]]) -> Predictions:
        """Return the probabilities."""
        return np.array([answer["probability"] for answer in answers])

    def scores_of_kind(
        self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float | None
    ) -> Scores:
        """Return the scores of probabilities."""
        return BinaryScores(targets, predictions, bins=bins, threshold=threshold)

    def curves(
        self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float | None
    ) -> dict[str, Curve]:
        """Return the ROC curve, the precision-recall curve, the calibration curve and the confusion matrix."""
        label = self._label(predictions, threshold)
        false, true = curves.roc(targets, predictions)
        recall, precision = curves.precision_recall(targets, predictions)
        along, by_recall = curves.thinned(false + true), curves.thinned(recall)
        names = {True: self.target.name, False: f"not {self.target.name}"}
        confusion = [
            (names[actual], names[predicted], int(((targets == actual) & (label == predicted)).sum()))
            for actual in (True, False)
            for predicted in (True, False)
        ]
        return {
            "roc": Curve(("false_positive_rate", "true_positive_rate"), [*zip(false[along], true[along], strict=True)]),
            "precision_recall": Curve(
                ("recall", "precision"), [*zip(recall[by_recall], precision[by_recall], strict=True)]
            ),
            "calibration": Curve(
                ("predicted", "observed", "rows"), [*zip(*curves.calibration(targets, predictions, bins), strict=True)]
            ),
            "confusion": Curve(("actual", "predicted", "rows"), confusion),
        }

    @staticmethod
    def _label(predictions: Predictions, threshold: float | None) -> NDArray[np.bool_]:
        return np.asarray(predictions >= (threshold or 0.0))

    def indicators(self, targets: Targets) -> NDArray[np.float64]:
        """Return 1 for true and 0 for false."""
        return targets.astype(np.float64)

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """Return the schemas of probability and label."""
        return {
            "probability": {"type": "number", "minimum": 0, "maximum": 1},
            "label": {"type": "boolean", "description": "Whether the probability reaches the served threshold."},
        }

    def outcome_example(self) -> Any:
        """Return a valid outcome."""
        return True

    def outcome_in_words(self, outcome: Any) -> str:
        """Return the target's name, or that it is not so."""
        return self.target.name if outcome else f"not {self.target.name}"

    def observed_edges(self, summary: Mapping[str, float]) -> tuple[float, ...]:
        """Return tenths."""
        del summary
        return TENTHS

    def variables(self) -> dict[str, tuple[Literal["number", "category"], str]]:
        """Return the probability."""
        return {self.output: ("number", "prediction")}

    def binned_by(self) -> str:
        """Return nothing: the bins of a probability are fixed."""
        return ""

    def bins(self, quantiles: Sequence[float]) -> dict[str, tuple[tuple[float, ...], tuple[str, ...]]]:
        """Return bins of a twentieth."""
        del quantiles
        return {self.output: (TWENTIETHS, ())}

    def explained(self, predictions: Predictions, of: Predictions) -> NDArray[np.floating[Any]]:
        """Return the probabilities."""
        del of
        return predictions

    def explained_in_words(self, of: Predictions) -> str:
        """Return the probability in words."""
        del of
        return f"probability of {self.target.name}"

    def live(self, outcomes: Any, cluster: str) -> tuple[list[str], Floats, Floats]:
        """Compute the live metrics from counts by probability, outcome and cluster."""
        step = f"least((prediction * {_STEPS})::INT, {_STEPS - 1}) AS step"
        counted = outcomes.project(f'{step}, prediction, outcome, "{cluster}" AS cluster').aggregate(
            "step, outcome, cluster, sum(prediction) AS probability, count(*) AS rows", "step, outcome, cluster"
        )
        cells = counted.order("step, outcome, cluster").fetchnumpy()
        rows = cells["rows"].astype(np.uint32)
        # A cell holds the rows of a step and an outcome.
        _, cell = np.unique(2 * cells["step"].astype(np.intp) + cells["outcome"], return_inverse=True)
        groups, group = np.unique(cells["cluster"], return_inverse=True)
        by_group = np.zeros((len(groups), cell.max() + 1), dtype=np.uint32)
        by_group[group, cell] = rows
        everything = by_group.sum(axis=0, dtype=np.uint32)
        target = np.zeros(len(everything), dtype=np.bool_)
        target[cell] = cells["outcome"].astype(np.bool_)
        probability = np.bincount(cell, cells["probability"]) / everything
        scores = BinaryScores(target, probability, bins=1, threshold=0.5)
        live = [position for position, metric in enumerate(BINARY_METRICS) if metric.live]
        names = [BINARY_METRICS[position].name for position in live]
        return names, scores.metrics(everything[None])[0, live], scores.metrics(everything - by_group)[:, live]

    def expected(self, rows: Any, cluster: str) -> tuple[list[str], Floats, Floats]:
        """Compute the expected metrics from counts by probability and cluster.

        A row with probability p counts as p positive rows and 1 - p negative ones.
        """
        step = f"least((prediction * {_STEPS})::INT, {_STEPS - 1})"
        p, not_p = "prediction", "(1 - prediction)"
        entropy = " - ".join(f"{share} * ln(greatest({share}, {_LEAST!r}))" for share in (p, not_p))
        sums = f"count(*), sum({p}), sum(-{entropy}), sum({p} * {not_p})"
        cells = rows.aggregate(f'"{cluster}" AS cluster, {step} AS step, {sums}', "cluster, step").fetchall()
        cluster_of, step_of, *values = np.array(sorted(cells), dtype=np.float64).T
        groups, group = np.unique(cluster_of, return_inverse=True)
        by_group = np.zeros((4, len(groups), _STEPS))
        by_group[:, group, step_of.astype(np.intp)] = values
        everything = by_group.sum(axis=1)
        names = ["roc_auc", "average_precision", "log_loss", "brier_score"]
        return names, expected_metrics(everything[:, None])[0], expected_metrics(everything[:, None] - by_group)

    def answer_sql(self) -> dict[str, tuple[str, str]]:
        """Return the positive outcomes and their probability."""
        return {self.target.name: ("outcome::INT", "prediction")}

    def live_summaries(self, outcomes: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Return the share of positive outcomes and the mean probability."""
        ((observed, predicted),) = outcomes.aggregate("avg(outcome::INT), avg(prediction)").fetchall()
        return {"base_rate": observed}, {"base_rate": predicted}
