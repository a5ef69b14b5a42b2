"""Make the GitHub release of a version, with its model card: `python -m lifecycle.release.announce NUMBER`.

A version has one, however often this is run. Without it the version stands all the same: then this only warns.
"""

import argparse

from lifecycle.registry.store import existing
from lifecycle.shared import console, github
from model import contract


def main() -> None:
    """Make it, unless it is there."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.announce", description=__doc__)
    parser.add_argument("number", type=int)
    number = parser.parse_args().number
    with existing() as registry:
        version = registry.version(number)
        card = registry.document(version, "card.md")
    tag = f"v{number}"
    try:
        if any(one["tag_name"] == tag for one in github.get_all("releases")):
            print(f"The release {tag} is there.")
            return
        name = f"{contract.NAME} {number}"
        github.send("POST", "releases", tag_name=tag, target_commitish=version.commit, name=name, body=card)
        print(f"Made the release {tag}.")
    except github.Errors as error:
        print(f"::warning title=No GitHub release::{github.one_line(error)}")


if __name__ == "__main__":
    console.run_main(main)
