"""Bring a registered version into production: `python -m lifecycle.release.deploy NUMBER`; then it is the champion.

On the host that DEPLOY_HOST names. The version starts in the slot that is not in production, is asked there, and only
then gets the requests. Whatever is wrong before, production goes on as it is. Called again, it goes on from wherever it
was broken off.
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
from lifecycle.shared import console
from lifecycle.shared.commands import CommandError, git
from lifecycle.shared.console import UserError

SlotCheck = Callable[[Production, str], None]


def bring(host: Host, version: Version, answers: Mapping[str, Any], check: SlotCheck | None = None) -> None:
    """Bring a version into production.

    Args:
        host: Where to.
        version: To run.
        answers: What was registered with it as `ANSWERS`.
        check: Is called with its slot when it runs, before it gets requests; raises UserError where it is to get none.

    Raises:
        UserError: With what is wrong. Production is as it was before.
    """
    if not version.tags.get("image"):
        raise UserError(f"version {version.number} has no image: it was registered by hand.")
    production = Production(host)
    production.prepare(version)
    current = production.in_production()
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
            _see(production, version)
    except (UserError, OSError) as error:
        said = production.said(target)
        if target != current:
            production.switch(current)
            production.stop(target)
        raise UserError(f"version {version.number} does not go into production: {error}\nIt said:\n{said}") from error
    production.stop(current if target == other else other)


def into_production(version: Version, answers: Mapping[str, Any], why: str, check: SlotCheck | None = None) -> None:
    """Bring a version into production on the host that is configured, and make it the champion.

    Where none is configured, it is the champion, and whoever runs it is told how.

    Args:
        version: To run.
        answers: What was registered with it as `ANSWERS`.
        why: For the history.
        check: As for `bring`.

    Raises:
        UserError: With what is wrong. Production and champion are as they were before.
    """
    if not configured():
        promote(version.number, why, deployed=False)
        print(f"version {version.number} is the champion; no host is configured (DEPLOY_HOST). Run it by:")
        options = "--read-only --tmpfs /tmp --volume predictions:/state --publish 3000:3000"
        print(f"docker run {options} --env MODEL_VERSION={version.number} {version.tags.get('image')}")
        return
    # In one connection, so that nobody else can come between the two.
    with connected(configured()) as host:
        bring(host, version, answers, check)
        promote(version.number, why, deployed=True)
    print(f"version {version.number} is the champion, and in production on {configured()}")


def promote(number: int, why: str, *, deployed: bool) -> None:
    """Make a version the champion, and record who did it: the last thing that a release or a rollback does.

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


def _see(production: Production, version: Version) -> None:
    """See that production is a version."""
    status, told = ask(production.port("production"), "GET", "/model", headers=production.headers())
    if status != HTTPStatus.OK or told["version"] != str(version.number):
        raise UserError(f"asked what is running, production said ({status}): {str(told)[:200]}")


def main() -> None:
    """Bring it into production, or say how it is run where no host is configured; then it is the champion."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.release.deploy", description=__doc__)
    parser.add_argument("number", type=int)
    number = parser.parse_args().number
    with existing() as registry:
        version = registry.version(number)
        answers = json.loads(registry.document(version, ANSWERS))
    into_production(version, answers, "released")


if __name__ == "__main__":
    console.run_main(main)
