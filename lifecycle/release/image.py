"""Pack the trained model with its service as a bento, and make a container image of that.

`python -m lifecycle.release.image` makes both and prints the image's name; with `--bento`, only the bento. What is in
the image, and what is not, is deploy/Dockerfile.j2.
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
    """Find a container engine that answers; a client alone is none.

    Args:
        name: The one to use; by default the first of `ENGINES`.

    Raises:
        UserError: Where there is none.
    """
    for engine in [name] if name else ENGINES:
        if shutil.which(engine) and subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0:
            return engine
    raise UserError(
        f"no container engine answers; asked for its `info`: {name or ', '.join(ENGINES)}. Start or install one."
    )


def contents() -> str:
    """SHA-256 of what the image is made of: the files that bentofile.yaml includes, the Dockerfile, the model."""
    included = parse_yaml(BENTOFILE.read_text(encoding="utf-8"))["include"]
    patterns = [f":(glob){pattern}" for pattern in (*included, BENTOFILE, DOCKERFILE)]
    found = hashlib.sha256()
    for path in sorted(map(Path, filter(None, git("ls-files", "-z", "--", *patterns).split("\0")))):
        content = path.read_bytes()
        found.update(f"{path.as_posix()} {len(content)}\n".encode())
        found.update(content)
    found.update(model_hash(MODEL).encode())
    return found.hexdigest()


def build_bento(version: str, bentofile: Path = BENTOFILE) -> str:
    """Build the bento that a file describes, in place of one with the same version.

    Returns:
        Its tag.

    Raises:
        UserError: With what BentoML says, where it fails.
    """
    kept_as = json.loads((MODEL / "metadata.json").read_text(encoding="utf-8"))["format"]
    if kept_as == "skops" and "\nskops==" not in REQUIREMENTS.read_text(encoding="utf-8"):
        raise UserError(
            f"the model is kept as skops, and {REQUIREMENTS} has nothing to load it with. Add skops, scikit-learn and "
            f"lightgbm to the group `serving` in pyproject.toml and run `make lock`; or have it exported, with "
            f"`model_format: onnx` in params.yaml."
        )
    tag = f"{contract.NAME}:{version}"
    # A build refuses to replace; where there is nothing to delete, it does not matter.
    _bentoml("delete", "--yes", tag, check=False)
    _bentoml("build", "--bentofile", str(bentofile), "--version", version)
    return tag


def build_image(tag: str, lineage: Mapping[str, Any], engine: str, base: str = "") -> int:
    """Make a container image of a bento, with the same name and tag.

    Args:
        tag: The bento's.
        lineage: What the labels tell.
        engine: `docker` or `podman`.
        base: Image to build on instead of the one that the Dockerfile names.

    Returns:
        Its size in bytes, as the engine counts it.

    Raises:
        UserError: With what the engine says, where it fails.
    """
    options = [f"label={name}={value}" for name, value in _labels(lineage).items()]
    if base:
        options.append(f"build-arg=BASE={base}")
    if engine == "podman":
        options.append("format=docker")  # the other one knows no health check
    # In a folder for temporary files: BentoML refuses its own copy of the template if it lies outside of the current
    # one (issue 5566 of bentoml/BentoML).
    with tempfile.TemporaryDirectory() as folder:
        arguments = [argument for option in options for argument in ("--opt", option)]
        _bentoml("containerize", tag, "--backend", engine, "--image-tag", tag, *arguments, folder=Path(folder))
    found = subprocess.run(
        [engine, "image", "inspect", "--format", "{{.Size}}", tag], capture_output=True, text=True, check=True
    )
    return int(found.stdout)


def _labels(lineage: Mapping[str, Any]) -> dict[str, str]:
    """The image's labels, by the names that the OCI image specification gives them."""
    labels = {
        "title": contract.NAME,
        "description": f"Serves the model {contract.NAME} over HTTP",
        "version": lineage["version"],
        "revision": lineage["commit"] + ("-dirty" if lineage["uncommitted_changes"] else ""),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if "GITHUB_REPOSITORY" in os.environ:  # by this one GitHub shows the image at the repository
        labels["source"] = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}"
    return {f"org.opencontainers.image.{name}": value for name, value in labels.items()}


def _bentoml(*arguments: str, folder: Path | None = None, check: bool = True) -> None:
    environment = os.environ | {"BENTOML_DO_NOT_TRACK": "true"}
    if folder:
        environment["TMPDIR"] = str(folder)
    command = [sys.executable, "-m", "bentoml", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if check and done.returncode:
        # BentoML says it all once more after that, with a traceback of its own.
        said = re.split(r"^(?:ERROR:|Traceback)", done.stdout, maxsplit=1, flags=re.MULTILINE)[0].strip()
        raise UserError("\n".join([f"`bentoml {arguments[0]}` failed:", *said.splitlines()[-20:]]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Build what the arguments ask for, and print its name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bento", action="store_true", help="only the bento")
    parser.add_argument("--engine", default="", help=f"one of {', '.join(ENGINES)}; by default the first that answers")
    parser.add_argument("--base", default="", help="image to build on; by default the one in deploy/Dockerfile.j2")
    chosen = parser.parse_args(arguments)
    engine = "" if chosen.bento else find_engine(chosen.engine)
    lineage = write_lineage()
    tag = build_bento(lineage["version"])
    if chosen.bento:
        print(f"bento: {tag}")
    else:
        size = build_image(tag, lineage, engine, chosen.base)
        github.output(image=tag)
        print(f"image: {tag} ({size / 1e6:.0f} MB, {engine})")


if __name__ == "__main__":
    console.run_main(main)
