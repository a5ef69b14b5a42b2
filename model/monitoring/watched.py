"""What is watched: the champion of the registry, or the model of the working tree where there is no registry yet."""

from model.console import UserError
from model.params import Params
from model.pipeline import stage
from model.registry.store import opened
from model.release.lineage import LINEAGE, read_lineage
from model.release.reference import REFERENCE, Reference, make_reference


def watched(number: int | None, params: Params) -> tuple[str, Reference]:
    """What the service calls the model, and what it is compared with.

    Args:
        number: Of a version of the registry; of the champion where it is None.
        params: Of the working tree.

    Raises:
        UserError: Where there is no such version, or it was registered without a reference.
    """
    with opened() as registry:
        version = (registry.champion() if number is None else registry.version(number)) if registry else None
        if registry and version:
            return str(version.number), Reference.model_validate_json(registry.document(version, REFERENCE))
    if number is not None:
        raise UserError("there is no registry yet, and so no version.")
    return read_lineage(LINEAGE, stage.MODEL)["version"], make_reference(params)
