"""Push an image to where production fetches it from: `python -m lifecycle.release.publish IMAGE`.

From then on it is known by its digest, which no other image can have.
"""

import argparse
import os
import tempfile
from pathlib import Path

from lifecycle.release.image import find_engine
from lifecycle.shared import console, github
from lifecycle.shared.commands import CommandError, run
from lifecycle.shared.console import UserError


def push_image(image: str, repository: str, engine: str) -> str:
    """Push an image.

    Args:
        image: Its name here; its tag is kept.
        repository: Where to, with the host of the registry of images.
        engine: `docker` or `podman`.

    Returns:
        Its digest.

    Raises:
        UserError: With what the engine says, where it fails.
    """
    target = f"{repository}:{image.rpartition(':')[2]}"
    try:
        run([engine, "tag", image, target])
        if engine == "docker":
            run([engine, "push", "--quiet", target])
            found = run([engine, "inspect", "--format", '{{join .RepoDigests "\\n"}}', target]).split()
            return next(one for one in found if one.startswith(f"{repository}@")).rpartition("@")[2]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "digest"
            # A registry on this machine has no certificate; docker knows that by itself.
            local = ["--tls-verify=false"] if repository.startswith(("127.0.0.1:", "localhost:")) else []
            run([engine, "push", "--quiet", *local, "--digestfile", str(file), target])
            return file.read_text(encoding="utf-8").strip()
    except CommandError as error:
        raise UserError(f"{image} could not be pushed to {repository}:\n{error}") from error


def main() -> None:
    """Push it, and tell the workflow its name and digest."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.publish", description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--engine", default="", help="docker or podman; by default the first that answers")
    arguments = parser.parse_args()
    # GitHub's own registry takes names in small letters only.
    repository = os.environ.get("IMAGE_REPOSITORY") or f"ghcr.io/{os.environ['GITHUB_REPOSITORY'].lower()}"
    digest = push_image(arguments.image, repository, find_engine(arguments.engine))
    github.output(name=repository, digest=digest, image=f"{repository}@{digest}")
    print(f"{repository}@{digest}")


if __name__ == "__main__":
    console.run_main(main)
