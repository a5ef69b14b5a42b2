"""Explain a prediction: its inputs, the model that made it, and the contribution of each feature.

The contributions are Shapley values (Lundberg and Lee 2017), computed by permuting features, with other predictions of
the same version as background. They add up to the difference between the prediction and the mean of the background.
"""

import math
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from duckdb import ColumnExpression, ConstantExpression, DuckDBPyRelation, FunctionExpression
from numpy.typing import NDArray

from lifecycle.monitoring.log import open_log, time_of
from lifecycle.monitoring.watched import model_of
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.columns import Columns
from lifecycle.shared.console import UserError
from lifecycle.shared.distributions import PREDICTION, VARIABLES, count_distributions
from lifecycle.shared.histograms import LEAST_SHARE, shares
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.params import Params
from lifecycle.shared.parts import kind_of
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import ARROW_SCHEMA, to_columns
from lifecycle.shared.tasks.task import Predictions
from model import features

_ID = re.compile(r"[0-9a-f]{32}")
_BEFORE = timedelta(days=7)
_OTHERS = 100  # predictions
_INPUTS = pa.schema([ARROW_SCHEMA.field(column.name).with_nullable(nullable=True) for column in request_columns()])


@dataclass(frozen=True)
class Explanation:
    """Explanation of a prediction.

    Attributes:
        time: Time of the prediction.
        version: Version of the model that made it.
        lineage: Lineage of the version, such as its commit, by name.
        quantity: What is predicted, in words; for several classes, the probability of the predicted one.
        prediction: Predicted probability or value.
        outcome: Reported outcome; None if it is not known yet.
        inputs: Value of each input column.
        values: Value of each feature.
        contributions: Contribution of each feature to the difference between the prediction and the mean.
        mean: Mean of the background predictions.
        others: Number of background predictions.
        nearest: Known period in which such inputs were most likely.
    """

    time: datetime
    version: str
    lineage: dict[str, str]
    quantity: str
    prediction: float
    outcome: bool | float | str | None
    inputs: dict[str, object]
    values: dict[str, object]
    contributions: dict[str, float]
    mean: float
    others: int
    nearest: str


def explain(url: str, prediction: str, params: Params) -> Explanation:
    """Explain a logged prediction.

    Args:
        url: URL of the prediction log.
        prediction: Id of the prediction.
        params: Parameters of the working tree.

    Raises:
        UserError: If the log does not have the prediction, or its model is not available.
    """
    if not _ID.fullmatch(prediction):
        raise UserError(f"{prediction!r} is not a prediction id. Each answer of the service has one per row, as `id`.")
    predicted_at = time_of(url, prediction)
    if predicted_at is None:
        raise UserError(f"the prediction log does not contain the prediction {prediction}.")
    with open_log(url, predicted_at - _BEFORE, predicted_at + timedelta(seconds=1)) as log:
        key = FunctionExpression("hash", ConstantExpression(prediction))
        rows = log.predictions.filter(ColumnExpression("key") == key)
        time, version, prediction_of_row = rows.project("time, model_version, prediction").fetchall()[0]
        of = np.array(prediction_of_row)
        outcomes = log.outcomes.filter(ColumnExpression("key") == key).project("outcome").fetchall()
        others = log.of(version).sample(_OTHERS)
        with tempfile.TemporaryDirectory() as folder:
            model, reference, lineage = model_of(version, Path(folder), params)
            predictor = Predictor.load(model)
            row, background = (predictor.features(_columns(part.to_arrow_table())) for part in (rows, others))
            contributions, mean = _contributions(predictor, row, background, of)
        inputs = rows.to_arrow_table().select(_INPUTS.names).to_pylist()[0]
        # Categories are shown as they were sent, not as codes.
        values = {name: inputs.get(name, value) for name, value in zip(features.NAMES, row[0].tolist(), strict=True)}
        return Explanation(
            time=datetime.fromtimestamp(time, UTC),
            version=version,
            lineage=lineage,
            quantity=TASK.explained_in_words(of),
            prediction=float(TASK.explained(of[None], of)[0]),
            outcome=outcomes[0][0] if outcomes else None,
            inputs=inputs,
            values=values,
            contributions=contributions,
            mean=mean,
            others=len(background),
            nearest=_nearest(rows, reference),
        )


def _columns(table: pa.Table) -> Columns:
    return to_columns(table.select(_INPUTS.names).cast(_INPUTS))


def _contributions(
    predictor: Predictor, row: NDArray[np.float32], background: NDArray[np.float32], of: Predictions
) -> tuple[dict[str, float], float]:
    """Return the contribution of each feature of a row to its prediction, and the mean of the background."""
    import shap

    def predict(matrix: NDArray[np.generic]) -> NDArray[np.floating[Any]]:
        return TASK.explained(predictor.score(matrix.astype(np.float32)), of)

    explained = shap.explainers.Permutation(predict, background, seed=0)(row, silent=True)
    return dict(zip(features.NAMES, explained.values[0].tolist(), strict=True)), float(explained.base_values[0])


def _nearest(row: DuckDBPyRelation, reference: Reference) -> str:
    """Return the period of the reference in which a row was most likely, assuming independent variables."""
    bins = {name: int(np.argmax(counts)) for name, counts in count_distributions(row, reference.bins).counts.items()}
    names = [variable.name for variable in VARIABLES if variable.column != PREDICTION]

    def likelihood(period: str) -> float:
        known = reference.periods[period]
        shares_of_bins = (shares(known.counts[name])[bins[name]] for name in names)
        return sum(math.log(max(share, LEAST_SHARE)) for share in shares_of_bins)

    return max(reference.periods, key=likelihood)


def explanation_in_words(why: Explanation) -> str:
    """Return an explanation as text, with the largest contributions first."""
    outcome = "not known yet" if why.outcome is None else TASK.outcome_in_words(why.outcome)
    lineage = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in why.lineage.items() if value)
    lines = [
        f"{why.quantity}: {why.prediction:.4f}, at {why.time:%Y-%m-%d %H:%M:%S} UTC; outcome: {outcome}",
        f"version {why.version}: {lineage}",
        f"nearest known {kind_of(why.nearest)}: {why.nearest}",
        "",
        f"contributions, against {why.others} other predictions of the version ({why.mean:.4f} on average):",
    ]
    largest_first = sorted(why.contributions, key=lambda name: -abs(why.contributions[name]))
    lines += [f"  {why.contributions[name]:+.4f}  {name} = {why.values[name]}" for name in largest_first]
    others = [f"  {name} = {value}" for name, value in why.inputs.items() if name not in why.values]
    lines += ["", "inputs that are no features:", *others] if others else []
    return "\n".join(lines)
