"""Create the GitHub release of a version, with its model card: `python -m lifecycle.release.announce NUMBER`.

Running it again changes nothing. If GitHub refuses, it only prints a warning: the version is registered and deployed by
then.
"""

import argparse

from lifecycle.registry.store import existing
from lifecycle.shared import console, github
from model import contract


def main() -> None:
    """Create the GitHub release unless it exists."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.announce", description=__doc__)
    parser.add_argument("number", type=int)
    number = parser.parse_args().number
    with existing() as registry:
        version = registry.version(number)
        card = registry.document(version, "card.md")
    tag = f"v{number}"
    try:
        if any(release["tag_name"] == tag for release in github.get_all("releases")):
            print(f"Release {tag} exists already.")
            return
        name = f"{contract.NAME} {number}"
        github.send("POST", "releases", tag_name=tag, target_commitish=version.commit, name=name, body=card)
        print(f"Created release {tag}.")
    except github.Errors as error:
        print(f"::warning title=No GitHub release::{github.one_line(error)}")


if __name__ == "__main__":
    console.run_main(main)
