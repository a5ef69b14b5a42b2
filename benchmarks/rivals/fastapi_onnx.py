"""FastAPI with the same ONNX model: no prediction log, no metrics, no limits."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI

from benchmarks.rivals.row import Row
from model import contract
from model.features import features

app = FastAPI()
_FOLDER = Path(os.environ["MODEL_FOLDER"])
codes = json.loads((_FOLDER / "metadata.json").read_text(encoding="utf-8"))["codes"]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(_FOLDER / "model.onnx", options)
(_INPUT,) = (node.name for node in session.get_inputs())
_DTYPES: dict[str, Any] = {"category": object, "timestamp": "datetime64[s]", "integer": float, "number": float}


@app.get("/readyz")
async def ready() -> None:
    """Answer that the service is ready."""


@app.post("/predict")
async def predict(row: Row) -> dict[str, float]:
    """Predict a row."""
    columns = {c.name: np.array([getattr(row, c.name)], dtype=_DTYPES[c.type]) for c in contract.INPUTS}
    (probabilities,) = session.run(["probabilities"], {_INPUT: features(columns, codes)})
    return {"probability": float(probabilities[0, 1])}
