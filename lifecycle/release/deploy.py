"""Deploy a registered version and make it the champion: `python -m lifecycle.release.deploy NUMBER`.

It starts the version in the inactive slot of the host that DEPLOY_HOST names, smoke-tests it there, and only then sends
it the requests. If a step before that fails, production stays as it is. After an interruption, run it again: it
continues where it stopped.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from lifecycle.registry.store import change, existing
from lifecycle.registry.versions import Version
from lifecycle.release.client import ask
from lifecycle.release.host import Host, configured, connected
from lifecycle.release.production import SLOTS, Production
from lifecycle.release.smoke import ANSWERS, smoke
from lifecycle.shared import console, github
from lifecycle.shared.commands import CommandError, git
from lifecycle.shared.console import UserError

SlotCheck = Callable[[Production, str], None]


def deploy(host: Host, version: Version, answers: Mapping[str, Any], check: SlotCheck | None = None) -> None:
    """Deploy a version to a host.

    Args:
        host: Host of production.
        version: Version to deploy.
        answers: Expected answers, registered with the version as `ANSWERS`.
        check: Further check, called with the slot after the smoke test and before the switch; raises UserError to
            prevent the switch.

    Raises:
        UserError: If the version cannot be deployed. Production is unchanged then.
    """
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
        smoke(port, version, answers, headers, lambda: not production.is_up(target))
        if check:
            check(production, target)
        if target != current:
            production.switch(target)
            _check_production(production, version)
    except (UserError, OSError) as error:
        log = production.recent_log(target)
        if target != current:
            production.switch(current)
            production.stop(target)
        raise UserError(f"version {version.number} was not deployed: {error}\nThe end of its log:\n{log}") from error
    production.stop(current if target == other else other)


def deploy_and_promote(version: Version, answers: Mapping[str, Any], why: str, check: SlotCheck | None = None) -> None:
    """Deploy a version to the configured host, and make it the champion.

    If no host is configured, only make it the champion and print the command that runs its image.

    Args:
        version: Version to deploy.
        answers: Expected answers, registered with the version as `ANSWERS`.
        why: Reason for the promotion, for the history.
        check: As for `deploy`.

    Raises:
        UserError: If the version cannot be deployed or promoted. If it cannot be deployed, production and champion are
            unchanged.
    """
    if not configured():
        promote(version.number, why, deployed=False)
        print(f"version {version.number} is the champion. No host is configured (DEPLOY_HOST); run it with:")
        options = "--read-only --tmpfs /tmp --volume predictions:/state --publish 3000:3000"
        print(f"docker run {options} --env MODEL_VERSION={version.number} {version.tags.get('image')}")
        return
    # In one connection, because it holds the lock that keeps other deployments out until the promotion.
    with connected(configured()) as host:
        deploy(host, version, answers, check)
        promote(version.number, why, deployed=True)
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
    try:
        return os.environ.get("GITHUB_ACTOR") or git("config", "user.name").strip()
    except CommandError:
        return "somebody"


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
        version = registry.version(number)
        answers = json.loads(registry.document(version, ANSWERS))
    deploy_and_promote(version, answers, "released")


if __name__ == "__main__":
    console.run_main(main)
