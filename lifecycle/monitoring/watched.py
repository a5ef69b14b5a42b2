"""The model that is checked, and its prediction log.

The model is the champion of the registry, or that of the working tree if there is no registry yet. The log is the one
that the environment names, that of production, or that of `make serve`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifecycle.pipeline import stage
from lifecycle.pipeline.lineage import LINEAGE, read_lineage
from lifecycle.pipeline.reference import REFERENCE, Reference, make_reference
from lifecycle.prediction_log.log_settings import LogSettings, read_environment
from lifecycle.registry.store import open_registry
from lifecycle.registry.versions import Registry, Version
from lifecycle.release import host
from lifecycle.release.production import Production
from lifecycle.shared.console import UserError
from lifecycle.shared.distributions import VARIABLES
from lifecycle.shared.params import Params

_LINEAGE = ("commit", "pull_request", "author", "window", "data", "dvc_lock")


def watched(number: int | None, params: Params) -> tuple[str, Reference]:
    """Return the name of the model in the log, and its reference.

    Args:
        number: Version in the registry; None for the champion.
        params: Parameters of the working tree.

    Raises:
        UserError: If there is no such version, or its contract differs from that of the working tree.
    """
    with open_registry() as registry:
        version = (registry.champion() if number is None else registry.version(number)) if registry else None
        if registry and version:
            return str(version.number), _reference(registry, version)
    if number is not None:
        raise UserError("there is no registry yet, so there are no versions. The first release creates it.")
    return read_lineage(LINEAGE, stage.MODEL)["version"], make_reference(params)


def model_of(name: str, folder: Path, params: Params) -> tuple[Path, Reference, dict[str, str]]:
    """Return the model directory, the reference and the lineage of a version.

    Args:
        name: Name of the version in the log.
        folder: Directory to download the model to.
        params: Parameters of the working tree.

    Raises:
        UserError: If it is neither a version in the registry nor the model of the working tree.
    """
    with open_registry() as registry:
        if registry and name.isdecimal():
            version = registry.version(int(name))
            lineage = {tag: version.tags.get(tag, "") for tag in _LINEAGE}
            return registry.model(version, folder), _reference(registry, version), lineage
    lineage = read_lineage(LINEAGE, stage.MODEL)
    if lineage["version"] != name:
        raise UserError(f"{name} is neither a version in the registry nor the model of this working tree.")
    return stage.MODEL, make_reference(params), {tag: str(lineage[tag]) for tag in _LINEAGE if tag in lineage}


def _reference(registry: Registry, version: Version) -> Reference:
    """Return the reference that was registered with a version.

    Raises:
        UserError: If it is missing, or does not fit the contract of the working tree.
    """
    reference = Reference.model_validate_json(registry.document(version, REFERENCE))
    differing = sorted(reference.bins.keys() ^ {variable.name for variable in VARIABLES})
    if differing:
        raise UserError(
            f"version {version.number} was trained under another contract than that of this working tree. It differs "
            f"in {', '.join(differing)}. Check it from its own commit: git switch --detach {version.commit[:12]}"
        )
    return reference


def is_deployed() -> bool:
    """Return whether the environment names a prediction log other than that of `make serve`."""
    return bool(read_environment(LogSettings).prediction_log_url or host.configured())


@contextmanager
def log_url() -> Iterator[str]:
    """Return the URL of the prediction log: PREDICTION_LOG_URL, else through SSH to DEPLOY_HOST, else of `make serve`.

    Raises:
        UserError: If the host cannot be reached.
    """
    settings, address = read_environment(LogSettings), host.configured()
    if settings.prediction_log_url or not address:
        yield settings.log_url()
    else:
        with host.connected(address, alone=False) as there:
            yield Production(there).log_url()
