"""The task of a target that is a number: the model predicts its value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared import curves
from lifecycle.shared.columns import ColumnType, Target
from lifecycle.shared.metrics import Floats, OwnMetric, Scores
from lifecycle.shared.rounding import short
from lifecycle.shared.tasks.regression_scores import REGRESSION_METRICS, RegressionScores, metrics_of_sums
from lifecycle.shared.tasks.task import Curve, Predictions, Targets, Task


class Regression(Task):
    """A target that is a number."""

    loss = "rmse"
    ranks = "r2"
    has_probabilities = False
    output = "value"
    gated = ("rmse", "mae", "r2")
    output_type: ClassVar[ColumnType] = "number"
    observed_in_words = "Predicted values."
    curve_names = ("calibration",)
    charts = {"calibration": ("Mean outcome", "predicted", "observed")}  # noqa: RUF012 - annotated in the base class
    chart_range = None

    def __init__(self, target: Target, own: Sequence[OwnMetric] = ()) -> None:
        """Create the task of a target."""
        super().__init__(target, REGRESSION_METRICS, own)

    def guess(self) -> tuple[str, float]:
        """Return the R² of predictions with the opposite sign of a perfect model's."""
        return "r2", -1.0

    def encode(self, values: NDArray[np.generic]) -> Targets:
        """Return the numbers."""
        return values.astype(np.float64)

    def classes(self, targets: Targets) -> NDArray[np.intp]:
        """Return the same class for all."""
        return np.zeros(len(targets), dtype=np.intp)

    def summary(self, targets: Targets) -> dict[str, float]:
        """Return mean and standard deviation."""
        if not len(targets):
            return {"mean": np.nan, "deviation": np.nan}
        return {"mean": float(targets.mean()), "deviation": float(targets.std())}

    def summary_in_words(self, summary: Mapping[str, float]) -> str:
        """Return mean and standard deviation in words, such as "price 12.3 ± 4.5 USD"."""
        unit = f" {self.target.unit}" if self.target.unit else ""
        return f"{self.target.name} {short(summary['mean'])} ± {short(summary['deviation'])}{unit}"

    def support(self, targets: Targets) -> int:
        """Return the number of rows."""
        return len(targets)

    def baseline(self, targets: Targets) -> float:
        """Return the mean."""
        return float(targets.mean())

    def constant(self, baseline: Any, rows: int) -> Predictions:
        """Return the mean for each row."""
        return np.full(rows, float(baseline))

    def predict(self, pipeline: Any, matrix: NDArray[np.float32]) -> Predictions:
        """Return the predicted values."""
        return np.asarray(pipeline.predict(matrix), dtype=np.float32)

    def load_onnx(self, session: Any) -> Callable[[NDArray[np.float32]], Predictions]:
        """Return a function for the predicted values."""
        (input_name,), (output_name,) = (
            [node.name for node in nodes] for nodes in (session.get_inputs(), session.get_outputs())
        )

        def predict(matrix: NDArray[np.float32]) -> Predictions:
            values: Predictions = session.run([output_name], {input_name: matrix})[0]
            return values.reshape(-1)

        return predict

    def differences(
        self, predictions: Predictions, expected: Predictions, summary: Mapping[str, float]
    ) -> NDArray[np.float64]:
        """Return the absolute differences, relative to the spread of the targets.

        The spread is their standard deviation, and for a value far from their mean its distance from it: the rounding
        to single precision grows with the value.
        """
        exact = expected.astype(np.float64)
        far = np.maximum(summary["deviation"], np.abs(exact - summary["mean"]))
        return np.asarray(np.abs(predictions.astype(np.float64) - exact) / far)

    def answer_in_words(self, threshold: float | None) -> str:
        """Return the unit in words."""
        del threshold
        return f"Its values are in {self.target.unit}." if self.target.unit else ""

    def write_output(self, predictions: Predictions, *, threshold: float | None) -> dict[str, NDArray[np.generic]]:
        """Return the value."""
        del threshold
        return {self.output: predictions}

    def answers(self, predictions: Sequence[Any], *, threshold: float | None) -> list[dict[str, Any]]:
        """Return the value of each row."""
        del threshold
        return [{"value": value} for value in predictions]

    def read_answers(self, answers: Sequence[Mapping[str, Any]]) -> Predictions:
        """Return the values."""
        return np.array([answer["value"] for answer in answers])

    def scores_of_kind(
        self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float | None
    ) -> Scores:
        """Return the scores of values."""
        del bins, threshold
        return RegressionScores(targets, predictions)

    def curves(
        self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float | None
    ) -> dict[str, Curve]:
        """Return the mean outcome by predicted value."""
        del threshold
        by_value = curves.calibration(targets, predictions, bins)
        return {"calibration": Curve(("predicted", "observed", "rows"), [*zip(*by_value, strict=True)])}

    def indicators(self, targets: Targets) -> NDArray[np.float64]:
        """Return the numbers themselves."""
        return targets.astype(np.float64)

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """Return the schema of the value."""
        unit = {"unit": self.target.unit} if self.target.unit else {}
        return {"value": {"type": "number", **unit}}

    def outcome_example(self) -> Any:
        """Return a valid outcome."""
        return next((limit for limit in (self.target.minimum, self.target.maximum) if limit is not None), 0.0)

    def outcome_in_words(self, outcome: Any) -> str:
        """Return the number with its unit."""
        return f"{outcome:g}{f' {self.target.unit}' if self.target.unit else ''}"

    def observed_edges(self, summary: Mapping[str, float]) -> tuple[float, ...]:
        """Return half standard deviations around the mean of the training data."""
        return tuple(float(f"{summary['mean'] + half / 2 * summary['deviation']:.3g}") for half in range(-5, 6))

    def variables(self) -> dict[str, tuple[Literal["number", "category"], str]]:
        """Return the value."""
        return {self.output: ("number", "prediction")}

    def binned_by(self) -> str:
        """Return the target's column."""
        return f'"{self.target.name}"'

    def bins(self, quantiles: Sequence[float]) -> dict[str, tuple[tuple[float, ...], tuple[str, ...]]]:
        """Return the bins between the target's quantiles."""
        return {self.output: ((*quantiles[:1], *sorted(set(quantiles[1:]))), ())}

    def explained(self, predictions: Predictions, of: Predictions) -> NDArray[np.floating[Any]]:
        """Return the values."""
        del of
        return predictions

    def explained_in_words(self, of: Predictions) -> str:
        """Return the name of the target."""
        del of
        return self.target.name

    def live(self, outcomes: Any, cluster: str) -> tuple[list[str], Floats, Floats]:
        """Compute the live metrics from sums by cluster."""
        # Centred, because the difference of large sums of squares would lose digits.
        ((mean,),) = outcomes.aggregate("avg(outcome)").fetchall()
        error, centred = "(prediction - outcome)", f"(outcome - {mean!r})"
        sums = ["count(*)", f"sum({error})", f"sum(abs({error}))", f"sum({error} ** 2)"]
        sums += [f"sum({centred})", f"sum({centred} ** 2)"]
        grouped = outcomes.aggregate(", ".join(sums), f'"{cluster}"').fetchall()
        by_group = np.array(grouped, dtype=np.float64)
        whole = by_group.sum(axis=0, keepdims=True)
        return ["rmse", "mae", "r2", "bias"], metrics_of_sums(whole)[0], metrics_of_sums(whole - by_group)

    def expected(self, rows: Any, cluster: str) -> tuple[list[str], Floats, Floats]:
        """Return nothing: a predicted number says nothing of its uncertainty."""
        del rows, cluster
        return [], np.zeros(0), np.zeros((0, 0))

    def answer_sql(self) -> dict[str, tuple[str, str]]:
        """Return the numbers themselves."""
        return {self.target.name: ("outcome", "prediction")}

    def live_summaries(self, outcomes: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Return mean and standard deviation of outcomes and predictions."""
        sql = "avg(outcome), stddev_pop(outcome), avg(prediction), stddev_pop(prediction)"
        ((*observed, mean, deviation),) = outcomes.aggregate(sql).fetchall()
        return dict(zip(("mean", "deviation"), observed, strict=True)), {"mean": mean, "deviation": deviation}
