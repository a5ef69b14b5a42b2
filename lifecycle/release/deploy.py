"""Deploy a registered version and make it the champion: `python -m lifecycle.release.deploy NUMBER`.

It starts the version in the inactive slot of the host that DEPLOY_HOST names, smoke-tests it there, replays the newest
requests of production to it, and only then sends it new ones. If a step before that fails, production stays as it is.
After an interruption, run it again: it continues where it stopped.
"""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from lifecycle.registry.store import change, existing
from lifecycle.registry.versions import Registry, Version
from lifecycle.release.client import ask
from lifecycle.release.host import Host, configured, connected
from lifecycle.release.production import SLOTS, Production
from lifecycle.release.replay import replay
from lifecycle.release.smoke import ANSWERS, smoke
from lifecycle.shared import console, github
from lifecycle.shared.commands import git_or_none
from lifecycle.shared.console import UserError
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.predictor import differing_columns


@dataclass(frozen=True)
class Deployment:
    """A version to deploy.

    Attributes:
        version: The version.
        answers: Expected answers, registered with the version as `ANSWERS`.
        differing: Columns in which its contract differs from that of the champion.
        rejected_share: Largest share of production's newest rows that it may reject.
    """

    version: Version
    answers: Mapping[str, Any]
    differing: list[str]
    rejected_share: float

    @classmethod
    def of(cls, registry: Registry, number: int, params: Params) -> "Deployment":
        """Read what the registry has of a version and of the champion."""
        version = registry.version(number)
        champion = registry.champion() or version
        contracts = [json.loads(registry.document(each, "contract.json")) for each in (version, champion)]
        answers = json.loads(registry.document(version, ANSWERS))
        return cls(version, answers, differing_columns(*contracts), params.gates.rejected_share)


def deploy(host: Host, deployment: Deployment) -> str:
    """Deploy a version to a host.

    Before it receives requests, it has to give the expected answers, and to accept the newest requests of production.

    Args:
        host: Host of production.
        deployment: Version to deploy.

    Returns:
        What it rejects of these requests, for the history; empty if it accepts them all.

    Raises:
        UserError: If the version cannot be deployed. Production is unchanged then.
    """
    version, note = deployment.version, ""
    if not version.tags.get("image"):
        raise UserError(f"version {version.number} has no image because it was registered by hand.")
    production = Production(host)
    production.prepare(version)
    current = production.active_slot()
    other = SLOTS[1 - SLOTS.index(current)]
    target = current if production.has(current, version) else other
    try:
        production.start(target, version)
        port, headers = production.port(target), production.headers()
        smoke(port, version, deployment.answers, headers, lambda: not production.is_up(target))
        if target != current:
            note = replay(production, target, deployment.differing, deployment.rejected_share)
            production.switch(target)
            _check_production(production, version)
    except (UserError, OSError) as error:
        log = production.recent_log(target)
        if target != current:
            production.switch(current)
            production.stop(target)
        raise UserError(f"version {version.number} was not deployed: {error}\nThe end of its log:\n{log}") from error
    production.stop(current if target == other else other)
    return note


def deploy_and_promote(deployment: Deployment, why: str) -> None:
    """Deploy a version to the configured host, and make it the champion.

    If no host is configured, only make it the champion and print the command that runs its image.

    Args:
        deployment: Version to deploy.
        why: Reason for the promotion, for the history.

    Raises:
        UserError: If the version cannot be deployed or promoted. If it cannot be deployed, production and champion are
            unchanged.
    """
    version = deployment.version
    if not configured():
        promote(version.number, why, deployed=False)
        print(f"version {version.number} is the champion. No host is configured (DEPLOY_HOST); run it with:")
        options = "--read-only --tmpfs /tmp --volume predictions:/state --publish 3000:3000"
        print(f"docker run {options} --env MODEL_VERSION={version.number} {version.tags.get('image')}")
        return
    # In one connection, because it holds the lock that keeps other deployments out until the promotion.
    with connected(configured()) as host:
        note = deploy(host, deployment)
        promote(version.number, f"{why}; it {note}" if note else why, deployed=True)
        try:
            Production(host).update_alerts()
        except UserError as error:
            # The version is in production by now; alerts must not prevent a rollback.
            print(f"::warning title=No alerts::{github.one_line(error)}")
    print(f"version {version.number} is the champion and runs in production on {configured()}")


def promote(number: int, why: str, *, deployed: bool) -> None:
    """Make a version the champion and record who did it. This is the last step of a release or a rollback.

    Args:
        number: Number of the version.
        why: Reason for the promotion, for the history.
        deployed: Whether the version runs on a host that this repository deploys to.

    Raises:
        UserError: If there is no such version, or the registry cannot be changed.
    """
    change(lambda registry: registry.promote(number, _user(), why, deployed=deployed), f"Promote version {number}")


def _user() -> str:
    return os.environ.get("GITHUB_ACTOR") or (git_or_none("config", "user.name") or "somebody").strip()


def _check_production(production: Production, version: Version) -> None:
    """Raise UserError unless production answers as a version."""
    status, answer = ask(production.port("production"), "GET", "/model", headers=production.headers())
    if status != HTTPStatus.OK or answer["version"] != str(version.number):
        raise UserError(
            f"production does not run it after the switch: GET /model returned {status}: {str(answer)[:200]}"
        )


def main() -> None:
    """Deploy and promote the version that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.deploy", description=__doc__)
    parser.add_argument("number", type=int)
    number = parser.parse_args().number
    with existing() as registry:
        deployment = Deployment.of(registry, number, load_params())
    deploy_and_promote(deployment, "released")


if __name__ == "__main__":
    console.run_main(main)
