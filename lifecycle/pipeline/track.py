"""Tracking: log the finished pipeline as an MLflow run, exactly one for each dvc.lock.

Tracking is not a stage: stages only read and write files, so that DVC can cache them. `python -m
lifecycle.pipeline.track` logs their results to .mlflow/ or to the server that MLFLOW_TRACKING_URI names; with the
argument `ui` it serves the MLflow pages.
"""

import json
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from lifecycle.pipeline import stage
from lifecycle.shared import console
from lifecycle.shared.addresses import mlflow_sqlite_url
from lifecycle.shared.commands import git, git_or_none
from lifecycle.shared.console import UserError, first_line
from lifecycle.shared.files import sha256, write_json
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.yaml_text import parse_yaml
from model import contract

LOCK = Path("dvc.lock")
# Files in git that the pipeline and the comparison write.
RECORDED = ("dvc.lock", "lifecycle/proposal/dvc.lock", "reports")
STORE = Path(".mlflow")
# MLflow's rules for the names of metrics.
_NOT_IN_NAMES = re.compile(r"[^\w\-. ]")
_LONGEST_NAME = 250
_LOCK_TAG = "dvc.lock"
# Record of the last tracked run, so that `make` need not import MLflow if there is nothing to do.
_LAST = STORE / "last.json"
# Libraries that a model needs in addition to NumPy and pandas, by its format.
_SERVED_WITH = {"onnx": ["onnxruntime"], "skops": ["scikit-learn", "skops", "lightgbm"]}


