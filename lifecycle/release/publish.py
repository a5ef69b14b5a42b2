"""Push an image to the registry from which production pulls it: `python -m lifecycle.release.publish IMAGE`.

The later steps of the release refer to the image by its digest, which identifies its content.
"""

import argparse
import os
import tempfile
from pathlib import Path

from lifecycle.release.image import find_engine
from lifecycle.shared import console, github
from lifecycle.shared.commands import run
from lifecycle.shared.console import CommandError, UserError


def push_image(image: str, repository: str, engine: str) -> str:
    """Push an image to a repository.

    Args:
        image: Name of the local image; its tag is kept.
        repository: Full name of the repository, with the host of its registry.
        engine: `docker` or `podman`.

    Returns:
        The digest of the image, such as `sha256:…`.

    Raises:
        UserError: If the push fails. The message has the end of the engine's output.
    """
    target = f"{repository}:{image.rpartition(':')[2]}"
    try:
        run([engine, "tag", image, target])
        if engine == "docker":
            run([engine, "push", "--quiet", target])
            digests = run([engine, "inspect", "--format", '{{join .RepoDigests "\\n"}}', target]).split()
            return next(name for name in digests if name.startswith(f"{repository}@")).rpartition("@")[2]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "digest"
            # A registry on this machine has no certificate. Docker allows that by default, podman does not.
            local = ["--tls-verify=false"] if repository.startswith(("127.0.0.1:", "localhost:")) else []
            run([engine, "push", "--quiet", *local, "--digestfile", str(file), target])
            return file.read_text(encoding="utf-8").strip()
    except CommandError as error:
        raise UserError(f"{image} could not be pushed to {repository}:\n{error}") from error


def main() -> None:
    """Push the image, and write its name and digest to the outputs of the workflow."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.publish", description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--engine", default="", help="docker or podman; by default the first that runs")
    arguments = parser.parse_args()
    # ghcr.io only accepts lower-case names.
    repository = os.environ.get("IMAGE_REPOSITORY") or f"ghcr.io/{os.environ['GITHUB_REPOSITORY'].lower()}"
    digest = push_image(arguments.image, repository, find_engine(arguments.engine))
    github.output(name=repository, digest=digest, image=f"{repository}@{digest}")
    print(f"{repository}@{digest}")


if __name__ == "__main__":
    console.run_main(main)
