"""The source files that dvc.yaml and bentofile.yaml declare."""

import re
from pathlib import Path

import yaml

# Processes that run in the service's container.
IN_THE_IMAGE = (
    "lifecycle.serving.service",
    "lifecycle.prediction_log.drain",
    "lifecycle.prediction_log.newest",
)


def stage_sources(path: Path) -> dict[str, list[str]]:
    """Return the Python files that each stage of a dvc.yaml depends on, by the module that the stage runs."""
    declared = {}
    for stage in yaml.safe_load(path.read_text(encoding="utf-8"))["stages"].values():
        command = re.fullmatch(r"python -m (lifecycle\.\S+)", stage["cmd"])
        if command:  # a stage that a team adds may run any command
            declared[command[1]] = sorted(name for name in stage["deps"] if name.endswith(".py"))
    return declared


def image_sources(path: Path) -> list[str]:
    """Return the Python files that a bentofile.yaml includes."""
    included = yaml.safe_load(path.read_text(encoding="utf-8"))["include"]
    return sorted(name for name in included if name.endswith(".py"))
