"""The model folder as an MLflow model, which maps the contract's inputs to predictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from lifecycle.shared.inputs import request_columns
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tasks.task import Predictions


class MlflowModel(PythonModel):
    """The model that `mlflow.pyfunc.load_model` returns for a tracked run."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model folder that was logged with the run."""
        self._predictor = Predictor.load(Path(context.artifacts["model"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  MLflow's interface
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Predictions:
        """Predict the target of each row of a frame with the contract's inputs."""
        columns = {c.name: model_input[c.name].to_numpy(c.forms.numpy) for c in request_columns()}
        return self._predictor.predict(columns)


set_model(MlflowModel())
