"""The interface of a task: everything that depends on the kind of target."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared.columns import ColumnType, Target
from lifecycle.shared.metrics import Floats, Metric, OwnMetric, Scores, ScoresWithOwn

# Observed targets, of shape (rows,): booleans, numbers, or positions among the classes.
Targets = NDArray[Any]
# Predictions, of shape (rows,), or (rows, classes) with the probability of each class.
Predictions = NDArray[np.floating[Any]]
# Key in the metadata of an ONNX file: the classes that it predicts, as JSON list of their positions.
CLASSES = "classes"
# Edges of bins of probabilities.
TENTHS = tuple(round(tenth / 10, 1) for tenth in range(1, 11))
TWENTIETHS = tuple(twentieth / 20 for twentieth in range(21))


class Curve(NamedTuple):
    """Points of a curve, or cells of a table, that `evaluate` writes as a CSV file.

    Attributes:
        header: Names of the columns.
        rows: Values of each row.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Task(ABC):
    """A kind of target.

    Attributes:
        target: Target of the contract.
        own: Metrics of the team.
        metrics: Metrics by name, in the order of the arrays of `Scores.metrics`.
        loss: Name of the metric by which the importance of columns is weighted in monitoring.
        ranks: Name of the metric by which columns and slices are sorted in reports.
        gated: Names of the metrics that a new project judges models by, the primary one first.
        has_probabilities: Whether predictions are probabilities, so that metrics can be expected; see `expected`.
        has_threshold: Whether a threshold turns predictions into labels.
        output: Name of the column of predictions in the prediction log.
        output_type: Type of that column.
        observed_in_words: The quantity that the service counts for Prometheus, in words; see `observed`.
        curve_names: Names of the curves that `curves` returns.
        charts: Title and axes of the curves that a report compares, by name of the curve.
        chart_range: Range of the vertical axis of these charts; None for that of the values.
    """

    loss: ClassVar[str]
    ranks: ClassVar[str]
    gated: ClassVar[tuple[str, ...]]
    output: ClassVar[str]
    has_probabilities: ClassVar[bool] = True
    has_threshold: ClassVar[bool] = False
    output_type: ClassVar[ColumnType]
    observed_in_words: ClassVar[str]
    curve_names: ClassVar[tuple[str, ...]]
    charts: ClassVar[Mapping[str, tuple[str, str, str]]]
    chart_range: ClassVar[tuple[float, float] | None]

    def __init__(self, target: Target, metrics: Sequence[Metric], own: Sequence[OwnMetric]) -> None:
        """Use the subclasses, one for each kind of target."""
        self.target, self.own = target, own
        self.metrics: Mapping[str, Metric] = {
            metric.name: metric for metric in (*metrics, *(metric.described() for metric in own))
        }

    # The target

    @abstractmethod
    def encode(self, values: NDArray[np.generic]) -> Targets:
        """Convert the values of the target's column to targets."""

    @abstractmethod
    def classes(self, targets: Targets) -> NDArray[np.intp]:
        """Return the number of each target's class; the same for all if the target has no classes."""

    @abstractmethod
    def summary(self, targets: Targets) -> dict[str, float]:
        """Summarize targets in a few numbers, such as their mean."""

    @abstractmethod
    def summary_in_words(self, summary: Mapping[str, float]) -> str:
        """Return a summary in words, such as "34.1% late"."""

    @abstractmethod
    def support(self, targets: Targets) -> int:
        """Return the number of rows that set models apart: of the rarer class, or of all rows for a number."""

    @abstractmethod
    def baseline(self, targets: Targets) -> Any:
        """Return the prediction of a model without inputs, as JSON value, from the targets of the training data."""

    @abstractmethod
    def constant(self, baseline: Any, rows: int) -> Predictions:
        """Return the predictions of the baseline."""

    # The model

    @abstractmethod
    def predict(self, pipeline: Any, matrix: NDArray[np.float32]) -> Predictions:
        """Predict with a fitted scikit-learn pipeline."""

    @abstractmethod
    def load_onnx(self, session: Any) -> Callable[[NDArray[np.float32]], Predictions]:
        """Return a function that predicts with an ONNX session."""

    @abstractmethod
    def differences(
        self, predictions: Predictions, expected: Predictions, summary: Mapping[str, float]
    ) -> NDArray[np.float64]:
        """Return by how much predictions differ from the expected ones, of shape (rows,).

        A difference is absolute for a probability, and relative to the spread of the targets for a number.

        Args:
            predictions: Predictions to compare.
            expected: Expected predictions, of the same shape.
            summary: Summary of the training targets.
        """

    @abstractmethod
    def answer_in_words(self, threshold: float | None) -> str:
        """Return a sentence on the answers of the model."""

    # Files and answers

    def output_columns(self) -> list[str]:
        """Return the names of the columns with predictions in a scored file; by default a single one."""
        return [self.output]

    @abstractmethod
    def write_output(self, predictions: Predictions, *, threshold: float | None) -> dict[str, NDArray[np.generic]]:
        """Return the columns that a scored file has in addition to the inputs."""

    def read_output(self, columns: Mapping[str, NDArray[np.generic]]) -> Predictions:
        """Return the predictions from the columns of a scored file that `output_columns` names."""
        return columns[self.output].astype(np.float32)

    @abstractmethod
    def answers(self, predictions: Sequence[Any], *, threshold: float | None) -> list[dict[str, Any]]:
        """Return the answer of the service to each row, without its id, from `Predictions.tolist()`."""

    @abstractmethod
    def read_answers(self, answers: Sequence[Mapping[str, Any]]) -> Predictions:
        """Return the predictions from answers of the service."""

    @abstractmethod
    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """Return the JSON Schema of each field of an answer, without its id."""

    @abstractmethod
    def outcome_example(self) -> Any:
        """Return a valid outcome."""

    @abstractmethod
    def outcome_in_words(self, outcome: Any) -> str:
        """Return an outcome in words."""

    # Monitoring

    def to_log(self, prediction: Any) -> Any:
        """Return the value of a row's prediction in the column `output` of the prediction log."""
        return prediction

    def logged_sql(self) -> str:
        """Return the SQL expression of the predictions in terms of that column, for DuckDB."""
        return f'"{self.output}"::DOUBLE'

    def observed(self, predictions: Predictions) -> NDArray[np.floating[Any]]:
        """Return the quantity of predictions that the service counts for Prometheus, of shape (rows,)."""
        return predictions

    @abstractmethod
    def observed_edges(self, summary: Mapping[str, float]) -> tuple[float, ...]:
        """Return the upper edges of that quantity's bins, from the summary of the training targets."""

    @abstractmethod
    def variables(self) -> dict[str, tuple[Literal["number", "category"], str]]:
        """Return the quantities that monitoring counts: by name, their kind and the SQL in terms of `prediction`."""

    @abstractmethod
    def binned_by(self) -> str:
        """Return the SQL of the target whose quantiles `bins` takes; empty if it takes none."""

    @abstractmethod
    def bins(self, quantiles: Sequence[float]) -> dict[str, tuple[tuple[float, ...], tuple[str, ...]]]:
        """Return edges and labels of the bins of each of `variables`."""

    @abstractmethod
    def explained(self, predictions: Predictions, of: Predictions) -> NDArray[np.floating[Any]]:
        """Return the quantity that an explanation adds up to, of shape (rows,).

        Args:
            predictions: Predictions of any rows.
            of: Prediction of the row that is explained, of the shape of a single row.
        """

    @abstractmethod
    def explained_in_words(self, of: Predictions) -> str:
        """Return what `explained` returns, in words."""

    @abstractmethod
    def live(self, outcomes: Any, cluster: str) -> tuple[list[str], Floats, Floats]:
        """Compute the live metrics from a prediction log.

        Args:
            outcomes: DuckDB relation with `prediction`, `outcome` and a cluster column.
            cluster: Name of the cluster column.

        Returns:
            Names of the metrics, their values, of shape (metrics,), and those without each cluster, of shape (clusters,
            metrics).
        """

    @abstractmethod
    def expected(self, rows: Any, cluster: str) -> tuple[list[str], Floats, Floats]:
        """Compute what the live metrics are expected to be if the predicted probabilities are right.

        Args:
            rows: DuckDB relation with `prediction` and a cluster column.
            cluster: Name of the cluster column.

        Returns:
            Names, values and values without each cluster, as of `live`; none if predictions are no probabilities.
        """

    @abstractmethod
    def answer_sql(self) -> dict[str, tuple[str, str]]:
        """Return each number that the model answers and the outcome that it predicts.

        Returns:
            By name, SQL expressions of the outcome as a number, in terms of `outcome`, and of its prediction, in terms
            of `prediction`. The mean of such outcomes is what a calibrated model predicts.
        """

    @abstractmethod
    def guess(self) -> tuple[str, float]:
        """Return a live metric, and its value for a model that guesses."""

    @abstractmethod
    def live_summaries(self, outcomes: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Return the summaries of the outcomes and of their predictions; see `summary`."""

    # Evaluation

    def scores(self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float | None) -> Scores:
        """Return the scores that metrics are computed from."""
        of_the_kind = self.scores_of_kind(targets, predictions, bins=bins, threshold=threshold)
        return ScoresWithOwn(of_the_kind, self.own, targets, predictions) if self.own else of_the_kind

    @abstractmethod
    def scores_of_kind(
        self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float | None
    ) -> Scores:
        """Return the scores without the metrics of the team."""

    @abstractmethod
    def curves(
        self, targets: Targets, predictions: Predictions, *, bins: int, threshold: float | None
    ) -> dict[str, Curve]:
        """Return the curves that `evaluate` writes to reports/plots, by file name."""

    @abstractmethod
    def indicators(self, targets: Targets) -> NDArray[np.float64]:
        """Return targets as numbers whose means are predictions, of the shape of predictions."""
