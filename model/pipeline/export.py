"""The trained pipeline as a file: ONNX, or skops where it cannot be exported."""

from pathlib import Path
from typing import Any

from model.console import UserError
from model.features import NAMES


def write_onnx(pipeline: Any, path: Path) -> None:
    """Export a fitted pipeline to ONNX: `features` of shape (rows, features) in, `probabilities` (rows, 2) out.

    Raises:
        UserError: Where there is no export for one of its steps.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    classifier = pipeline[-1]
    if type(classifier).__name__ == "LGBMClassifier":
        _register_lightgbm(type(classifier))
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


def _register_lightgbm(classifier: type) -> None:
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    update_registered_converter(
        classifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
