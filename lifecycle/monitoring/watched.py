"""What is watched: the champion of the registry, or the model of the working tree where there is no registry yet.

And by which prediction log: that of the environment, that of production, or that of `make serve`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifecycle.pipeline import stage
from lifecycle.pipeline.lineage import LINEAGE, read_lineage
from lifecycle.pipeline.reference import REFERENCE, Reference, make_reference
from lifecycle.registry.store import open_registry
from lifecycle.registry.versions import Registry, Version
from lifecycle.release import host
from lifecycle.release.production import Production
from lifecycle.serving.environment import load_settings
from lifecycle.shared.console import UserError
from lifecycle.shared.distributions import VARIABLES
from lifecycle.shared.params import Params

_LINEAGE = ("commit", "pull_request", "author", "window", "data", "dvc_lock")


def watched(number: int | None, params: Params) -> tuple[str, Reference]:
    """What the service calls the model, and what it is compared with.

    Args:
        number: Of a version of the registry; of the champion where it is None.
        params: Of the working tree.

    Raises:
        UserError: Where there is no such version, or it was registered without a reference.
    """
    with open_registry() as registry:
        version = (registry.champion() if number is None else registry.version(number)) if registry else None
        if registry and version:
            return str(version.number), _reference(registry, version)
    if number is not None:
        raise UserError("there is no registry yet, and so no version.")
    return read_lineage(LINEAGE, stage.MODEL)["version"], make_reference(params)


def model_of(name: str, folder: Path, params: Params) -> tuple[Path, Reference, dict[str, str]]:
    """The model folder, the reference and the lineage of what the service calls so.

    Args:
        name: Of the version.
        folder: To put the model into.
        params: Of the working tree.

    Raises:
        UserError: Where it is neither a version of the registry nor the model of the working tree.
    """
    with open_registry() as registry:
        if registry and name.isdecimal():
            version = registry.version(int(name))
            lineage = {tag: version.tags.get(tag, "") for tag in _LINEAGE}
            return registry.model(version, folder), _reference(registry, version), lineage
    lineage = read_lineage(LINEAGE, stage.MODEL)
    if lineage["version"] != name:
        raise UserError(f"{name} is neither a version of the registry nor the model of this working tree.")
    return stage.MODEL, make_reference(params), {tag: str(lineage[tag]) for tag in _LINEAGE if tag in lineage}


def _reference(registry: Registry, version: Version) -> Reference:
    """What a version is compared with.

    Raises:
        UserError: Where it has none, or one that does not fit the contract of the working tree.
    """
    found = Reference.model_validate_json(registry.document(version, REFERENCE))
    differing = sorted(found.bins.keys() ^ {one.name for one in VARIABLES})
    if differing:
        raise UserError(
            f"version {version.number} was made under another contract than this working tree has: it differs in "
            f"{', '.join(differing)}. Look at it from its own commit: git switch --detach {version.commit[:12]}"
        )
    return found


def is_deployed() -> bool:
    """Whether the environment tells of a prediction log that is not this working tree's own."""
    return bool(load_settings().prediction_log_url or host.configured())


@contextmanager
def log_url() -> Iterator[str]:
    """The URL of the prediction log: of PREDICTION_LOG_URL, else by SSH of DEPLOY_HOST, else of this working tree.

    Raises:
        UserError: Where there is no way to the host.
    """
    settings, address = load_settings(), host.configured()
    if settings.prediction_log_url or not address:
        yield settings.log_url()
    else:
        with host.connected(address, alone=False) as there:
            yield Production(there).log_url()
