"""Register the trained model as a version, with its whole lineage: `python -m lifecycle.release.register`.

A commit has one version, however often this is run.
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
from lifecycle.release.image import REQUIREMENTS, contents
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
        image: Name and digest of its image.
        sbom: The bill of what is in the image.

    Returns:
        The commit's version, which may have been there before.

    Raises:
        UserError: Where there is no trained model, or the registry does not take it.
    """
    lineage, params = write_lineage(), load_params()
    compared = _read(COMPARED) if COMPARED.exists() else {}
    metadata = _read(stage.MODEL / "metadata.json")
    reported, slices = (_read(stage.REPORTS / name) for name in ("metrics.json", "slices.json"))
    trained = Trained(metadata, reported, slices, params)
    tags = {
        "commit": lineage["commit"],
        **_merged(lineage["commit"]),
        "data": lineage["data"],
        "window": params.window.in_words(),
        "holdout": params.holdout.in_words(),
        "metrics": json.dumps(reported["model"]),
        "compared": json.dumps(compared),
        "dvc_lock": lineage["dvc_lock"],
        "model": lineage["model"],
        "contract": _sha256(json.dumps(json_schema(), sort_keys=True).encode()),
        "requirements": _sha256(REQUIREMENTS.read_bytes()),
        "contents": contents(),
        "image": image,
        "sbom": _sha256(sbom.read_bytes()) if sbom else "",
    }
    text = card(trained, tags)
    documents = {
        "card.md": text,
        "contract.json": json.dumps(json_schema(), indent=2, ensure_ascii=False),
        "lineage.json": json.dumps(lineage, indent=2, ensure_ascii=False),
        "slices.json": json.dumps(slices),
        ANSWERS: json.dumps(expected_answers(Predictor.load(stage.MODEL))),
        REFERENCE: make_reference(params).model_dump_json(),
    }
    documents |= {"report.md": REPORT.read_text(encoding="utf-8")} if REPORT.exists() else {}
    documents |= {"sbom.json": sbom.read_text(encoding="utf-8")} if sbom else {}

    def registered(registry: Registry) -> Version:
        existing = registry.of_commit(lineage["commit"])
        if existing:
            return existing
        run = find_or_log(registry.uri)
        # First what belongs to it: whoever finds the version finds it whole.
        for name, content in documents.items():
            registry.add_document(run, lineage["commit"], name, content)
        return registry.register(run, tags)

    return change(registered, f"Register {lineage['commit'][:12]}")


def _merged(commit: str) -> dict[str, str]:
    """The pull request by which a commit came to main, and who has opened it; else who has written the commit."""
    try:
        merged = github.merged_by(commit) if os.environ.get("GITHUB_TOKEN") else None
    except github.Errors as error:
        raise UserError(
            f"GitHub did not say by which pull request {commit} was merged: {error}. Run this again."
        ) from error
    if merged:
        return {"pull_request": str(merged["number"]), "author": merged["user"]["login"]}
    return {"pull_request": "", "author": git("show", "--no-patch", "--format=%an", commit).strip()}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Register, and print the version."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.register", description=__doc__)
    parser.add_argument("--image", default="", help="name and digest of the image")
    parser.add_argument("--sbom", type=Path, help="file with the bill of what is in it")
    arguments = parser.parse_args()
    version = register(arguments.image, arguments.sbom)
    github.output(version=str(version.number))
    print(f"version {version.number} of {contract.NAME}, from {version.commit[:12]}")


if __name__ == "__main__":
    console.run_main(main)
