"""The trained pipeline as a file: ONNX, or skops where it cannot be exported."""

from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.shared.console import UserError
from model.features import NAMES


def write_onnx(pipeline: Any, path: Path) -> None:
    """Export a fitted pipeline to ONNX: `features` of shape (rows, features) in, `probabilities` (rows, 2) out.

    Raises:
        UserError: Where there is no export for one of its steps.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    if type(pipeline[-1]).__name__ == "LGBMClassifier":
        pipeline = _prepare_lightgbm(pipeline)
    classifier = pipeline[-1]
    try:
        exported = to_onnx(
            pipeline,
            initial_types=[("features", FloatTensorType([None, len(NAMES)]))],
            options={id(classifier): {"zipmap": False}},
            target_opset={"": 18, "ai.onnx.ml": 3},  # the newest that every exporter used here knows
        )
    except Exception as error:  # the exporter raises many kinds, few of them its own
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{type(classifier).__name__} cannot be exported to ONNX: {reason}\n"
            f"Set `model_format: skops` in params.yaml to keep it as it is; what that costs is said there."
        ) from error
    path.write_bytes(exported.SerializeToString(deterministic=True))


def write_skops(pipeline: Any, path: Path) -> None:
    """Keep a fitted pipeline as skops: without pickle, but bound to the version of scikit-learn it was trained with."""
    import skops.io

    skops.io.dump(pipeline, path)


def _prepare_lightgbm(pipeline: Any) -> Any:
    """Register LightGBM with the exporter, and make its thresholds fit ONNX.

    LightGBM compares in double precision and ONNX in single. A threshold rounded up to the next single lets a row pass
    that LightGBM would not; rounded down, both agree for every feature in single precision.
    """
    from lightgbm import Booster, LGBMClassifier
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    update_registered_converter(
        LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    lines = []
    for line in pipeline[-1].booster_.model_to_string().splitlines():
        name, _, values = line.partition("=")
        if name == "threshold":
            lines.append(f"threshold={' '.join(_rounded_down(float(value)) for value in values.split())}")
        elif name != "tree_sizes":  # in characters, and no longer true; optional
            lines.append(line)
    classifier = copy(pipeline[-1])
    classifier._Booster = Booster(model_str="\n".join(lines) + "\n")  # noqa: SLF001  there is no public way
    steps = copy(pipeline)
    steps.steps = [*pipeline.steps[:-1], (pipeline.steps[-1][0], classifier)]
    return steps


def _rounded_down(threshold: float) -> str:
    single = np.float32(threshold)
    # As Python floats: NumPy would compare in single precision, where both are the same.
    return repr(float(single if float(single) <= threshold else np.nextafter(single, np.float32(-np.inf))))
