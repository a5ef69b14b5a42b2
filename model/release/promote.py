"""Make a version the champion: `python -m model.release.promote NUMBER`. The last thing that a release does."""

import argparse
import os

from model import console, contract
from model.commands import git
from model.registry.store import change, opened


def main() -> None:
    """Promote, and say how the version is run."""
    parser = argparse.ArgumentParser(prog="python -m model.release.promote", description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("--why", default="released")
    arguments = parser.parse_args()
    who = os.environ.get("GITHUB_ACTOR") or git("config", "user.name").strip()
    change(
        lambda registry: registry.promote(arguments.number, who, arguments.why), f"Promote version {arguments.number}"
    )
    with opened() as registry:
        image = registry.version(arguments.number).tags.get("image") if registry else None
    print(f"version {arguments.number} of {contract.NAME} is the champion")
    if image:
        print(f"run it: docker run --read-only --tmpfs /tmp --volume predictions:/state --publish 3000:3000 {image}")


if __name__ == "__main__":
    console.run(main)
