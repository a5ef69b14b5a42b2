"""The interface between versions: the commands and files of a champion's checkout that a later version uses.

A champion was trained by the code of its own commit, whose machinery may be older. Proposals and scoring on a schedule
use the following in its checkout, and nothing else. A later version has to keep it, or add an entry to the code below.

- ``python -m <predict> IN OUT [--model FOLDER]``: writes the rows of IN in their order to the Parquet file OUT, with
  the columns of the predictions, such as ``probability``.
- ``python -m <latency> IN``: prints the median time for a single row in milliseconds.
- ``python -m dvc repro train``: writes ``artifacts/model`` with ``metadata.json``, whose ``window`` has ``first`` and
  ``last``, and ``contract.json``, a JSON Schema whose ``properties`` are the inputs.
- ``python -m dvc repro <origins>``: trains the models that ``artifacts/origins.json`` lists, each in
  ``artifacts/origins/<back>-<seed>``. For a version without that stage, its params.yaml is edited instead.
- ``params.yaml``: has ``window``, ``holdout``, ``seed`` and ``retraining.window``.
- ``data.dvc`` and ``data``: the parts that it was trained on; see lifecycle/shared/parts.py.
- ``requirements/pipeline.txt``: the packages of its environment.
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
    """Return the interface of the version in a checkout; None if it has none."""
    for interface in (CURRENT, _IN_MODEL):
        if (checkout / f"{interface.predict.replace('.', '/')}.py").exists():
            return interface
    return None
