"""Why this prediction? What it was asked, by which model, and what each feature has contributed.

The contributions are Shapley values (Lundberg and Lee 2017), by permutations of the features, against other predictions
of the same version: they add up to what its probability differs by from the mean of those.
"""

import math
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from duckdb import ColumnExpression, ConstantExpression, DuckDBPyRelation, FunctionExpression
from numpy.typing import NDArray

from lifecycle.monitoring.log import open_log
from lifecycle.monitoring.watched import model_of
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.columns import Columns
from lifecycle.shared.console import UserError
from lifecycle.shared.distributions import PROBABILITY, VARIABLES, count_distributions
from lifecycle.shared.histograms import LEAST_SHARE, shares
from lifecycle.shared.months import ARROW_SCHEMA, to_columns
from lifecycle.shared.params import Params
from lifecycle.shared.predictor import Predictor
from model import contract, features

_ID = re.compile(r"[0-9a-f]{32}")
_BEFORE = timedelta(days=7)
_OTHERS = 100  # predictions
_INPUTS = pa.schema([ARROW_SCHEMA.field(column.name).with_nullable(nullable=True) for column in contract.INPUTS])


@dataclass(frozen=True)
class Explanation:
    """Why a prediction is as it is.

    Attributes:
        time: Of the prediction.
        version: That has made it.
        lineage: Of the version, by name.
        probability: That it was.
        outcome: What turned out to be true; None as long as nobody knows.
        inputs: What it was asked.
        values: Of each feature.
        contributions: Of each feature, to the difference of the probability and the mean of others.
        mean: Of the others.
        others: How many they are.
        nearest: The month that the model knows in which such inputs were most likely.
    """

    time: datetime
    version: str
    lineage: dict[str, str]
    probability: float
    outcome: bool | None
    inputs: dict[str, object]
    values: dict[str, object]
    contributions: dict[str, float]
    mean: float
    others: int
    nearest: str


def explain(url: str, prediction: str, params: Params) -> Explanation:
    """Explain a prediction of the log.

    Args:
        url: Of the log.
        prediction: Its id.
        params: Of the working tree.

    Raises:
        UserError: Where the log does not have it, or the model that has made it cannot be had.
    """
    if not _ID.fullmatch(prediction):
        raise UserError(f"{prediction!r} is no id of a prediction; the service tells it with each answer.")
    # By the first digits of its id: the milliseconds in which it was made.
    made = datetime.fromtimestamp(int(prediction[:12], 16) / 1000, UTC)
    with open_log(url, made - _BEFORE, made + timedelta(seconds=1)) as log:
        key = FunctionExpression("hash", ConstantExpression(prediction))
        rows = log.predictions.filter(ColumnExpression("key") == key)
        found = rows.project("time, model_version, probability").fetchall()
        if not found:
            raise UserError(f"the prediction log has no prediction {prediction}.")
        time, version, probability = found[0]
        outcomes = log.outcomes.filter(ColumnExpression("key") == key).project("outcome").fetchall()
        others = log.of(version).sample(_OTHERS)
        with tempfile.TemporaryDirectory() as folder:
            model, reference, lineage = model_of(version, Path(folder), params)
            predictor = Predictor.load(model)
            one, background = (predictor.features(_columns(part.to_arrow_table())) for part in (rows, others))
            contributions, mean = _contributions(predictor, one, background)
        inputs = rows.to_arrow_table().select(_INPUTS.names).to_pylist()[0]
        # A category as it was asked, and not by its code.
        values = {name: inputs.get(name, value) for name, value in zip(features.NAMES, one[0].tolist(), strict=True)}
        return Explanation(
            time=datetime.fromtimestamp(time, UTC),
            version=version,
            lineage=lineage,
            probability=probability,
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
    predictor: Predictor, one: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[dict[str, float], float]:
    """What each feature of a row has contributed, and the mean probability of the others."""
    import shap

    def probability(matrix: NDArray[np.generic]) -> NDArray[np.float32]:
        return predictor.score(matrix.astype(np.float32))

    explained = shap.explainers.Permutation(probability, others, seed=0)(one, silent=True)
    return dict(zip(features.NAMES, explained.values[0].tolist(), strict=True)), float(explained.base_values[0])


def _nearest(row: DuckDBPyRelation, reference: Reference) -> str:
    """The month of the reference in which a row was most likely, taking its variables as independent of one another."""
    bins = {name: int(np.argmax(found)) for name, found in count_distributions(row, reference.bins).counts.items()}
    names = [one.name for one in VARIABLES if one.column != PROBABILITY]

    def likelihood(month: str) -> float:
        known = reference.months[month]
        found = [shares(known.counts[name])[bins[name]] for name in names]
        return sum(math.log(max(share, LEAST_SHARE)) for share in found)

    return max(reference.months, key=likelihood)


def explanation_in_words(found: Explanation) -> str:
    """An explanation, for people; what matters most comes first."""
    known = {True: contract.TARGET, False: f"not {contract.TARGET}", None: "not known yet"}[found.outcome]
    lineage = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.lineage.items() if value)
    lines = [
        f"{found.probability:.4f} at {found.time:%Y-%m-%d %H:%M:%S} UTC; outcome: {known}",
        f"version {found.version}: {lineage}",
        f"most like {found.nearest} of the months that the model knows",
        "",
        f"against {found.others} other predictions of the version, {found.mean:.4f} on average:",
    ]
    largest_first = sorted(found.contributions, key=lambda name: -abs(found.contributions[name]))
    lines += [f"  {found.contributions[name]:+.4f}  {name} = {found.values[name]}" for name in largest_first]
    others = [f"  {name} = {value}" for name, value in found.inputs.items() if name not in found.values]
    lines += ["", "asked besides:", *others] if others else []
    return "\n".join(lines)
