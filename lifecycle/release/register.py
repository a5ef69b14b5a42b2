"""Register the trained model as a version, with its lineage: `python -m lifecycle.release.register`.

A commit gets one version: running it again returns the same one.
"""

import argparse
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from lifecycle.pipeline import stage
from lifecycle.pipeline.lineage import write_lineage
from lifecycle.pipeline.reference import REFERENCE, make_reference
from lifecycle.pipeline.track import find_or_log
from lifecycle.proposal import COMPARED, REPORT
from lifecycle.registry.store import change
from lifecycle.registry.versions import Registry, Version
from lifecycle.release.card import Trained, card
from lifecycle.release.image import REQUIREMENTS, contents_hash
from lifecycle.release.smoke import ANSWERS, expected_answers
from lifecycle.shared import console, github
from lifecycle.shared.commands import git
from lifecycle.shared.console import UserError
from lifecycle.shared.params import load_params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import json_schema
from model import contract


def register(image: str, sbom: Path | None) -> Version:
    """Register the model that `make` has trained and `make propose` has judged.

    Args:
        image: Name and digest of the image; empty if there is none.
        sbom: CycloneDX file with the software bill of materials of the image.

    Returns:
        The version of the commit, which an earlier run may have registered.

    Raises:
        UserError: If there is no trained model, GitHub does not name the pull request, or the registry refuses.
    """
    lineage, params = write_lineage(), load_params()
    compared = _read(COMPARED) if COMPARED.exists() else {}
    metadata = _read(stage.MODEL / "metadata.json")
    reported, slices = (_read(stage.REPORTS / name) for name in ("metrics.json", "slices.json"))
    trained = Trained(metadata, reported, slices, params)
    tags = {
        "commit": lineage["commit"],
        **_pull_request_and_author(lineage["commit"]),
        "data": lineage["data"],
        "window": params.window.in_words(),
        "holdout": params.holdout.in_words(),
        "metrics": json.dumps(reported["model"]),
        "compared": json.dumps(compared),
        "dvc_lock": lineage["dvc_lock"],
        "model": lineage["model"],
        "contract": _sha256(json.dumps(json_schema(), sort_keys=True).encode()),
        "requirements": _sha256(REQUIREMENTS.read_bytes()),
        "contents": contents_hash(),
        "image": image,
        "sbom": _sha256(sbom.read_bytes()) if sbom else "",
    }
    documents = {
        "card.md": card(trained, tags),
        "contract.json": json.dumps(json_schema(), indent=2, ensure_ascii=False),
        "lineage.json": json.dumps(lineage, indent=2, ensure_ascii=False),
        "slices.json": json.dumps(slices),
        ANSWERS: json.dumps(expected_answers(Predictor.load(stage.MODEL))),
        REFERENCE: make_reference(params).model_dump_json(),
    }
    documents |= {"report.md": REPORT.read_text(encoding="utf-8")} if REPORT.exists() else {}
    documents |= {"sbom.json": sbom.read_text(encoding="utf-8")} if sbom else {}

    def find_or_register(registry: Registry) -> Version:
        existing = registry.of_commit(lineage["commit"])
        if existing:
            return existing
        run = find_or_log(registry.uri)
        # The documents first, so that a version in the registry is complete.
        for name, content in documents.items():
            registry.add_document(run, lineage["commit"], name, content)
        return registry.register(run, tags)

    return change(find_or_register, f"Register {lineage['commit'][:12]}")


def _pull_request_and_author(commit: str) -> dict[str, str]:
    """Return the pull request that a commit merged and its author; without one, the author of the commit."""
    try:
        pull_request = github.merged_by(commit) if os.environ.get("GITHUB_TOKEN") else None
    except github.Errors as error:
        raise UserError(
            f"GitHub did not answer which pull request commit {commit} merged: {error}. Run this again."
        ) from error
    if pull_request:
        return {"pull_request": str(pull_request["number"]), "author": pull_request["user"]["login"]}
    return {"pull_request": "", "author": git("show", "--no-patch", "--format=%an", commit).strip()}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Register the model, and print the number of the version."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.register", description=__doc__)
    parser.add_argument("--image", default="", help="name and digest of the image")
    parser.add_argument("--sbom", type=Path, help="file with the software bill of materials of the image")
    arguments = parser.parse_args()
    version = register(arguments.image, arguments.sbom)
    github.output(version=str(version.number))
    print(f"version {version.number} of {contract.NAME}, from {version.commit[:12]}")


if __name__ == "__main__":
    console.run_main(main)
