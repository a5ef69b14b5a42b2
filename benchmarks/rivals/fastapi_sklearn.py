"""The service of a typical blog post: FastAPI, a pickled scikit-learn pipeline, a data frame for each request."""

import os
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI

from benchmarks.rivals.row import Row
from model.features import features

app = FastAPI()
fitted: dict[str, Any] = joblib.load(os.environ["PIPELINE"])


@app.get("/readyz")
def ready() -> None:
    """Answer that the service is ready."""


@app.post("/predict")
def predict(row: Row) -> dict[str, float]:
    """Predict a row."""
    frame = pd.DataFrame([row.model_dump()])
    matrix = features({str(name): frame[name].to_numpy() for name in frame}, fitted["codes"])
    return {"probability": float(fitted["pipeline"].predict_proba(matrix)[0, 1])}
