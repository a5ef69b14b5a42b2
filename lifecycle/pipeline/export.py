"""Write the trained pipeline to a file: as ONNX, or as skops if it has no ONNX export."""

import json
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.shared.console import UserError, first_line
from lifecycle.shared.tasks.task import CLASSES
from model.features import NAMES

# Losses of histogram gradient boosting whose trees predict the logarithm of the target.
_LOG_LINKS = {"poisson", "gamma"}


def write_onnx(pipeline: Any, path: Path) -> None:
    """Export a fitted pipeline to ONNX.

    The input is `features` of shape (rows, features). A classifier has the output `probabilities` of shape (rows,
    classes), a regressor a single output of shape (rows, 1).

    Raises:
        UserError: If one of its steps cannot be exported.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    kind = type(pipeline[-1]).__name__
    if kind in {"LGBMClassifier", "LGBMRegressor"}:
        pipeline = _prepare_lightgbm(pipeline)
    elif kind in {"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"}:
        pipeline = _with_last(pipeline, _with_thresholds_in_single_precision(pipeline[-1]))
    estimator = pipeline[-1]
    try:
        exported = to_onnx(
            pipeline,
            initial_types=[("features", FloatTensorType([None, len(NAMES)]))],
            options={id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None,
            target_opset={"": 18, "ai.onnx.ml": 3},  # the newest that all exporters used here support
        )
    except Exception as error:  # the exporters raise errors of many types
        reason = first_line(error)
        raise UserError(
            f"{type(estimator).__name__} cannot be exported to ONNX: {reason}\n"
            f"Set `model_format: skops` in params.yaml to save it without an export; the comment there names the cost."
        ) from error
    if kind == "HistGradientBoostingRegressor" and estimator.loss in _LOG_LINKS:
        _append_exp(exported)
    if hasattr(estimator, "classes_"):
        # A class without rows in the training data has no output.
        exported.metadata_props.add(key=CLASSES, value=json.dumps(estimator.classes_.tolist()))
    path.write_bytes(exported.SerializeToString(deterministic=True))


def _append_exp(exported: Any) -> None:
    """Append the exponential function, the inverse of the log link, which skl2onnx 1.20 leaves out."""
    from onnx import helper

    (output,) = exported.graph.output
    logarithm = f"log_{output.name}"
    for node in exported.graph.node:
        for place, name in enumerate(node.output):
            if name == output.name:
                node.output[place] = logarithm
    exported.graph.node.append(helper.make_node("Exp", [logarithm], [output.name]))


def write_skops(pipeline: Any, path: Path) -> None:
    """Write a fitted pipeline as skops: no pickle, but loading it needs the scikit-learn version that trained it."""
    import skops.io

    skops.io.dump(pipeline, path)


def _prepare_lightgbm(pipeline: Any) -> Any:
    """Register LightGBM with the exporter, and round its thresholds down; see `_rounded_down`."""
    from lightgbm import Booster, LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    update_registered_converter(
        LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    update_registered_converter(
        LGBMRegressor, "LightGbmLGBMRegressor", calculate_linear_regressor_output_shapes, convert_lightgbm
    )
    lines = []
    for line in pipeline[-1].booster_.model_to_string().splitlines():
        name, _, values = line.partition("=")
        if name == "threshold":
            lines.append(f"threshold={' '.join(repr(_rounded_down(float(value))) for value in values.split())}")
        elif name != "tree_sizes":  # optional; the sizes in characters are no longer right
            lines.append(line)
    estimator = copy(pipeline[-1])
    estimator._Booster = Booster(model_str="\n".join(lines) + "\n")  # noqa: SLF001  no public API sets it
    return _with_last(pipeline, estimator)


def _with_thresholds_in_single_precision(boosting: Any) -> Any:
    """Return a histogram gradient boosting whose thresholds are rounded down; see `_rounded_down`."""
    boosting = deepcopy(boosting)
    for predictors in boosting._predictors:  # noqa: SLF001  no public API has the trees
        for predictor in predictors:
            thresholds = predictor.nodes["num_threshold"]
            thresholds[:] = [_rounded_down(float(threshold)) for threshold in thresholds]
    return boosting


def _with_last(pipeline: Any, estimator: Any) -> Any:
    """Return a pipeline with another last step."""
    steps = copy(pipeline)
    steps.steps = [*pipeline.steps[:-1], (pipeline.steps[-1][0], estimator)]
    return steps


def _rounded_down(threshold: float) -> float:
    """Return the largest number in single precision that is not above a threshold.

    The libraries compare in double precision, ONNX in single precision. If a threshold between two neighbouring numbers
    is rounded up, a row can take a branch that it does not take in the library. If it is rounded down, both agree on
    any feature in single precision.
    """
    single = np.float32(threshold)
    # Compared as Python floats: NumPy would compare in single precision, where the two are equal.
    return float(single if float(single) <= threshold else np.nextafter(single, np.float32(-np.inf)))