def tracking_uri() -> str:
    """Return the address where runs are tracked: MLFLOW_TRACKING_URI, or else a SQLite file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or mlflow_sqlite_url(STORE / "mlflow.db")


def track() -> str:
    """Track the finished pipeline, unless it is tracked already.

    Returns:
        Id of the run.

    Raises:
        UserError: If the pipeline is not finished or the tracking server cannot be reached.
    """
    if not LOCK.exists():
        raise UserError(f"there is no {LOCK}, so there is nothing to track. Run the pipeline with `make`.")
    uri, lock = tracking_uri(), sha256(LOCK)
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    last = _last_run() if not local or (STORE / "mlflow.db").exists() else {}
    if (last.get("uri"), last.get("lock")) == (uri, lock):
        return last["run"]

    STORE.mkdir(exist_ok=True)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        run = find_or_log(uri)
    except (MlflowException, SQLAlchemyError) as error:
        reason = first_line(error)
        remedy = (
            f"Is another program writing to it? If it is damaged, move {STORE}/ away; the runs in it are lost."
            if local
            else "Unset MLFLOW_TRACKING_URI to track locally."
        )
        raise UserError(
            f"the run could not be tracked at {uri}: {reason}\n"
            f"The model itself is finished. Run `make` to retry. {remedy}"
        ) from error
    write_json(_LAST, {"uri": uri, "lock": lock, "run": run})
    return run


def _last_run() -> dict[str, str]:
    """Return the record of the last tracked run; empty if there is none, or it is damaged."""
    try:
        last = json.loads(_LAST.read_text(encoding="utf-8"))
        return {name: str(last[name]) for name in ("uri", "lock", "run")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def find_or_log(uri: str) -> str:
    """Find the run of the finished pipeline at an MLflow address, or log it there.

    Returns:
        Id of the run.
    """
    import mlflow

    previous_uri = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        return _find_or_log(sha256(LOCK), uri)
    finally:
        # `set_tracking_uri` also sets the environment variable, and other code would take the SQLite file for a server.
        mlflow.set_tracking_uri(previous_uri)  # type: ignore[arg-type]  # None unsets it


def _find_or_log(lock: str, uri: str) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(contract.NAME)
    if experiment is None:
        # A server has its own artifact location. The artifacts of a SQLite file go next to it.
        file = uri.removeprefix("sqlite:///") if uri.startswith("sqlite:") else None
        location = (Path(file).parent / "artifacts").resolve().as_uri() if file else None
        experiment = client.get_experiment(client.create_experiment(contract.NAME, location))
    elif experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    for logged in client.search_runs([experiment.experiment_id], f"tags.`{_LOCK_TAG}` = '{lock}'"):
        if logged.info.status == "FINISHED":
            return str(logged.info.run_id)
        client.delete_run(logged.info.run_id)  # its logging was interrupted; logged again below

    from lifecycle.pipeline.plots import plots_page

    metadata = json.loads((stage.MODEL / "metadata.json").read_text(encoding="utf-8"))
    commit, clean = checked_out()
    with mlflow.start_run(experiment_id=experiment.experiment_id, run_name=metadata["estimator"]) as run:
        mlflow.set_tags(
            {
                _LOCK_TAG: lock,
                "mlflow.source.git.commit": commit,
                "git.clean": str(clean).lower(),
                "contract.version": metadata["contract_version"],
            }
        )
        mlflow.log_params(_params())
        mlflow.log_metrics(_metrics())
        _log_datasets(commit)
        mlflow.log_artifact("params.yaml")
        mlflow.log_artifact(str(LOCK))
        mlflow.log_artifacts(str(stage.REPORTS), "reports")
        mlflow.log_text(plots_page("this run"), "plots.html")
        _log_model(metadata["format"])
    return str(run.info.run_id)


def checked_out() -> tuple[str, bool]:
    """Return the checked-out commit, and whether the files match it, apart from those that the pipeline writes.

    The commit is "none" before the first one.
    """
    head = git_or_none("rev-parse", "--verify", "--quiet", "HEAD")
    others = (f":!{path}" for path in RECORDED)
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *others)
    return head.strip() if head else "none", not changed.strip()


def _params() -> dict[str, Any]:
    """Return the parameters that dvc.lock records for the stages, flattened."""
    lock = parse_yaml(LOCK.read_text(encoding="utf-8"))
    flat: dict[str, Any] = {}
    for entry in lock["stages"].values():
        for name, value in entry.get("params", {}).get("params.yaml", {}).items():
            # `hyperparameters.lightgbm.learning_rate` -> `learning_rate`: the estimator is a separate parameter.
            prefix = "" if name.startswith("hyperparameters.") else f"{name}."
            flat |= {f"{prefix}{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _metrics() -> dict[str, float]:
    reported = json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))
    flat = {"rows": reported["rows"]}
    flat |= {f"target_{name}": number for name, number in reported["target"].items()}
    for name, interval in reported["model"].items():
        flat |= {name if end == "value" else f"{name}_{end}": number for end, number in interval.items()}
    flat |= {f"baseline_{name}": number for name, number in reported["baseline"].items()}
    # Some names contain that of a class, which is any text, but MLflow accepts only some characters.
    names = {name: _NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME] for name in flat}
    return {names[name]: number for name, number in flat.items() if number is not None}


def _log_datasets(commit: str) -> None:
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    lock = parse_yaml(LOCK.read_text(encoding="utf-8"))
    digest = next(dep["md5"] for dep in lock["stages"]["prepare"]["deps"] if dep["path"] == "data")
    spans = lock["stages"]["prepare"]["params"]["params.yaml"]
    for span, context in (("window", "training"), ("holdout", "evaluation")):
        # Commit and data.dvc identify the data even after the remote has moved.
        source = CodeDatasetSource({"mlflow.source.git.commit": commit, "dvc.file": "data.dvc"})
        dataset = MetaDataset(source, name=f"{contract.NAME} {span}", digest=digest)  # type: ignore[abstract]  # MLflow's own class, made for direct use
        mlflow.log_input(dataset, context, tags={key: str(part) for key, part in spans[span].items()})


def _log_model(model_format: str) -> None:
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    # Pandas represents integers as floats if some values are missing.
    inputs = request_columns()
    floats = {c.name for c in inputs if c.type == "number" or (c.type in {"integer", "boolean"} and c.nullable)}
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double if c.name in floats else DataType[c.forms.mlflow], c.name, required=not c.nullable)
        for c in inputs
    ]
    example = pd.DataFrame({c.name: [c.example] for c in inputs})
    for c in inputs:
        if c.type == "timestamp":
            example[c.name] = pd.to_datetime(example[c.name])
        elif c.name in floats:
            example[c.name] = example[c.name].astype("float64")
    libraries = ["numpy", "pandas", *_SERVED_WITH[model_format]]
    mlflow.pyfunc.log_model(
        name="model",
        python_model="lifecycle/pipeline/mlflow_model.py",
        artifacts={"model": str(stage.MODEL)},
        code_paths=["model", "lifecycle"],
        signature=ModelSignature(Schema(columns), Schema([ColSpec(DataType.float)])),
        input_example=example,
        pip_requirements=[f"{name}=={version(name)}" for name in libraries],
    )


def open_ui() -> None:
    """Serve the MLflow pages on localhost, until interrupted."""
    uri = tracking_uri()
    if uri.startswith("http"):
        print(f"the runs are tracked on a server: open {uri}")
        return
    show(uri)


def show(uri: str, page: str = "") -> NoReturn:
    """Replace this process by a server of the MLflow pages of a store, on the port that the variable PORT names.

    Args:
        uri: Address of the store.
        page: Path of the page whose link is printed.
    """
    port = os.environ.get("PORT", "5000")
    print(f"http://127.0.0.1:{port}{page} (stop with Ctrl-C)", flush=True)
    # One reader needs one worker, not MLflow's default of four.
    command = ["mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    os.execvp("mlflow", command)  # noqa: S606 - deliberately without a shell


if __name__ == "__main__":
    console.run_main(open_ui if sys.argv[1:] == ["ui"] else lambda: print(f"tracked as run {track()}"))
