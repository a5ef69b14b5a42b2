"""The lineage of a trained model: its commit, data, lock and metrics. The service returns it with each prediction.

`python -m lifecycle.pipeline.lineage` writes artifacts/lineage.json, next to the model folder.
"""

import json
from pathlib import Path
from typing import Any

from lifecycle.shared import console
from lifecycle.shared.console import UserError
from lifecycle.shared.files import sha256, write_json
from lifecycle.shared.predictor import model_hash

LINEAGE = Path("artifacts/lineage.json")


def write_lineage(path: Path = LINEAGE) -> dict[str, Any]:
    """Write the lineage of the model that `make` has trained.

    Returns:
        The content of the file.

    Raises:
        UserError: If there is no trained model.
    """
    # Imported here so that the service can read a lineage without the imports of the pipeline.
    from lifecycle.pipeline import stage, track
    from lifecycle.shared.yaml_text import parse_yaml

    if not (stage.MODEL / "metadata.json").exists() or not track.LOCK.exists():
        raise UserError("there is no trained model yet. `make` trains one.")
    lock = sha256(track.LOCK)
    commit, as_committed = track.checked_out()
    lineage = {
        # Name until the model is registered: the commit, or the lock if uncommitted changes rule out a release.
        "version": commit[:12] if as_committed else f"uncommitted-{lock[:12]}",
        "commit": commit,
        "uncommitted_changes": not as_committed,
        "dvc_lock": lock,
        "data": parse_yaml(Path("data.dvc").read_text(encoding="utf-8"))["outs"][0]["md5"],
        "model": model_hash(stage.MODEL),
        "metrics": json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8")),
    }
    write_json(path, lineage)
    return lineage


def read_lineage(path: Path, model_folder: Path) -> dict[str, Any]:
    """Read the lineage that belongs to a model folder.

    Raises:
        UserError: If the file is missing, is damaged or belongs to another model.
    """
    remedy = "`make serve` and `make bento` write it."
    try:
        lineage: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        model = lineage["model"]
    except FileNotFoundError as error:
        raise UserError(f"the lineage {path} is missing. {remedy}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"the lineage {path} is damaged. {remedy}") from error
    if model != model_hash(model_folder):
        raise UserError(f"the lineage {path} does not belong to the model in {model_folder}. {remedy}")
    return lineage


if __name__ == "__main__":
    console.run_main(lambda: print(f"lineage: {write_lineage()['version']}"))
