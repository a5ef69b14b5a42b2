"""Roll production back to an earlier version: `make rollback VERSION=3 WHY=…`.

As in any deployment, that version has to accept the newest requests of production before it receives new ones.
"""

import argparse

from lifecycle.registry.store import existing
from lifecycle.registry.versions import Version
from lifecycle.release.deploy import Deployment, deploy_and_promote
from lifecycle.release.host import configured
from lifecycle.release.image import find_engine
from lifecycle.shared import console
from lifecycle.shared.commands import run
from lifecycle.shared.console import CommandError, UserError
from lifecycle.shared.params import load_params


def main() -> None:
    """Deploy and promote the version that the arguments name, after the replay."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.rollback", description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("--why", required=True)
    arguments = parser.parse_args()
    with existing() as registry:
        deployment, champion = Deployment.of(registry, arguments.number, load_params()), registry.champion()
        if champion and champion.deployed and not configured():
            raise UserError("production runs on a host: set DEPLOY_HOST to its address, as for `ssh`.")
    if not configured():
        _pull(deployment.version)
    deploy_and_promote(deployment, arguments.why)


def _pull(version: Version) -> None:
    """Check that the image still exists. With a host, the deployment there would fail otherwise."""
    try:
        run([find_engine(), "pull", "--quiet", version.tags.get("image", "")])
    except CommandError as error:
        raise UserError(f"the image of version {version.number} cannot be pulled:\n{error}") from error


if __name__ == "__main__":
    console.run_main(main)
