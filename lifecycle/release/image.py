"""Build a bento from the trained model and its service, and a container image from the bento.

`python -m lifecycle.release.image` builds both and prints the name of the image; with `--bento`, it builds only the
bento. deploy/Dockerfile.j2 determines what the image contains.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lifecycle.pipeline.lineage import write_lineage
from lifecycle.pipeline.stage import MODEL
from lifecycle.shared import console, github
from lifecycle.shared.commands import git
from lifecycle.shared.console import UserError
from lifecycle.shared.predictor import model_hash
from lifecycle.shared.yaml_text import parse_yaml
from model import contract

ENGINES = ("docker", "podman")
BENTOFILE, DOCKERFILE = Path("bentofile.yaml"), Path("deploy/Dockerfile.j2")
REQUIREMENTS = Path("requirements/serving.txt")


def find_engine(name: str = "") -> str:
    """Return the name of a container engine that is running; an installed client is not enough.

    Args:
        name: Engine to use; by default the first of `ENGINES` that runs.

    Raises:
        UserError: If none runs.
    """
    for engine in [name] if name else ENGINES:
        if shutil.which(engine) and subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0:
            return engine
    raise UserError(f"no container engine answers `info` (tried {name or ', '.join(ENGINES)}). Start or install one.")


def contents_hash() -> str:
    """Return the SHA-256 of the inputs of the image: the files in bentofile.yaml, the Dockerfile and the model."""
    included = parse_yaml(BENTOFILE.read_text(encoding="utf-8"))["include"]
    patterns = [f":(glob){pattern}" for pattern in (*included, BENTOFILE, DOCKERFILE)]
    digest = hashlib.sha256()
    for path in sorted(map(Path, filter(None, git("ls-files", "-z", "--", *patterns).split("\0")))):
        content = path.read_bytes()
        digest.update(f"{path.as_posix()} {len(content)}\n".encode())
        digest.update(content)
    digest.update(model_hash(MODEL).encode())
    return digest.hexdigest()


def build_bento(version: str, bentofile: Path = BENTOFILE) -> str:
    """Build the bento that a file describes, replacing one with the same version.

    Returns:
        The tag of the bento.

    Raises:
        UserError: If the serving requirements cannot load the model, or BentoML fails. In the second case the message
            has the end of its output.
    """
    model_format = json.loads((MODEL / "metadata.json").read_text(encoding="utf-8"))["format"]
    if model_format == "skops" and "\nskops==" not in REQUIREMENTS.read_text(encoding="utf-8"):
        raise UserError(
            f"the model is stored in the format skops, which the packages in {REQUIREMENTS} cannot load. Add skops, "
            f"scikit-learn and lightgbm to the group `serving` in pyproject.toml and run `make lock`; or export the "
            f"model by setting `model_format: onnx` in params.yaml."
        )
    tag = f"{contract.NAME}:{version}"
    # `bentoml build` does not replace a bento, and `delete` fails harmlessly if there is none.
    _bentoml("delete", "--yes", tag, check=False)
    _bentoml("build", "--bentofile", str(bentofile), "--version", version)
    return tag


def build_image(tag: str, lineage: Mapping[str, Any], engine: str, base: str = "") -> int:
    """Build a container image from a bento, with the same name and tag.

    Args:
        tag: Tag of the bento.
        lineage: Lineage of the model, for the labels.
        engine: `docker` or `podman`.
        base: Base image, instead of the one in the Dockerfile.

    Returns:
        The size of the image in bytes, as the engine reports it.

    Raises:
        UserError: If the build fails. The message has the end of its output.
    """
    options = [f"label={name}={value}" for name, value in _labels(lineage).items()]
    if base:
        options.append(f"build-arg=BASE={base}")
    if engine == "podman":
        options.append("format=docker")  # the OCI format has no health check
    # BentoML copies its template to TMPDIR, and refuses the copy if it is outside of the current directory (issue 5566
    # of bentoml/BentoML). Hence one temporary directory for both.
    with tempfile.TemporaryDirectory() as folder:
        arguments = [argument for option in options for argument in ("--opt", option)]
        _bentoml("containerize", tag, "--backend", engine, "--image-tag", tag, *arguments, folder=Path(folder))
    inspected = subprocess.run(
        [engine, "image", "inspect", "--format", "{{.Size}}", tag], capture_output=True, text=True, check=True
    )
    return int(inspected.stdout)


def _labels(lineage: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of the image, named as in the OCI image specification."""
    labels = {
        "title": contract.NAME,
        "description": f"Serves the model {contract.NAME} over HTTP",
        "version": lineage["version"],
        "revision": lineage["commit"] + ("-dirty" if lineage["uncommitted_changes"] else ""),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if "GITHUB_REPOSITORY" in os.environ:  # GitHub links the image to the repository by this label
        labels["source"] = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}"
    return {f"org.opencontainers.image.{name}": value for name, value in labels.items()}


def _bentoml(*arguments: str, folder: Path | None = None, check: bool = True) -> None:
    environment = os.environ | {"BENTOML_DO_NOT_TRACK": "true"}
    if folder:
        environment["TMPDIR"] = str(folder)
    command = [sys.executable, "-m", "bentoml", *arguments]
    completed = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if check and completed.returncode:
        # After that, BentoML repeats the output in a traceback.
        output = re.split(r"^(?:ERROR:|Traceback)", completed.stdout, maxsplit=1, flags=re.MULTILINE)[0].strip()
        raise UserError("\n".join([f"`bentoml {arguments[0]}` failed:", *output.splitlines()[-20:]]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the bento, and the image unless the arguments exclude it, and print the name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bento", action="store_true", help="build only the bento")
    parser.add_argument("--engine", default="", help=f"one of {', '.join(ENGINES)}; by default the first that runs")
    parser.add_argument("--base", default="", help="base image; by default the one in deploy/Dockerfile.j2")
    options = parser.parse_args(arguments)
    engine = "" if options.bento else find_engine(options.engine)
    lineage = write_lineage()
    tag = build_bento(lineage["version"])
    if options.bento:
        print(f"bento: {tag}")
    else:
        size = build_image(tag, lineage, engine, options.base)
        github.output(image=tag)
        print(f"image: {tag} ({size / 1e6:.0f} MB, {engine})")


if __name__ == "__main__":
    console.run_main(main)
