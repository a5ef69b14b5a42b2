"""A bare ASGI application with the same ONNX model and no validation: an upper bound for the throughput."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime

from model import contract
from model.features import features

_FOLDER = Path(os.environ["MODEL_FOLDER"])
codes = json.loads((_FOLDER / "metadata.json").read_text(encoding="utf-8"))["codes"]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(_FOLDER / "model.onnx", options)
(_INPUT,) = (node.name for node in session.get_inputs())
_DTYPES: dict[str, Any] = {"category": object, "timestamp": "datetime64[s]", "integer": float, "number": float}
_COLUMNS = [(c.name, np.dtype(_DTYPES[c.type])) for c in contract.INPUTS]
_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request as a request for a prediction."""
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    if body:
        row = msgspec.json.decode(body)
        columns = {name: np.array([row[name]], dtype=dtype) for name, dtype in _COLUMNS}
        (probabilities,) = session.run(["probabilities"], {_INPUT: features(columns, codes)})
        body = b'{"probability":%f}' % probabilities[0, 1]
    await send(_START)
    await send({"type": "http.response.body", "body": body})
