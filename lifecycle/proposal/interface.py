"""What a proposal asks of the checkout of another version: the interface between versions.

A champion was trained by the code of its own commit, whose machinery may be older. It is asked by the following, run or
read in its checkout, and by nothing else. A later version has to keep these, or to add a line to the code below.

- ``python -m <predict> IN OUT [--model FOLDER]``: writes the rows of IN in their order to the Parquet file OUT, with a
  column ``probability``.
- ``python -m <latency> IN``: prints the median time for a single row in milliseconds.
- ``python -m dvc repro train``: makes ``artifacts/model`` with ``metadata.json``, whose ``window`` has ``first`` and
  ``last``, and ``contract.json``, a JSON Schema whose ``properties`` are the inputs.
- ``python -m dvc repro <origins>``: trains the models that ``artifacts/origins.json`` asks for; each is in
  ``artifacts/origins/<back>-<seed>``. A version without that stage is told by its params.yaml instead.
- ``params.yaml``: has ``window``, ``holdout``, ``seed`` and ``retraining.window``.
- ``data.dvc`` and ``data/YYYY-MM.parquet``: the months that it was trained on.
- ``requirements/pipeline.txt``: what its environment is made of.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Interface:
    """Names that differ from version to version.

    Attributes:
        predict: Module that scores a file.
        latency: Module that measures the time for a row.
        origins: DVC file of the stage that trains at earlier origins.
    """

    predict: str
    latency: str
    origins: Path


CURRENT = Interface("lifecycle.pipeline.predict", "lifecycle.pipeline.latency", Path("lifecycle/proposal/dvc.yaml"))
# The machinery was in model/ until it moved to lifecycle/.
_IN_MODEL = Interface("model.predict", "model.proposal.latency", Path("model/proposal/dvc.yaml"))


def interface_of(checkout: Path) -> Interface | None:
    """Find out how the version in a checkout is asked; None if it cannot score anything."""
    for interface in (CURRENT, _IN_MODEL):
        if (checkout / f"{interface.predict.replace('.', '/')}.py").exists():
            return interface
    return None
